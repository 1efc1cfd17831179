"""What a bootable disk has besides the image's own files: one more layer, for the merge that takes all layers."""

from __future__ import annotations

from collections.abc import Iterator

from builder.archive.entry import Entry, Kind
from builder.guest.description import Description
from builder.linux import WHITEOUT
from builder.tree.entries import Entries
from builder.tree.lookup import find_node
from builder.tree.nodes import EMPTY, Content
from builder.tree.paths import components
from builder.tree.spool import Spool
from builder.tree.tree import Tree

HOME = ".rootfs-builder"

# Where init mounts something, with the mode that shows when nothing is: a root that cannot be written needs them.
_MOUNT_POINTS = {
    "dev": 0o755,
    "proc": 0o555,
    "sys": 0o555,
    "run": 0o755,
    "tmp": 0o1777,
    f"{HOME}/upper": 0o755,
    f"{HOME}/merged": 0o755,
}


def guest_layer(tree: Tree, spool: Spool, description: Description, init: bytes) -> Entries:
    """Return the entries of init, its description, and what is missing of mount points and of the working directory.

    All of them are root's and of 1970: nothing depends on the user, the umask or the clock.
    """
    return Entries(_entries(tree, spool, description, init))


def _entries(tree: Tree, spool: Spool, description: Description, init: bytes) -> Iterator[tuple[Entry, Content]]:
    # What the image has there, for instance since it was made of such a disk, goes: init believes what it finds.
    yield Entry(WHITEOUT + HOME.encode(), Kind.FILE), EMPTY
    yield Entry(HOME.encode(), Kind.DIRECTORY, 0o755), EMPTY
    yield _file(spool, f"{HOME}/init", init, 0o755)
    yield _file(spool, f"{HOME}/description", description.encode(), 0o644)
    for path, mode in _MOUNT_POINTS.items():
        if path.startswith(HOME) or _is_missing(tree, path):
            yield Entry(path.encode(), Kind.DIRECTORY, mode), EMPTY
    if _is_missing(tree, description.cwd):
        yield Entry(description.cwd.encode("utf-8", "surrogateescape"), Kind.DIRECTORY, 0o755), EMPTY
    written = {"hosts": description.hosts is not None, "hostname": description.hostname_file}
    written |= {"resolv.conf": description.resolver is not None}
    for name, needed in written.items():
        if needed and _is_missing(tree, f"etc/{name}"):
            yield _file(spool, f"etc/{name}", b"", 0o644)


def _file(spool: Spool, path: str, data: bytes, mode: int) -> tuple[Entry, Content]:
    return Entry(path.encode(), Kind.FILE, mode, size=len(data)), spool.keep(data)


def _is_missing(tree: Tree, path: str) -> bool:
    # Not through a link there: where that leads, if anywhere, is for the machine to find.
    parts = components(path.encode("utf-8", "surrogateescape"))
    return bool(parts) and find_node(tree, parts, follow=False) is None
