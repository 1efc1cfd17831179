"""Random stacks of layers: the model, the mounted disk of either format, `umoci unpack` and `verify` say the same."""

from __future__ import annotations

import os
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import umoci
from support.disks import OPTIONS
from support.entries import Layer, directory, fifo, file, hardlink, opaque, symlink, whiteout
from support.merge_model import Model, ModelRefuses, from_model, from_tree
from support.mounts import mounted
from support.trees import Found, differences, expected, scan

from builder.actions.verify import verify
from builder.archive.entry import Kind
from builder.disk import FILESYSTEMS
from builder.errors import LayerRefused
from builder.events import ignore
from builder.linux import WHITEOUT
from builder.options import BuildOptions
from builder.tree.spool import open_spool

pytestmark = [pytest.mark.root, pytest.mark.slow]

# By hand: ROOTFS_BUILDER_STACKS=1000 .venv/bin/pytest -n0 tests/actions/test_differential.py
BY_HAND = "ROOTFS_BUILDER_STACKS" in os.environ
STACKS = int(os.environ.get("ROOTFS_BUILDER_STACKS", "10"))

names = st.sampled_from(["a", "b", "c"])
paths = st.lists(names, min_size=1, max_size=3).map("/".join)
facts = st.fixed_dictionaries(
    {
        "mode": st.sampled_from([0o644, 0o4755, 0o1777, 0]),
        "uid": st.sampled_from([0, 7, 65_536]),
        "gid": st.sampled_from([0, 2**32 - 2]),
        "mtime_ns": st.sampled_from([0, 1_234_567_890_123_456_789, -1_000_000_000]),
    }
)
# Not `a/../b`: for umoci and containerd that is `b`; for us, as for Linux, `a` has to be there (test_merge).
entries = st.one_of(
    st.builds(lambda path, size, more: file(path, size, **more), paths, st.integers(0, 9), facts),
    st.builds(lambda path, more: directory(path, **more), paths, facts),
    st.builds(symlink, paths, st.one_of(paths, paths.map("/".__add__), st.sampled_from(["..", "/"]))),
    st.builds(hardlink, paths, paths),
    st.builds(fifo, paths),
    st.builds(whiteout, paths),
    st.builds(opaque, st.one_of(st.just(""), paths)),
)
stacks = st.lists(st.lists(entries, max_size=8), min_size=1, max_size=3)


def timeless(found: dict[bytes, Found]) -> dict[bytes, Found]:
    """Forget the times of directories: those that no layer states have the time of unpacking, elsewhere."""
    return {path: replace(one, mtime_ns=0) if one.kind == "directory" else one for path, one in found.items()}


def in_order(layer: Layer) -> bool:
    """Tell whether what a layer makes depends for umoci on its order; no tool that compares two trees writes such.

    It has a whiteout by way of a symlink that it brings itself, or of a directory that it does not state and has
    something in. For us whiteouts are of what lower layers left, always (test_whiteouts).
    """
    links = {entry.path for entry, _ in layer if entry.kind is Kind.SYMLINK}
    stated = {entry.path for entry, _ in layer if entry.kind is Kind.DIRECTORY}
    for marker in (entry.path for entry, _ in layer if WHITEOUT in entry.path):
        parent, _, name = marker.rpartition(b"/")
        if any((parent + b"/").startswith(link + b"/") for link in links):
            return True
        hidden = (parent + b"/" if parent else b"") + name.removeprefix(WHITEOUT)
        if hidden not in stated and any(entry.path.startswith(hidden + b"/") for entry, _ in layer):
            return True
    return False


@pytest.mark.parametrize("format", FILESYSTEMS)
def test_all_agree_about_random_stacks(format: str, tmp_path: Path) -> None:
    agreed = []

    @settings(
        max_examples=STACKS,
        deadline=None,
        database=None,
        derandomize=not BY_HAND,
        suppress_health_check=list(HealthCheck),
    )
    @given(stacks)
    def agree(stack: list[Layer]) -> None:
        layers = [[directory("./"), *layer] for layer in stack]
        with tempfile.TemporaryDirectory(dir=tmp_path) as name, open_spool(tmp_path) as spool:
            place = Path(name)
            model = Model()
            try:
                for layer in layers:
                    model.apply([entry for entry, _ in layer])
            except ModelRefuses:
                with pytest.raises(LayerRefused):
                    umoci.merged(layers, spool)
                return
            tree = umoci.merged(layers, spool)
            assert from_tree(tree) == from_model(model)
            FILESYSTEMS[format].pack(tree, spool, OPTIONS, place, place / f"disk.{format}", ignore)
            theirs, failure = umoci.unpack(place, layers)
            with mounted(place / f"disk.{format}") as root:
                assert differences(scan_of(root), expected(tree, spool)) == []
                if not failure and not any(map(in_order, layers)):
                    assert differences(timeless(scan_of(root)), timeless(scan(theirs))) == []
            found = verify(place / f"disk.{format}", f"oci:{place}/image:latest", BuildOptions())
            assert (found.faults, found.differences) == ([], [])
            agreed.append(failure == "")

    agree()
    assert any(agreed)


def scan_of(root: Path) -> dict[bytes, Found]:
    """List a mounted disk without what the format itself has put there."""
    return {path: one for path, one in scan(root).items() if path != b"lost+found"}
