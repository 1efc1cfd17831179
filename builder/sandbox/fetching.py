"""What a process gives up that only fetches: it keeps the network, and files to read."""

from __future__ import annotations

from builder.sandbox import landlock, seccomp
from builder.sandbox.landlock import READ


def confine_fetching() -> None:
    """Change no file and start no program from now on; for this thread and those that it starts. Raises OSError."""
    if landlock.version():
        landlock.restrict([], network=True, free=READ)
    if seccomp.is_there():
        seccomp.refuse(seccomp.SYSTEM, seccomp.OWNERS, seccomp.ATTRIBUTES)
