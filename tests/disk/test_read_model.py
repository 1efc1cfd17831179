"""Whatever layers make of a tree, our readers find just that on the disks of it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.disks import OPTIONS
from support.entries import Layer, directory, entry, hardlink, opaque, symlink, whiteout
from support.everything import ACCESS_ACL, CAPABILITY, SPARSE
from support.readers import read
from support.trees import differences, expected

from builder.archive.entry import Kind
from builder.disk import FILESYSTEMS
from builder.errors import LayerRefused
from builder.events import ignore
from builder.tree.entries import Entries
from builder.tree.merge import apply_layer
from builder.tree.nodes import Content
from builder.tree.spool import Spool, open_spool
from builder.tree.tree import Tree

SIZES = (1, 59, 4095, 4096, 4097, 20_000)


@pytest.fixture(scope="module")
def spool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Spool]:
    with open_spool(tmp_path_factory.mktemp("spool")) as spool:
        yield spool


@pytest.fixture(scope="module")
def contents(spool: Spool) -> list[Content]:
    filled = [spool.keep(bytes([number + 1]) * size) for number, size in enumerate(SIZES)]
    return [Content(0, 0), *filled, spool.add(3 << 20, SPARSE)]


names = st.sampled_from(["a", "b", "n" * 255, "\udcff\n", "-"])
paths = st.lists(names, min_size=1, max_size=3).map("/".join)
xattrs = st.dictionaries(
    st.sampled_from([b"trusted.short", b"trusted.long"]), st.sampled_from([b"", b"v", b"v" * 300]), max_size=2
)
on_files = xattrs.map(
    lambda found: {**found, b"security.capability": CAPABILITY, b"system.posix_acl_access": ACCESS_ACL}
)
facts = st.fixed_dictionaries(
    {
        "mode": st.integers(0, 0o7777),
        "uid": st.sampled_from([0, 1, 65_535, 65_536, 2**32 - 2]),
        "gid": st.sampled_from([0, 1, 65_535, 65_536, 2**32 - 2]),
        "mtime_ns": st.integers(-(2**31) * 10**9, (2**34 - 2**31) * 10**9 - 1),
        "xattrs": xattrs,
    }
)


def stacks(contents: list[Content]) -> st.SearchStrategy[list[Layer]]:
    files = st.builds(
        lambda path, content, more, attributes: entry(
            path, Kind.FILE, content, size=content.size, **{**more, "xattrs": attributes}
        ),
        *(paths, st.sampled_from(contents), facts, st.one_of(xattrs, on_files)),
    )
    devices = st.builds(
        lambda path, kind, major, minor, more: entry(path, kind, major=major, minor=minor, **more),
        *(paths, st.sampled_from([Kind.CHARACTER, Kind.BLOCK]), st.sampled_from([1, 255, 256, 4095])),
        *(st.sampled_from([1, 255, 256, 2**20 - 1]), facts),
    )
    entries = st.one_of(
        files,
        st.builds(lambda path, more: directory(path, **more), paths, facts),
        st.builds(symlink, paths, st.sampled_from(["t", "t" * 59, "t" * 60, "t" * 4000])),
        st.builds(hardlink, paths, paths),
        devices,
        st.builds(whiteout, paths),
        st.builds(opaque, st.one_of(st.just(""), paths)),
    )
    return st.lists(st.lists(entries, max_size=12), min_size=1, max_size=4)


@pytest.mark.heavy
def test_readers_find_what_layers_made(spool: Spool, contents: list[Content], tmp_path: Path) -> None:
    seen = []

    @settings(max_examples=25, deadline=None, database=None)
    @given(stacks(contents))
    def agree(stack: list[Layer]) -> None:
        tree = Tree()
        for layer in stack:
            try:
                apply_layer(tree, "layer", Entries(layer))
            except LayerRefused:
                # What came before that is a tree, too.
                break
        for format, filesystem in FILESYSTEMS.items():
            with tempfile.TemporaryDirectory(dir=tmp_path) as name:
                disk = Path(name, "disk")
                filesystem.pack(tree, spool, OPTIONS, Path(name), disk, ignore)
                assert differences(read(format, disk), expected(tree, spool)) == []
        seen.append(len(tree.root.children))

    agree()
    # Refused stacks show nothing; there must be others.
    assert sum(count > 0 for count in seen) > 2
