"""`inspect DISK`: what a disk says of itself, what stands beside it, and where its bytes are."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from support.images import Spec, layout
from support.tars import directory, file, hardlink, tar

from builder.actions.build import build
from builder.cli.console import Console
from builder.cli.main import cli
from builder.disk.description import describe
from builder.disk.filesystem import DiskOptions
from builder.disk.reading import DiskMalformed
from builder.disk.verity import tree_size
from builder.errors import UsageError
from builder.options import BuildOptions
from builder.tool import find_tool

FORMATS = ("ext4", "erofs")


@pytest.fixture(scope="module")
def disks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A disk of each format with its metadata, of one image."""
    place = tmp_path_factory.mktemp("disks")
    layer = tar(
        directory("a/b"), file("a/b/large", bytes(9000)), hardlink("z", "a/b/large"), file("a/s", b"x" * 5), file("e")
    )
    layout(place / "image", Spec((layer,)))
    for name in FORMATS:
        options = BuildOptions(disk=DiskOptions(label="tools"), metadata_file=place / f"disk.{name}.json")
        build(f"oci:{place / 'image'}", place / f"disk.{name}", options)
    return place


def shown(*words: object) -> list[str]:
    console = Console()
    console.quiet = True
    ran = CliRunner().invoke(cli, ["inspect", *map(str, words)], obj=console, env={"COLUMNS": "300"})
    if ran.exception:
        raise ran.exception
    return ran.stdout.splitlines()


def facts(*words: object) -> dict[str, str]:
    return dict(re.split(r": +", line, maxsplit=1) for line in shown(*words))


@pytest.mark.parametrize("name", FORMATS)
def test_a_disk_says_what_it_is_and_what_it_was_made_of(disks: Path, name: str) -> None:
    disk = disks / f"disk.{name}"
    known = json.loads((disks / f"disk.{name}.json").read_bytes())
    said = facts(disk)
    assert said["Format"] == f"{name}, blocks of 4096 bytes"
    assert (said["Label"], said["UUID"]) == ("tools", known["disk"]["uuid"])
    assert said["Inodes"].split(",")[0] == str(known["disk"]["inodes"])
    assert said["SHA-256"].split()[0] == known["disk"]["sha256"]
    assert said["Image"] == f"oci:{disks / 'image'}"
    assert ("free" in said["Used"]) is (name == "ext4")
    document = json.loads("\n".join(shown(disk, "--json")))
    assert (document["disk"]["size"], document["disk"]["hashTree"]) == (disk.stat().st_size, False)
    assert document["metadata"]["disk"]["sha256"] == known["disk"]["sha256"]


def test_features_are_named_as_dumpe2fs_names_them(tmp_path: Path) -> None:
    disk = tmp_path / "foreign"
    options = "^resize_inode,sparse_super2,meta_bg,inline_data,metadata_csum_seed,large_dir,casefold,encrypt,verity"
    mke2fs = [find_tool("mke2fs"), "-q", "-t", "ext4", "-b", "1024", "-L", "odd \udcff", "-O", options, str(disk), "8M"]
    subprocess.run(mke2fs, check=True, stdout=subprocess.DEVNULL)
    told = subprocess.run([find_tool("dumpe2fs"), "-h", str(disk)], check=True, capture_output=True).stdout
    stated = dict(re.split(r": +", line, maxsplit=1) for line in os.fsdecode(told).splitlines() if ": " in line)
    said = facts(disk)
    assert said["Features"] == stated["Filesystem features"]
    assert said["UUID"] == stated["Filesystem UUID"]
    assert said["Label"] == "odd \\xff"
    found = describe("ext4", disk.read_bytes()[:4096])
    assert found.free == int(stated["Free blocks"]) * 1024
    assert (found.inodes, found.free_inodes) == (int(stated["Inode count"]), int(stated["Free inodes"]))
    assert "Metadata" not in said


@pytest.mark.parametrize("name", FORMATS)
def test_the_tree_of_a_disk_is_summed_and_hardlinks_count_once(disks: Path, name: str) -> None:
    document = json.loads("\n".join(shown(disks / f"disk.{name}", "--tree", "--json")))
    named = {each["path"]: each["size"] for each in document["biggest"] if "rootfs-builder" not in each["path"]}
    assert named == {"/a/b/large": 9000, "/a/s": 5}
    sizes = {each["path"]: each["size"] for each in document["directories"]}
    assert (sizes["/a"], sizes["/a/b"]) == (9005, 9000)
    assert sizes["/"] == document["tree"]["size"]
    assert any(line.endswith("── large") for line in shown(disks / f"disk.{name}", "--tree"))


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _no_metadata(path: Path) -> None:
    path.write_text("[]")


@pytest.mark.parametrize(("spoil", "said"), [(_fifo, None), (_no_metadata, "is no metadata of a disk")])
def test_what_only_has_the_name_of_metadata_is_not_waited_for_and_said(
    disks: Path, tmp_path: Path, spoil: Callable[[Path], None], said: str | None
) -> None:
    disk = tmp_path / "disk.ext4"
    disk.write_bytes((disks / "disk.ext4").read_bytes())
    spoil(tmp_path / "disk.ext4.json")
    found = facts(disk).get("Metadata")
    assert found is None if said is None else said in (found or "")


def test_numbers_that_lie_are_no_traceback(disks: Path, tmp_path: Path) -> None:
    for name, start, end in (("ext4", 1024, 1024 + 0x160), ("erofs", 1028, 1024 + 128)):
        whole = (disks / f"disk.{name}").read_bytes()
        kept = slice(1024 + 0x38, 1024 + 0x3A) if name == "ext4" else slice(0, 0)
        for filler in (b"\0", b"\xff", b"\x7f"):
            spoiled = bytearray(whole)
            spoiled[start:end] = filler * (end - start)
            spoiled[kept] = whole[kept]
            (tmp_path / "disk").write_bytes(spoiled)
            assert facts(tmp_path / "disk")["Format"].startswith(name)
            with pytest.raises(DiskMalformed, match=re.escape(f"{tmp_path / 'disk'}: ")):
                shown(tmp_path / "disk", "--tree")


def test_a_disk_that_was_cut_says_so(disks: Path, tmp_path: Path) -> None:
    (tmp_path / "disk").write_bytes((disks / "disk.ext4").read_bytes()[:100_000])
    assert "copy or build the disk again" in facts(tmp_path / "disk")["Cut"]


def test_a_hash_tree_behind_a_file_system_is_seen_without_metadata(disks: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    whole = (disks / "disk.erofs").read_bytes()
    # With --size, there is room between them.
    roomy = whole.ljust(300 * 4096, b"\0") + b"verity\0\0".ljust(tree_size(300), b"\0")
    disk.write_bytes(whole)
    assert "Verity" not in facts(disk)
    for data in (whole + b"verity\0\0" + bytes(8192), roomy):
        disk.write_bytes(data)
        assert facts(disk)["Verity"] == "a hash tree, whose root hash disk.json would tell"


def test_quick_is_for_images(disks: Path) -> None:
    with pytest.raises(UsageError, match="is a disk"):
        shown(disks / "disk.ext4", "--quick")
