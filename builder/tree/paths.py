"""Path safety: the only place where a name out of an archive becomes a path of the tree."""

from __future__ import annotations

from builder.linux import MAX_NAME, MAX_PATH, WHITEOUT


class Refusal(Exception):
    """Why an entry cannot be applied faithfully; `reason` is half a sentence without layer and entry.

    Whoever knows those two makes a LayerRefused of it.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def components(raw: bytes) -> tuple[bytes, ...]:
    """Split the raw name of a tar member, or a hardlink's target, into components; the root is `()`.

    4095 bytes are at most 2048 components, so the length also bounds the depth.

    A leading `/` or `./`, doubled and trailing slashes and `.` components are dropped, since real tools write
    them. Raises Refusal for a `..` component, a NUL, and for names and paths that Linux cannot hold.
    """
    parts = tuple([part for part in raw.split(b"/") if part and part != b"."])
    if b".." in parts:
        raise Refusal("has a '..' component")
    if b"\0" in raw:
        raise Refusal("contains a NUL byte")
    if len(raw) > MAX_NAME:
        _check_lengths(parts)
    return parts


def _check_lengths(parts: tuple[bytes, ...]) -> None:
    # A whiteout's mark is no part of the name that it hides.
    if parts:
        parts = (*parts[:-1], parts[-1].removeprefix(WHITEOUT))
    if any(len(part) > MAX_NAME for part in parts):
        raise Refusal(f"has a component of more than {MAX_NAME} bytes")
    if path_length(parts) > MAX_PATH:
        raise Refusal(f"is longer than {MAX_PATH} bytes")


def path_length(parts: tuple[bytes, ...] | list[bytes]) -> int:
    """Length in bytes of a relative path of these components, joined by single slashes."""
    return sum(map(len, parts)) + max(len(parts) - 1, 0)
