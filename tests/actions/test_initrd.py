"""Init in an initramfs beside a disk that is exactly the image's tree."""

from __future__ import annotations

import gzip
import json
import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from support.images import Spec, layout
from support.tars import directory, file, tar

from builder import BuildOptions, BuildResult, build
from builder.batch.images import parse_list
from builder.errors import BuilderError, UsageError
from builder.guest.host_files import HostFileRefused
from builder.guest.options import GuestOptions
from builder.guest.process import NothingToRun
from builder.output.beside import read_verity

LAYER = tar(directory("etc"), file("etc/passwd", b"root:x:0:0::/root:\nweb:x:7:8::/srv:\n"))


@pytest.fixture(autouse=True)
def image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    layout(tmp_path / "image", Spec((LAYER,), config={"Cmd": ["/app"], "User": "web"}))


def options(**guest: object) -> BuildOptions:
    said = GuestOptions(**{"initrd": Path("initrd"), **guest})  # type: ignore[arg-type]
    return BuildOptions(guest=said, metadata_file=Path("m.json"))


def made(wanted: BuildOptions, disk: str = "d.ext4") -> BuildResult:
    return build("oci:image", disk, wanted)


def module(*dependencies: str) -> bytes:
    return b"\x7fELF\0license=GPL\0depends=" + ",".join(dependencies).encode() + b"\0"


def write_modules(place: Path) -> None:
    for name, content in {
        "kernel/fs/ext4/ext4.ko": module("mbcache", "jbd2"),
        "kernel/fs/jbd2/jbd2.ko.gz": gzip.compress(module()),
        "kernel/fs/mbcache.ko": module(),
        "kernel/net/bluetooth.ko": module(),
        "kernel/virtio-blk.ko": module(),
    }.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(content)


def members(archive: bytes) -> dict[str, bytes]:
    """Read a newc cpio (buffer-format.rst), independently of what writes it."""
    data, place = gzip.decompress(archive), 0
    found: dict[str, bytes] = {}
    while True:
        assert data[place : place + 6] == b"070701"
        fields = [int(data[place + 6 + 8 * n : place + 14 + 8 * n], 16) for n in range(13)]
        size, length = fields[6], fields[11]
        assert (fields[2], fields[3], fields[5]) == (0, 0, 0)  # root's, of 1970
        name = data[place + 110 : place + 110 + length - 1].decode()
        start = (place + 110 + length + 3) // 4 * 4
        if name == "TRAILER!!!":
            return found
        found[name] = data[start : start + size]
        place = (start + size + 3) // 4 * 4


def state(path: str) -> tuple[int, int, int]:
    status = os.stat(path)
    return status.st_ino, status.st_mtime_ns, status.st_ctime_ns


def test_the_disk_is_the_images_tree_alone_and_init_is_in_the_initramfs(tmp_path: Path) -> None:
    result = made(options())
    bare = made(BuildOptions(guest=GuestOptions(init="none")), "bare.ext4")
    assert Path("d.ext4").read_bytes() == Path("bare.ext4").read_bytes()
    assert result.disk.uuid == bare.disk.uuid
    held = members(Path("initrd").read_bytes())
    assert held["init"].startswith(b"\x7fELF")
    assert {b"cmd=/app", b"uid=7", b"gid=8", b"env=HOME=/srv"} <= set(held["rb/description"].split(b"\0"))
    assert result.guest is not None
    assert result.guest.initrd is not None
    assert json.loads(Path("m.json").read_text())["guest"]["initrd"] == {
        "path": "initrd",
        "size": Path("initrd").stat().st_size,
        "sha256": result.guest.initrd.sha256,
    }
    assert result.root.initrd == tmp_path / "initrd"


def test_modules_come_with_their_dependencies_before_them_and_others_do_not_come() -> None:
    write_modules(Path("modules"))
    made(replace(options(modules=Path("modules")), depfile=Path("d.d")))
    held = members(Path("initrd").read_bytes())
    assert held["rb/modules/order"] == b"virtio_blk.ko\njbd2.ko\nmbcache.ko\next4.ko\n"
    assert held["rb/modules/jbd2.ko"] == module()
    read = {word for word in Path("d.d").read_text().split("\n\n")[0].split() if word.startswith("modules")}
    assert read == {
        *("modules/kernel/fs/ext4/ext4.ko", "modules/kernel/fs/jbd2/jbd2.ko.gz", "modules/kernel/fs/mbcache.ko"),
        "modules/kernel/virtio-blk.ko",
    }


def test_the_same_options_give_the_same_initramfs_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_modules(Path("modules"))
    made(options(modules=Path("modules")))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    before = os.umask(0o077)
    build("oci:../image", "d.ext4", options(modules=Path("../modules"), initrd=Path("i")))
    os.umask(before)
    assert Path("i").read_bytes() == Path("../initrd").read_bytes()


@pytest.mark.parametrize("record", ["metadata", "attribute"])
def test_an_initramfs_that_is_missing_or_changed_is_made_again_and_the_disk_left(record: str) -> None:
    wanted = options() if record == "metadata" else replace(options(), metadata_file=None)
    made(wanted)
    try:
        if record == "metadata":
            os.removexattr("d.ext4", "user.rootfs-builder")
        else:
            os.getxattr("d.ext4", "user.rootfs-builder")
    except OSError:
        if record == "attribute":
            pytest.skip("the file system of temporary files keeps no extended attributes")
    first, disk = Path("initrd").read_bytes(), state("d.ext4")
    for change in (Path.unlink, lambda path: path.write_bytes(b"x")):
        change(Path("initrd"))
        result = made(wanted)
        assert (result.built, Path("initrd").read_bytes()) == (False, first)
        assert state("d.ext4") == disk
    inode = Path("initrd").stat().st_ino
    assert not made(wanted).built
    assert Path("initrd").stat().st_ino == inode
    assert made(wanted).guest == made(replace(wanted, force=True)).guest


