"""How veritysetup is called: it appends a hash tree to a finished disk (see verity.py)."""

from __future__ import annotations

import errno
import os
import re
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from builder.disk.filesystem import DiskFacts, DiskOptions, derived_uuid
from builder.disk.verity import BLOCK_SIZE, Verity, tree_size
from builder.errors import MissingRequirement, UsageError
from builder.exact import allocate
from builder.files.descriptors import opened, path_of
from builder.tool import run_tool, tool_version

_TOOL = "veritysetup"
_ROOT_HASH = re.compile(r"^Root hash:\s+([0-9a-f]{64})$", re.MULTILINE)

# What a file system answers that cannot keep room.
_CANNOT = frozenset({errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.ENODEV})


def check_verity(options: DiskOptions) -> dict[str, str]:
    """Give the version of veritysetup, if it will take part, before any layer is read.

    Raises UsageError for a disk that is to be written to as well, and MissingRequirement naming what to install.
    """
    if not options.verity:
        return {}
    if options.journal:
        raise UsageError("--journal: nothing is ever written to a disk with --verity; leave out one of them")
    return {_TOOL: tool_version(_TOOL)}


def add_hash_tree(image: Path, facts: DiskFacts, seed: bytes) -> DiskFacts:
    """Append a hash tree to the disk `image`, and return its facts with it.

    Salt and UUID derive from `seed`, which stands for the content. Raises ToolFailed, MissingRequirement for a
    veritysetup that does not do its work, or OSError (a full disk).
    """
    with opened(image, os.O_RDWR) as fd:
        size = os.fstat(fd).st_size
        blocks = size // BLOCK_SIZE
        _keep_room(fd, size, tree_size(blocks), image)
        salt = sha256(seed + b"\0verity salt").hexdigest()
        # By its descriptor: nobody can put another file in its place.
        argv: list[str | Path] = [
            _TOOL,
            "format",
            *(path_of(fd), path_of(fd)),
            *("--format=1", "--hash=sha256", f"--salt={salt}"),
            f"--uuid={derived_uuid(seed, 'verity UUID')}",
            *(f"--data-blocks={blocks}", f"--data-block-size={BLOCK_SIZE}", f"--hash-block-size={BLOCK_SIZE}"),
            f"--hash-offset={size}",
        ]
        said = _ROOT_HASH.search(run_tool(argv, inherited=(fd,), confined=True, output=image).stdout)
        whole = os.fstat(fd).st_size
    if said is None or whole != size + tree_size(blocks):
        raise MissingRequirement("veritysetup ended well and made no hash tree: install a working cryptsetup-bin")
    verity = Verity(root_hash=said[1], salt=salt, hash_offset=size, data_blocks=blocks)
    return replace(facts, size=whole, verity=verity)


def _keep_room(fd: int, position: int, length: int, image: Path) -> None:
    """See to it that a full disk is known as one: veritysetup only says that it cannot."""
    try:
        allocate(fd, position, length)
    except OSError as error:
        if error.errno not in _CANNOT:
            raise OSError(error.errno, error.strerror, os.fspath(image)) from error
