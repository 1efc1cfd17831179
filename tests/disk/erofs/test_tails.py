"""Files with a last block behind their inode, or too large for that: the same disk however the spool keeps it."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st
from support.disks import OPTIONS
from support.readers import read
from support.trees import differences, expected

from builder.disk import content as placing
from builder.disk.erofs.pack import Erofs
from builder.disk.erofs.place import MOST_BEHIND
from builder.events import ignore
from builder.tool import run_tool
from builder.tree.nodes import Directory, File, Node
from builder.tree.spool import Spool, open_spool
from builder.tree.tree import Tree

SIZES = st.one_of(
    st.sampled_from([0, 1, MOST_BEHIND, MOST_BEHIND + 1, 4095, 4096, 4097, 4096 + MOST_BEHIND]), st.integers(0, 20_000)
)
# Of a file: its size, how many bytes of data at its beginning, its attribute's, and whether it is there once more.
FILES = st.lists(st.tuples(SIZES, st.integers(0, 20_000), st.integers(0, 5_000), st.booleans()), max_size=15)


def tree_of(files: list[tuple[int, int, int, bool]], spool: Spool) -> Tree:
    """Make a tree; of each two files an upper layer has replaced the first."""
    names: dict[bytes, Node] = {}
    links: dict[bytes, Node] = {}
    for number, (size, filled, attribute, linked) in enumerate(files):
        spool.keep(b"deleted" * size)
        data = random.Random(number).randbytes(min(size, filled))
        node = File(mtime_ns=number, content=spool.add(size, [(0, data)] if data else []))
        if attribute > 200:
            node.xattrs = {b"user.x": bytes(attribute)}
        names[b"%d" % number] = node
        if linked:
            links[b"%d" % (number % 3)] = node
    return Tree(Directory(children={b"files": Directory(children=names), b"links": Directory(children=links)}))


@pytest.mark.heavy
# To make a failing case smaller would take minutes.
@settings(max_examples=10, deadline=None, database=None, phases=[Phase.explicit, Phase.generate])
@given(FILES)
@example([(3000, 3000, 2000, True), (7000, 5000, 2000, False)])
def test_a_disk_is_the_same_however_the_spool_keeps_last_blocks_and_whether_others_are_moved(
    files: list[tuple[int, int, int, bool]],
) -> None:
    disks = []
    with pytest.MonkeyPatch.context() as monkeypatch:
        # Little content is moved, too.
        monkeypatch.setattr(placing, "_WORTH", 0)
        for tails, spent in ((0, False), (Erofs.tails, False), (0, True), (Erofs.tails, True)):
            with tempfile.TemporaryDirectory() as name, open_spool(Path(name), tails=tails, spent=spent) as spool:
                image = Path(name) / "image"
                tree = tree_of(files, spool)
                wanted = expected(tree, spool)
                Erofs().pack(tree, spool, OPTIONS, Path(name), image, ignore)
                assert differences(read("erofs", image), wanted) == []
                disks.append(image.read_bytes())
                run_tool(["fsck.erofs", image])
    assert disks == [disks[0]] * 4
    assert b"deleted" not in disks[0]
