"""Whether the image has the program that its process runs: asked at build time, where it can still be mended."""

from __future__ import annotations

from collections.abc import Iterator
from posixpath import join, normpath

from builder.guest.process import Process
from builder.tree.lookup import find_node
from builder.tree.nodes import Directory, File
from builder.tree.paths import Refusal, components
from builder.tree.tree import Tree
from builder.words import quoted

# The kernel's MAX_ARG_STRLEN (linux/binfmts.h), in bytes, with the NUL.
_MAX_STRING = 1 << 17

# Where init mounts what it cannot go on without.
_MOUNT_POINTS = ("dev", "proc", "sys")

# What only a running guest has, or may have more of.
_LATER = ("/proc/", "/sys/", "/dev/", "/run/", "/tmp/")


def doubt(process: Process, tree: Tree) -> str | None:
    """Say, in half a sentence, why a process will not start; None where nothing speaks against it.

    That is no failure of the build: what runs before it, or a disk of its own, may bring what is missing.
    """
    settings = [f"{name}={value}" for name, value in process.env.items()]
    if any(len(text.encode("utf-8", "surrogateescape")) >= _MAX_STRING for text in (*process.argv, *settings)):
        return f"Linux takes no argument or variable of more than {_MAX_STRING - 1} bytes (status 126)"
    if (blocked := next((name for name in _MOUNT_POINTS if not _can_be_mounted_at(tree, name)), None)) is not None:
        return f"/{blocked} is no directory, and init has to mount the machine's own there"
    if not _can_be_entered(tree, process.cwd):
        return f"the working directory {quoted(process.cwd, 200)} is no directory (status 126)"
    program = process.argv[0]
    places = list(_places(process, program))
    if any(place.startswith(_LATER) for place in places):
        return None
    try:
        found = [find_node(tree, components(place.encode("utf-8", "surrogateescape"))) for place in places]
    except Refusal:
        return None
    files = [node for node in found if isinstance(node, File)]
    if any(file.mode & 0o111 for file in files):
        return None
    if files:
        return f"nobody may execute {quoted(program, 200)} (status 126)"
    where = "" if "/" in program else f" in {quoted(process.env.get('PATH') or '', 200)}"
    return f"the image has no program {quoted(program, 200)}{where} (status 127)"


def _can_be_mounted_at(tree: Tree, name: str) -> bool:
    """Say whether a name at the root is a directory, also by a link, or missing, so that init makes one."""
    parts = components(name.encode())
    try:
        return find_node(tree, parts, follow=False) is None or isinstance(find_node(tree, parts), Directory)
    except Refusal:
        return False  # a loop of links


def _can_be_entered(tree: Tree, path: str) -> bool:
    """Say whether nothing on the way to a directory, which init makes where it is missing, is something else."""
    try:
        parts = components(path.encode("utf-8", "surrogateescape"))
        # From the root on, up to the first that is missing.
        for count in range(1, len(parts) + 1):
            node = find_node(tree, parts[:count])
            if not isinstance(node, Directory):
                return node is None
    except Refusal:
        pass  # for the machine to say
    return True


def _places(process: Process, program: str) -> Iterator[str]:
    """List where execvp(3) looks for a program; an empty folder of PATH is the working directory."""
    folders = ["."] if "/" in program else (process.env.get("PATH") or "").split(":")
    for folder in folders:
        yield normpath(join(process.cwd, folder, program))
