"""A disk is verified against what it was made of: equal where it is, and each fault found where it is not."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from support.command import run
from support.images import Spec, layout
from support.recorded import built
from support.tars import directory, file, hardlink, symlink, tar
from support.verity import flip, skip_without_veritysetup

from builder import AddedTar, Addition, BuildOptions, DiskOptions, GuestOptions, Removal, build, verify
from builder.actions.remake import AnotherImage
from builder.additions.host import AdditionFailed
from builder.disk import FILESYSTEMS
from builder.disk.reading import DiskUnreadable
from builder.errors import UsageError
from builder.limits import Limits
from builder.output.beside import metadata_path
from builder.tool import find_tool

LAYER = tar(
    directory("etc"),
    file("etc/passwd", b"root:x:0:0::/root:/bin/sh\n", mode=0o600),
    file("bin/sh", b"#!" + b"sh" * 3000, mode=0o4755),
    hardlink("bin/ash", "bin/sh"),
    symlink("lib", "usr/lib"),
)
SPEC = Spec((LAYER,), config={"Cmd": ["/bin/sh"]})


@pytest.fixture
def image(tmp_path: Path) -> str:
    layout(tmp_path / "image", SPEC)
    return f"oci:{tmp_path}/image"


def lines(disk: Path, reference: str | None = None) -> list[str]:
    found = verify(disk, reference)
    return [*map(str, found.faults), *map(str, found.differences), *found.remarks]


@pytest.mark.parametrize("format_", FILESYSTEMS)
def test_a_new_disk_is_equal_with_all_that_options_made_of_it(image: str, tmp_path: Path, format_: str) -> None:
    skip_without_veritysetup()
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/file").write_bytes(b"added")
    options = BuildOptions(
        disk=DiskOptions(verity=True),
        guest=GuestOptions(env=("A=b\udcff",), dns=("192.0.2.1",), working_dir="/srv/new", hostname="host"),
        additions=(Addition(tmp_path / "tree", "/opt/tree", mode=0o640, owner=(5, 6)), Removal("/bin/ash")),
        source_date_epoch=1_000_000_000,
    )
    found = verify(built(image, tmp_path / f"disk.{format_}", options))
    assert (found.equal, found.differences, found.faults, found.remarks) == (True, [], [], [])
    assert (found.reference, found.has_verity) == (image, True)
    assert found.actual == found.recorded is not None
    assert found.names > 15


@pytest.mark.parametrize("format_", FILESYSTEMS)
def test_another_image_is_told_name_by_name(image: str, tmp_path: Path, format_: str) -> None:
    disk = tmp_path / f"disk.{format_}"
    build(image, disk, BuildOptions(guest=GuestOptions(init="none")))
    other = tar(
        directory("etc"),
        file("etc/passwd", b"root:x:0:0::/root:/bin/ash", mode=0o644),
        file("bin/sh", b"#!" + b"sh" * 2999 + b"xx", mode=0o4755),
        file("bin/ash", mode=0o4755),
        file("new\n"),
    )
    layout(tmp_path / "other", Spec((other,), config={"Cmd": ["/bin/sh"]}))
    found = verify(disk, f"oci:{tmp_path}/other")
    assert not found.equal
    assert [str(each) for each in found.differences] == [
        "/bin/ash: size 6002, expected 0",
        "/bin/ash: links 2, expected 1",
        "/bin/sh: hardlink of '/bin/ash', expected of nothing",
        "/bin/sh: links 2, expected 1",
        "/bin/sh: content 0x73 at byte 6000, expected 0x78",
        "/etc/passwd: mode 0600, expected 0644",
        "/etc/passwd: content 0x73 at byte 23, expected 0x61",
        "/lib: extra",
        "/new\\n: missing",
    ]


def test_a_changed_input_is_not_compared_and_said(image: str, tmp_path: Path) -> None:
    (tmp_path / "motd").write_bytes(b"hello")
    options = BuildOptions(additions=(Addition(tmp_path / "motd", "/opt/app/motd"), Addition(b"bytes", "/opt/bytes")))
    disk = built(image, tmp_path / "disk.ext4", options)
    bytes_gone, remark = lines(disk), "/opt/bytes is not compared: --add (bytes of a program):/opt/bytes: "
    assert len(bytes_gone) == 1
    assert bytes_gone[0].startswith(remark)
    (tmp_path / "motd").write_bytes(b"other")
    changed = f"/opt/app/motd is not compared: --add {tmp_path}/motd:/opt/app/motd: "
    assert lines(disk)[0] == changed + "it is not what it was when the disk was made"
    (tmp_path / "motd").unlink()
    assert lines(disk)[0] == changed + f"there is no '{tmp_path}/motd' on this machine; check the path"


def test_what_could_not_be_compared_is_not_equal_where_the_disk_is_not_what_it_was(image: str, tmp_path: Path) -> None:
    disk = built(image, tmp_path / "disk.ext4", BuildOptions(additions=(Addition(b"only here", "/opt/bytes"),)))
    assert verify(disk).equal
    flip(disk, disk.read_bytes().index(b"only here"))
    (fault,) = verify(disk).faults
    assert str(fault).endswith(", and not all of the tree could be compared")


def test_without_what_was_added_to_the_root_nothing_can_be_compared(image: str, tmp_path: Path) -> None:
    (tmp_path / "more.tar").write_bytes(tar(file("more")))
    disk = built(image, tmp_path / "disk.ext4", BuildOptions(additions=(AddedTar(tmp_path / "more.tar"),)))
    assert lines(disk) == []
    (tmp_path / "more.tar").unlink()
    with pytest.raises(AdditionFailed) as caught:
        verify(disk)
    assert caught.value.reason.endswith("without it nothing can be compared")


def test_another_init_is_not_compared_and_said(image: str, tmp_path: Path) -> None:
    disk = built(image, tmp_path / "disk.ext4")
    path = metadata_path(disk)
    metadata = json.loads(path.read_bytes())
    metadata["tools"]["init"] = "0" * 64
    path.write_text(json.dumps(metadata))
    version = metadata["builder"]
    assert lines(disk) == [f"/.rootfs-builder is not compared: the disk has another init, of rootfs-builder {version}"]


def test_init_in_an_initramfs_leaves_the_tree_alone(image: str, tmp_path: Path) -> None:
    disk = built(image, tmp_path / "disk.ext4", BuildOptions(guest=GuestOptions(initrd=tmp_path / "initrd")))
    assert lines(disk) == []
    assert verify(disk, image).equal


def test_a_tag_that_has_moved_is_no_difference_but_a_refusal(image: str, tmp_path: Path) -> None:
    disk = built(image, tmp_path / "disk.ext4")
    layout(tmp_path / "image", replace(SPEC, config={"Cmd": ["/other"]}))
    with pytest.raises(AnotherImage) as caught:
        verify(disk)
    assert caught.value.reference == image
    # Whoever names it means it.
    assert [each.path for each in verify(disk, image).differences] == [b"/.rootfs-builder/description"]


@pytest.mark.parametrize("format_", FILESYSTEMS)
def test_a_changed_byte_is_found_by_whoever_sees_it(image: str, tmp_path: Path, format_: str) -> None:
    skip_without_veritysetup()
    disk = built(image, tmp_path / f"disk.{format_}", BuildOptions(disk=DiskOptions(verity=True)))
    data = disk.read_bytes()
    content = data.index(b"#!shsh") + 100
    flip(disk, content)
    found = verify(disk)
    assert str(found.differences[0]).startswith("/bin/ash: content 0x")
    tree = f"the hash tree: block {content // 4096} has not the hash that the tree has of it"
    assert tree in map(str, found.faults)
    flip(disk, content)
    root = json.loads(metadata_path(disk).read_bytes())["verity"]["hashOffset"] + 4096
    flip(disk, root)
    assert "its root hash is" in str(verify(disk).faults[-1])
    flip(disk, root)
    flip(disk, len(data) - 4096 * 2 + 4000 if format_ == "ext4" else 100)
    outside = verify(disk)
    assert outside.actual != outside.recorded


def test_a_byte_outside_the_tree_is_a_remark(image: str, tmp_path: Path) -> None:
    disk = built(image, tmp_path / "disk.ext4")
    # What boot loaders have, and ext4 has not.
    flip(disk, 100)
    found = verify(disk)
    assert (found.equal, found.actual == found.recorded) == (True, False)
    assert found.remarks == ["its sha256 is not the recorded one: what differs is not part of the tree"]
    assert [str(fault) for fault in verify(disk, quick=True).faults] == [
        f"sha256: {found.actual}, expected {found.recorded}"
    ]


def test_a_disk_that_is_no_file_system_any_more_is_a_fault(image: str, tmp_path: Path) -> None:
    disk = built(image, tmp_path / "disk.ext4")
    os.truncate(disk, disk.stat().st_size // 2)
    assert [fault.by for fault in verify(disk).faults] == ["the disk"]
    assert not verify(disk, quick=True).equal


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["nothing"], 1, "nothing: cannot be read: No such file or directory"),
        (["text"], 2, "text: is no disk; name one of ext4 or erofs"),
        (
            ["alone.ext4"],
            2,
            "alone.ext4: there is no alone.ext4.json that says what it was made of; name an IMAGE, or --metadata",
        ),
        (["alone.ext4", "--quick"], 2, "alone.ext4: its sha256 is not on record in alone.ext4.json; name --metadata"),
        (["alone.ext4", "oci:image", "--quick"], 2, "--quick looks at no image; leave out IMAGE, or --quick"),
        (["alone.ext4", "--metadata", "text"], 2, "text: is no metadata of a disk"),
        (["alone.ext4", "oci:nowhere"], 1, "nowhere: there is no such directory"),
        (["docker://x.invalid/disk:1"], 2, "docker://x.invalid/disk:1: is not here; pull it, and verify that"),
    ],
)
def test_what_cannot_be_verified_is_said_in_one_line(
    image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], status: int, said: str
) -> None:
    build(image, tmp_path / "alone.ext4")
    (tmp_path / "text").write_text("text")
    monkeypatch.chdir(tmp_path)
    done = run("verify", "--progress", "none", *arguments)
    assert (done.returncode, done.stdout) == (status, "")
    assert done.stderr.startswith(f"rootfs-builder: error: {said}")
    assert done.stderr.count("\n") == 1


def test_metadata_that_say_what_no_option_takes_are_refused(image: str, tmp_path: Path) -> None:
    disk = built(image, tmp_path / "disk.ext4")
    good = metadata_path(disk).read_text()
    for name, odd in [
        ("env", [1]),
        ("dns", "192.0.2.1"),
        ("dedupe", "yes"),
        ("label", {"a": 1}),
        ("platform", True),
        ("sourceDateEpoch", -5),
        ("additions", 5),
        ("additions", [{"add": "x", "target": 5, "mode": "9", "owner": "q"}]),
        ("additions", [{"add": "/\ud800", "target": "/x", "mode": None, "owner": None}]),
    ]:
        stated = json.loads(good)
        stated["options"][name] = odd
        metadata_path(disk).write_text(json.dumps(stated))
        with pytest.raises(UsageError):
            verify(disk)


@pytest.mark.heavy
def test_the_command_prints_differences_and_the_status_says_it(image: str, tmp_path: Path) -> None:
    disk = built(image, tmp_path / "disk.erofs")
    equal = run("verify", disk, "--progress", "none")
    assert (equal.returncode, equal.stdout) == (0, "")
    assert equal.stderr.startswith(f"{disk}: equal; ")
    layout(tmp_path / "other", Spec((tar(file("\x1b[31m", b"x")),), config={"Cmd": ["/bin/sh"]}))
    differs = run("verify", disk, f"oci:{tmp_path}/other", "--progress", "none")
    assert differs.returncode == 1
    assert "/\\x1b[31m: missing" in differs.stdout.splitlines()
    assert "/bin: extra" in differs.stdout.splitlines()
    told = json.loads(run("verify", disk, f"oci:{tmp_path}/other", "--json").stdout)
    assert (told["equal"], told["format"]) == (False, "erofs")
    assert {"path": "/\x1b[31m", "what": "missing", "found": None, "expected": "file"} in told["differences"]
    assert len(told["differences"]) == len(differs.stdout.splitlines())


def test_what_metadata_say_of_a_digest_cannot_move_a_cursor(image: str, tmp_path: Path) -> None:
    disk = built(image, tmp_path / "disk.ext4")
    good = metadata_path(disk).read_text()
    metadata_path(disk).write_text(good.replace('"sha256": "', '"sha256": "\\u001b[2J\\n'))
    (fault,) = verify(disk, quick=True).faults
    assert ", expected \\x1b[2J\\n" in str(fault)


def test_as_many_names_are_read_as_an_image_may_have(image: str, tmp_path: Path) -> None:
    build(image, disk := tmp_path / "disk.ext4", BuildOptions(guest=GuestOptions(init="none")))
    layout(tmp_path / "less", Spec((tar(file("one")),)))
    few = BuildOptions(limits=Limits(max_entries=2))
    assert "--max-entries" in str(verify(disk, f"oci:{tmp_path}/less", few).faults)


def test_a_lost_and_found_of_the_image_is_held_against_the_disks(tmp_path: Path) -> None:
    """Linux distributions' trees have one, and it may become the first inode, as the one that mke2fs makes."""
    disk = tmp_path / "disk.ext4"
    layout(tmp_path / "image", Spec((tar(directory("lost+found", mode=0o700)),), config={"Cmd": ["/bin/sh"]}))
    build(f"oci:{tmp_path}/image", disk, BuildOptions(guest=GuestOptions(init="none")))
    assert lines(disk, f"oci:{tmp_path}/image") == []
    layout(tmp_path / "other", Spec((tar(directory("lost+found", mode=0o755)),), config={"Cmd": ["/bin/sh"]}))
    assert lines(disk, f"oci:{tmp_path}/other") == ["/lost+found: mode 0700, expected 0755"]


def test_what_chattr_sets_is_a_difference_for_no_image_has_it(image: str, tmp_path: Path) -> None:
    disk = built(image, tmp_path / "disk.ext4")
    for path, flags in (("/etc/passwd", 0x80000 | 0x10 | 0x80), ("/etc", 0x80000 | 0x20)):
        change = [find_tool("debugfs"), "-w", "-R", f"sif {path} flags {flags:#x}", str(disk)]
        subprocess.run(change, check=True, capture_output=True)
    said = ["/etc: flag append-only extra", "/etc/passwd: flag immutable extra", "/etc/passwd: flag no-atime extra"]
    assert [str(each) for each in verify(disk).differences] == said


def test_errors_of_the_disk_itself_are_not_taken_for_those_of_an_image(tmp_path: Path) -> None:
    with pytest.raises(DiskUnreadable):
        verify(tmp_path / "nothing", "oci:nowhere")
    with pytest.raises(UsageError):
        verify(tmp_path, "oci:nowhere")
