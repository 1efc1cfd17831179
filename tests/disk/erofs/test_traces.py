"""What mkfs.erofs made for us alone leaves no trace in the image."""

from __future__ import annotations

import random
from pathlib import Path

from builder.disk.erofs.pack import Erofs
from builder.disk.filesystem import Compression, DiskOptions
from builder.events import ignore
from builder.tree.nodes import Directory, File
from builder.tree.spool import open_spool
from builder.tree.tree import Tree


def test_the_directories_that_mkfs_erofs_was_fed_leave_nothing_behind(tmp_path: Path) -> None:
    """They call the files 000, 001 and so on."""
    data = random.Random(3).randbytes
    with open_spool(tmp_path) as spool:
        files = [File(content=spool.keep(data(5000))) for _ in range(1500)]
        tree = Tree(Directory(children={b"name-%d" % number: file for number, file in enumerate(files)}))
        Erofs().pack(tree, spool, DiskOptions(compress=Compression("lz4")), tmp_path, tmp_path / "disk", ignore)
    image = (tmp_path / "disk").read_bytes()
    assert (b"name-1499" in image, b"001002003" in image, b"301302303" in image) == (True, False, False)
