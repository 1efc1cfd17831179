"""What a process gives up that fetches or sends: it keeps the network, and files to read."""

from __future__ import annotations

from collections.abc import Sequence

from builder.sandbox import landlock, seccomp
from builder.sandbox.landlock import CHANGE, READ, REMOVE_DIR


def confine_fetching(changeable: Sequence[str] = (), left: Sequence[str] = ()) -> None:
    """Start no program from now on, and change no file but below the directories that are `changeable`.

    From those that are `left` empty ones may be removed. For this thread and those that it starts. Raises OSError.
    """
    if landlock.version():
        places = [*((place, CHANGE) for place in changeable), *((place, REMOVE_DIR) for place in left)]
        landlock.restrict(places, network=True, free=READ)
    if seccomp.is_there():
        seccomp.refuse(seccomp.SYSTEM, seccomp.OWNERS, seccomp.SET_ID, seccomp.ATTRIBUTES)
