"""A program of a tool's name that does not do its work is named; nothing is made of what it left."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from builder.disk import FILESYSTEMS
from builder.disk.filesystem import DiskOptions, Filesystem
from builder.errors import MissingRequirement
from builder.events import ignore
from builder.tool import find_tool
from builder.tree.spool import open_spool
from builder.tree.tree import Tree

# What each program does with its image, which is its last word or the one before.
WRITES = {
    "nothing": "exit 0",
    "zeros": 'head -c 1048576 /dev/zero > "$image"',
    "noise": 'head -c 1048576 /dev/urandom > "$image"',
}


@pytest.mark.parametrize("what", WRITES)
@pytest.mark.parametrize("filesystem", FILESYSTEMS.values(), ids=FILESYSTEMS)
def test_a_tool_that_makes_no_file_system_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, filesystem: Filesystem, what: str
) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("mke2fs", "mkfs.erofs"):
        script = f"""#!/bin/sh
case "$*" in *-V*|*--help*) exec {find_tool(name)} "$@";; esac
case "$*" in *--tar=*) left=1;; *) left=2;; esac
while [ $# -gt $left ]; do shift; done
image=$1
{WRITES[what]}
"""
        (tools / name).write_text(script)
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    options = DiskOptions(seed=bytes(32))
    filesystem.check(options)
    with open_spool(tmp_path) as spool, pytest.raises(MissingRequirement) as caught:
        filesystem.pack(Tree(), spool, options, tmp_path, tmp_path / "disk", ignore)
    assert str(caught.value) in (
        "mke2fs ended well and made no ext4 file system: install a working e2fsprogs",
        "mkfs.erofs ended well and made no erofs image: install a working erofs-utils",
    )
