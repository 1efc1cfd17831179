"""A disk with dm-verity: the same for everybody, intact to its last byte, and told of in the metadata."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
from support import command
from support.disks import check_ext4, dumpe2fs
from support.images import Spec, layout
from support.tars import file, tar
from support.users import ids, open_to_users, run_as_user
from support.verity import flip, is_intact, read_verity, skip_without_veritysetup

from builder import BuildOptions, DiskOptions, build
from builder.disk import FILESYSTEMS
from builder.disk.filesystem import HEAD
from builder.errors import UsageError
from builder.guest.options import GuestOptions
from builder.vm.machine import MachineOptions
from builder.vm.options import VmConfig, VmOptions
from builder.vm.vmms import VMMS

VERITY = BuildOptions(disk=DiskOptions(verity=True))


@pytest.fixture
def image(tmp_path: Path) -> str:
    skip_without_veritysetup()
    layout(tmp_path / "image", Spec((tar(file("etc/motd", b"words" * 100_000)),)))
    return f"oci:{tmp_path}/image"


@pytest.mark.parametrize("format_", FILESYSTEMS)
def test_every_byte_of_the_disk_is_vouched_for(image: str, tmp_path: Path, format_: str) -> None:
    disk, metadata = tmp_path / f"disk.{format_}", tmp_path / "disk.json"
    built = build(image, disk, replace(VERITY, metadata_file=metadata))
    stated = read_verity(metadata)
    size = disk.stat().st_size
    assert (size % 4096, size, json.loads(metadata.read_bytes())["disk"]["size"]) == (0, built.disk.size, size)
    assert list(stated) == [
        *("rootHash", "salt", "hashOffset", "dataBlocks", "dataBlockSize", "hashBlockSize", "algorithm")
    ]
    assert (stated["hashOffset"], stated["dataBlockSize"]) == (stated["dataBlocks"] * 4096, 4096)
    assert is_intact(disk, stated)
    for position in (1024, stated["hashOffset"] - 1, stated["hashOffset"] + 4096):
        flip(disk, position)
        assert not is_intact(disk, stated), position
        flip(disk, position)
    # To the tools and to us it is what it is without the tree.
    FILESYSTEMS[format_].verify(disk, disk.parent)
    assert FILESYSTEMS[format_].recognises(disk.read_bytes()[:HEAD])
    if format_ == "ext4":
        check_ext4(disk)
        assert "has_journal" not in dumpe2fs(disk)["Filesystem features"].split()


@pytest.mark.parametrize("format_", FILESYSTEMS)
def test_it_is_the_disk_that_it_is_without_and_a_tree_behind_it(image: str, tmp_path: Path, format_: str) -> None:
    plain = build(image, tmp_path / f"a.{format_}", BuildOptions(disk=DiskOptions(size=32 << 20, journal=False)))
    disk = build(image, tmp_path / f"b.{format_}", BuildOptions(disk=DiskOptions(size=32 << 20, verity=True)))
    assert disk.disk.verity is not None
    assert (plain.disk.size, plain.disk.verity, disk.disk.verity.hash_offset) == (32 << 20, None, 32 << 20)
    content = disk.output.read_bytes()
    assert content.startswith(plain.output.read_bytes())
    assert len(content) == disk.disk.size == disk.disk.verity.size


def test_another_uuid_of_the_file_system_is_another_root_hash(image: str, tmp_path: Path) -> None:
    one = build(image, tmp_path / "a.erofs", VERITY).disk
    other = build(image, tmp_path / "b.erofs", BuildOptions(disk=DiskOptions(verity=True, uuid=UUID(int=7)))).disk
    assert (one.verity and one.verity.salt) == (other.verity and other.verity.salt)
    assert (one.verity and one.verity.root_hash) != (other.verity and other.verity.root_hash)


@pytest.mark.heavy
@pytest.mark.parametrize("format_", FILESYSTEMS)
def test_an_ordinary_user_elsewhere_builds_the_same_bytes(image: str, tmp_path: Path, format_: str) -> None:
    open_to_users(tmp_path / "image")
    theirs = open_to_users(tmp_path) / "theirs"
    theirs.mkdir()
    os.chown(theirs, *ids())
    ours = build(image, tmp_path / f"disk.{format_}", VERITY).output
    code = "build(sys.argv[1], sys.argv[2], BuildOptions(disk=DiskOptions(verity=True)))"
    run_as_user("from builder import *", code, image, theirs / f"other.{format_}")
    assert (theirs / f"other.{format_}").read_bytes() == ours.read_bytes()


def test_one_that_is_there_is_up_to_date_and_known_with_its_tree(image: str, tmp_path: Path) -> None:
    options = replace(VERITY, metadata_file=tmp_path / "disk.json")
    first = build(image, tmp_path / "disk.erofs", options)
    before = (tmp_path / "disk.json").read_bytes()
    again = build(image, tmp_path / "disk.erofs", options)
    assert (again.built, again.disk) == (False, first.disk)
    assert (tmp_path / "disk.json").read_bytes() == before
    without = build(image, tmp_path / "disk.erofs")
    assert (without.built, without.disk.verity) == (True, None)
    assert build(image, tmp_path / "disk.erofs", options).built


def test_one_whose_tree_was_cut_off_is_built_again(image: str, tmp_path: Path) -> None:
    options = replace(VERITY, metadata_file=tmp_path / "disk.json")
    disk = build(image, tmp_path / "disk.ext4", options)
    assert disk.disk.verity is not None
    whole, status = disk.output.read_bytes(), disk.output.stat()
    os.truncate(disk.output, disk.disk.verity.hash_offset)
    os.utime(disk.output, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert build(image, disk.output, options).built
    assert disk.output.read_bytes() == whole


@pytest.mark.parametrize("format_", FILESYSTEMS)
def test_an_image_without_files_has_a_tree_as_well(tmp_path: Path, format_: str) -> None:
    skip_without_veritysetup()
    layout(tmp_path / "image", Spec((tar(),)))
    made = build(f"oci:{tmp_path}/image", tmp_path / f"d.{format_}", replace(VERITY, metadata_file=tmp_path / "m"))
    assert is_intact(made.output, read_verity(tmp_path / "m"))


@pytest.mark.heavy
def test_a_batch_writes_the_root_hash_beside_each_disk(image: str, tmp_path: Path) -> None:
    (tmp_path / "list").write_text(f"{image} output=a.ext4\n{image} output=b.erofs verity=no\n{image} output=c.erofs\n")
    ran = command.run("batch", tmp_path / "list", "-o", tmp_path / "disks", "--verity", "-j", 2)
    assert ran.returncode == 0, ran.stderr
    stated = {name: read_verity(tmp_path / f"disks/{name}.json") for name in ("a.ext4", "b.erofs", "c.erofs")}
    assert stated["b.erofs"] is None
    assert is_intact(tmp_path / "disks/a.ext4", stated["a.ext4"])
    assert is_intact(tmp_path / "disks/c.erofs", stated["c.erofs"])


def test_the_command_says_the_root_hash_and_refuses_a_journal(image: str, tmp_path: Path) -> None:
    built = command.run("build", image, "-o", tmp_path / "d.ext4", "--verity", "--metadata-file", tmp_path / "m")
    assert f"verity root hash {read_verity(tmp_path / 'm')['rootHash']}\n" in built.stderr
    assert "its root hash is in no file" not in built.stderr
    unkept = command.run("build", image, "-o", tmp_path / "f.ext4", "--verity")
    advice = f"its root hash is in no file; --metadata-file {tmp_path}/f.ext4.json keeps it, for boot, too"
    assert unkept.stderr.endswith(f"rootfs-builder: notice: {tmp_path}/f.ext4: {advice}\n")
    refused = command.run("build", image, "-o", tmp_path / "e.ext4", "--verity", "--journal")
    reason = "--journal: nothing is ever written to a disk with --verity; leave out one of them"
    assert (refused.returncode, refused.stderr) == (2, f"rootfs-builder: error: {reason}\n")
    assert not (tmp_path / "e.ext4").exists()


def test_every_vmm_is_told_of_the_hash_tree_and_none_writes_to_it(
    image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    options = replace(
        VERITY,
        guest=GuestOptions(init="auto", entrypoint=("/etc/motd",)),
        vm=VmOptions(tuple(VmConfig(name, Path(f"{name}.out")) for name in VMMS), MachineOptions(Path("vmlinux"))),
        metadata_file=Path("m.json"),
    )
    made = build(image, "web.ext4", options)
    stated = read_verity(Path("m.json"))
    for name, line in json.loads(Path("m.json").read_bytes())["kernelCommandLine"].items():
        assert f' sha256 {stated["rootHash"]} {stated["salt"]}" root=/dev/dm-0 rootfstype=ext4 ro ' in line, name
    # In JSON or for a shell, the words between the quotes are as they are.
    assert all(stated["rootHash"] in Path(f"{name}.out").read_text() for name in VMMS)
    firecracker = json.loads(Path("firecracker.out").read_bytes())
    # It would say root=/dev/vda behind our words.
    assert [drive["is_root_device"] for drive in firecracker["drives"]] == [False]
    assert not build(image, "web.ext4", options).built
    assert made.root.verity == made.disk.verity
    before = Path("firecracker.out").read_bytes()
    writable = replace(options, vm=replace(options.vm, machine=MachineOptions(Path("vmlinux"), writable=True)))
    with pytest.raises(UsageError, match="nothing is ever written to a disk with --verity: leave out --writable"):
        build(image, "other.ext4", writable)
    long = replace(options.vm, machine=MachineOptions(Path("vmlinux"), append=("x" * 1700,)))
    with pytest.raises(UsageError, match=r"the kernel command line has 2\d+ bytes, and kernels take 2047"):
        build("oci:image", "other.ext4", replace(options, vm=long))
    assert (Path("firecracker.out").read_bytes() == before, Path("other.ext4").exists()) == (True, False)
