"""Image names as Docker writes them: which ones are the same, and how to list them in a message."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

_LISTED = 20


def normalise(name: str) -> str:
    """Write a name in full, as Docker does: `busybox` is `docker.io/library/busybox:latest`."""
    repository, colon, tag = name.rpartition(":")
    if not colon or "/" in tag:
        repository, tag = name, "latest"
    domain, slash, path = repository.partition("/")
    if not slash or not (domain == "localhost" or any(c in ".:" for c in domain)):
        domain, path = "docker.io", repository
    if domain == "index.docker.io":
        domain = "docker.io"
    if domain == "docker.io" and "/" not in path:
        path = f"library/{path}"
    return f"{domain}/{path}:{tag}"


def same_name(name: str | None, other: str) -> bool:
    """Say whether two names mean the same image; a name that is missing is nobody's."""
    return name is not None and normalise(name) == normalise(other)


def listed(names: Iterable[str]) -> str:
    """Write names for a message, on one line and not without end: they are the image's words."""
    names = iter(names)
    shown = [name if name.isprintable() and len(name) <= 200 else ascii(name[:200]) for name in islice(names, _LISTED)]
    more = sum(1 for _ in names)
    return ", ".join(shown) + (f" and {more} more" if more else "")
