"""What cannot be meant is wrong usage from Python, too, and nothing is done for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.images import Spec, layout
from support.tars import file, tar

from builder import BuildOptions, DiskOptions, MachineOptions, VmConfig, VmOptions, build, push, unpack, verify
from builder.errors import UsageError


@pytest.mark.parametrize(
    "said",
    [
        BuildOptions(format="xfs"),
        BuildOptions(disk=DiskOptions(free=-(1 << 30))),
        BuildOptions(disk=DiskOptions(inodes=0)),
        BuildOptions(source_date_epoch=-1),
        BuildOptions(sandbox="required"),
        # What has a type, as text that says nothing of it.
        BuildOptions(disk=DiskOptions(free="much")),  # type: ignore[arg-type]
        BuildOptions(disk=DiskOptions(uuid="1")),  # type: ignore[arg-type]
        BuildOptions(platform="linux"),  # type: ignore[arg-type]
        BuildOptions(metadata_file="-"),  # type: ignore[arg-type]
        # A text where there may be several, which is none of its characters.
        BuildOptions(vm=VmOptions(machine=MachineOptions(append="quiet"))),  # type: ignore[arg-type]
    ],
    ids=str,
)
def test_python_is_told_of_the_mistakes_that_the_command_line_is_told_of(said: BuildOptions, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        build("oci:nowhere", tmp_path / "disk.ext4", said)
    assert list(tmp_path.iterdir()) == []


def test_python_is_told_what_there_is_where_it_names_what_is_not(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'xen' is no VMM; choose one of firecracker, qemu"):
        VmConfig("xen", tmp_path / "xen")
    with pytest.raises(UsageError, match="'qcow2' is no form for a disk; choose one of artifact, "):
        push(tmp_path / "disk.ext4", "docker://localhost:1/disk:1", form="qcow2")


def test_paths_are_taken_as_paths_and_as_text(tmp_path: Path) -> None:
    layout(tmp_path / "image", Spec((tar(file("file", b"content")),)))
    text: Any = str(tmp_path / "m.json")
    script: Any = str(tmp_path / "script")
    vm = VmOptions((VmConfig("qemu", script),), MachineOptions(kernel=tmp_path / "vmlinuz"))
    build(tmp_path / "image", tmp_path / "disk.erofs", BuildOptions(metadata_file=text, vm=vm))
    assert (tmp_path / "script").exists()
    for metadata in (tmp_path / "m.json", text):
        assert verify(str(tmp_path / "disk.erofs"), tmp_path / "image", metadata=metadata).differences == []
    unpack(tmp_path / "image", tmp_path / "tree")
    assert (tmp_path / "tree/file").read_bytes() == b"content"