def test_another_program_changes_the_initramfs_and_not_the_disks_bytes() -> None:
    made(options())
    disk, archive = Path("d.ext4").read_bytes(), Path("initrd").read_bytes()
    Path("own").write_bytes(b"#!/bin/other\n")
    made(options(init="own"))
    assert Path("d.ext4").read_bytes() == disk
    assert members(Path("initrd").read_bytes())["init"] == b"#!/bin/other\n"
    assert archive != Path("initrd").read_bytes()


def test_a_home_that_is_no_utf8_is_remembered() -> None:
    layer = tar(file("etc/passwd", b"web:x:7:8::/srv/\xf6:\n"))
    layout(Path("image"), Spec((layer,), config={"Cmd": ["/app"], "User": "web"}))
    first, again = made(options()), made(options())
    assert (first.built, again.built, again.guest) == (True, False, first.guest)
    assert b"env=HOME=/srv/\xf6" in members(Path("initrd").read_bytes())["rb/description"].split(b"\0")


def test_bytes_that_are_no_utf8_go_into_metadata_and_out_again() -> None:
    wanted = options(env=("A=\udcf6",), cmd=("/app", "\udcff"))
    first = made(wanted)
    with suppress(OSError):
        os.removexattr("d.ext4", "user.rootfs-builder")
    again = made(wanted)
    assert (again.built, again.guest) == (False, first.guest)
    assert first.guest is not None
    assert (first.guest.argv, "A=\udcf6" in first.guest.env) == (("/app", "\udcff"), True)
    # Where `boot` looks.
    assert read_verity(Path("d.ext4"), Path("m.json")) is None


REFUSED: dict[str, tuple[BuildOptions, type[BuilderError], str]] = {
    "no init": (options(init="none"), UsageError, "leave out --init none, or --initrd"),
    "modules for nobody": (options(initrd=None, modules=Path("modules")), UsageError, "name one with --initrd"),
    "no modules": (options(modules=Path("image")), UsageError, "image: there are no kernel modules here"),
    "the disk's own place": (options(initrd=Path("d.ext4")), UsageError, "two outputs would be written to this file"),
    "the metadata's place": (options(initrd=Path("m.json")), UsageError, "two outputs would be written to this file"),
    "a directory": (options(initrd=Path("image")), BuilderError, "image: exists and is not a regular file"),
    "no such init": (options(init="nowhere"), HostFileRefused, "nowhere: cannot be init: No such file or directory"),
    "init is a directory": (options(init="image"), HostFileRefused, "image: cannot be init: it is no regular file"),
    "init is a fifo": (options(init="fifo"), HostFileRefused, "fifo: cannot be init: it is no regular file"),
    "init is empty": (options(init="empty"), HostFileRefused, "empty: cannot be init: it is empty"),
    "init is huge": (options(init="huge"), HostFileRefused, "huge: cannot be init: it has more than 64 MiB"),
    "a broken module": (
        options(modules=Path("broken")),
        HostFileRefused,
        "ext4.ko.xz: cannot be a kernel module: it",
    ),
    "no module": (options(modules=Path("text")), HostFileRefused, "ext4.ko: cannot be a kernel module: it is no ELF"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_refused_in_one_line_and_nothing_is_written(tmp_path: Path, name: str) -> None:
    os.mkfifo("fifo")
    Path("empty").touch()
    Path("huge").touch()
    os.truncate("huge", (64 << 20) + 1)
    for folder, file_name in (("broken", "ext4.ko.xz"), ("text", "ext4.ko")):
        Path(folder).mkdir()
        Path(folder, file_name).write_bytes(b"text")
    before = sorted(tmp_path.rglob("*"))
    wanted, kind, reason = REFUSED[name]
    with pytest.raises(kind, match=reason.replace("(", r"\(")) as caught:
        made(wanted)
    assert "\n" not in str(caught.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_disk_of_which_no_process_is_known_does_not_speak_for_an_initramfs(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was made, without init and of the same options, where there was no init for its architecture."""
    layout(Path("image"), Spec((LAYER,), platform="linux/s390x", config={"Cmd": ["/app"]}))
    bare = made(BuildOptions(metadata_file=Path("m.json")))
    monkeypatch.setattr("builder.guest.program.ARCHITECTURES", {"s390x": "x86_64"})
    result = made(options())
    assert (bare.guest, result.built, Path("initrd").exists()) == (None, True, True)
    assert result.guest is not None


def test_an_image_that_names_no_program_has_no_use_for_one() -> None:
    layout(Path("image"), Spec((LAYER,)))
    with pytest.raises(NothingToRun):
        made(options())


def test_in_a_list_each_image_has_its_own(tmp_path: Path) -> None:
    words = "oci:image output=a initrd=a.initrd\noci:image output=b initrd=b.initrd\n"
    jobs = parse_list(words, "list", Path("disks"), BuildOptions())
    assert [job.options.guest.initrd for job in jobs] == [Path("a.initrd"), Path("b.initrd")]
    once = BuildOptions(guest=GuestOptions(initrd=Path("i")))
    with pytest.raises(UsageError, match="list line 2: writes i, and so does line 1; name another"):
        parse_list("oci:image output=a\noci:image output=b\n", "list", Path("disks"), once)


@pytest.mark.parametrize("init", ["initrd", "./m.json", "d.ext4"])
def test_an_init_of_ones_own_is_not_written_over(init: str) -> None:
    Path(init).write_bytes(b"mine")
    with pytest.raises(UsageError, match=r"is to be init, and would be written over; give the output another name"):
        made(replace(options(init=init), force=True))
    assert Path(init).read_bytes() == b"mine"
