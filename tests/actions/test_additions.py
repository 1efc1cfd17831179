"""Files of one's own in a disk: what is there in the end, and what never leaves a trace."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from support.additions import CHANGES, options, sources, write_image
from support.tars import file, tar

from builder import AddedTar, Addition, BuilderError, Removal, build, unpack
from builder.disk import FILESYSTEMS
from builder.errors import UsageError
from builder.events import Event, Stage
from builder.guest.options import GuestOptions
from builder.tool import find_tool


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    write_image(tmp_path)


def debugfs(disk: str, command: str) -> bytes:
    return subprocess.run([find_tool("debugfs"), "-R", command, disk], check=True, capture_output=True).stdout


def test_additions_are_in_the_disk() -> None:
    sources()
    build("oci:image", "x.ext4", options())
    for path, content in {
        "/usr/bin/app": b"#!/bin/sh\n",
        "/srv/sub/f": b"f",
        "/opt/t": b"t",
        "/etc/app.conf": b"conf",
        "/etc/motd": b"",
    }.items():
        assert debugfs("x.ext4", f"cat {path}") == content
    assert b"Mode:  0600" in debugfs("x.ext4", "stat /etc/app.conf")
    assert b"User:     5   Group:     6" in debugfs("x.ext4", "stat /srv/sub/f")


@pytest.mark.parametrize("format", FILESYSTEMS)
def test_neither_place_nor_user_nor_umask_nor_clock_nor_holes_leave_a_trace(tmp_path: Path, format: str) -> None:
    umask = os.umask(0o077)
    try:
        (tmp_path / "one").mkdir()
        sources(tmp_path / "one")
        with open("one/d/zeros", "wb") as file_:
            file_.truncate(1 << 20)
        os.umask(0o002)
        (tmp_path / "two").mkdir()
        sources(tmp_path / "two")
        (tmp_path / "two/d/zeros").write_bytes(bytes(1 << 20))
        for path in (tmp_path / "two").rglob("*"):
            os.utime(path, (1, 1), follow_symlinks=False)
            if os.geteuid() == 0:
                os.chown(path, 1234, 1234, follow_symlinks=False)
    finally:
        os.umask(umask)
    disks = []
    for name in ("one", "two"):
        changes = [
            replace(each, source=f"{name}/{each.source}")
            if not isinstance(each, Removal) and isinstance(each.source, str)
            else each
            for each in CHANGES
        ]
        disk = Path(f"{name}.{format}")
        build("oci:image", disk, options(*changes))
        disks.append(disk.read_bytes())
    assert disks[0] == disks[1]


def test_times_are_source_date_epoch_or_1970() -> None:
    sources()
    for epoch, stated in ((None, b"mtime: 0x00000000"), (1_000_000_000, b"mtime: 0x3b9aca00")):
        build("oci:image", "x.ext4", options(Addition("d", "/srv"), source_date_epoch=epoch))
        for path in ("/srv", "/srv/sub/f", "/srv/s"):
            assert stated in debugfs("x.ext4", f"stat {path}")


def test_times_of_a_tar_are_clamped_as_those_of_layers() -> None:
    build("oci:image", "x.ext4", options(AddedTar(tar(file("t", mtime="2000000000"))), source_date_epoch=1_000_000_000))
    assert b"mtime: 0x3b9aca00" in debugfs("x.ext4", "stat /t")


@pytest.mark.parametrize(
    "guest", [GuestOptions(init="none"), GuestOptions(init="auto", cmd=("/bin/app",))], ids=["none", "auto"]
)
def test_additions_work_with_init_and_without(guest: GuestOptions) -> None:
    sources()
    build("oci:image", "x.ext4", options(Addition("app", "/bin/"), guest=guest))
    assert debugfs("x.ext4", "cat /usr/bin/app") == b"#!/bin/sh\n"
    assert bool(debugfs("x.ext4", "cat /.rootfs-builder/init")) is (guest.init == "auto")


@pytest.mark.parametrize("path", ["/.rootfs-builder/init", "/.rootfs-builder/description", "/.rootfs-builder"])
def test_nothing_that_is_added_takes_the_place_of_init(path: str) -> None:
    sources()
    guest = GuestOptions(init="auto", cmd=("/bin/app",))
    build("oci:image", "x.ext4", options(Addition("app", "/bin/"), guest=guest))
    build("oci:image", "y.ext4", options(Addition("app", "/bin/"), Addition("d/s", path), guest=guest))
    for name in ("init", "description"):
        stored = debugfs("x.ext4", f"cat /.rootfs-builder/{name}")
        assert stored
        assert stored == debugfs("y.ext4", f"cat /.rootfs-builder/{name}")


def test_what_is_added_decides_whom_a_user_name_means() -> None:
    passwd = Addition(b"web:x:33:33::/srv:/bin/sh\n", "/etc/passwd")
    guest = GuestOptions(init="auto", cmd=("/x",), user="web")
    build("oci:image", "x.ext4", options(passwd, guest=guest))
    assert b"\0uid=33\0" in debugfs("x.ext4", "cat /.rootfs-builder/description")


@pytest.mark.parametrize("written", ["x.ext4", "m.json", "dep"])
def test_a_directory_that_holds_an_output_is_refused_before_anything_is_done(written: str) -> None:
    sources()
    places = {name: Path("d/sub" if name == written else ".") / name for name in ("x.ext4", "m.json", "dep")}
    asked = options(metadata_file=places["m.json"], depfile=places["dep"])
    with pytest.raises(BuilderError, match=f"{written}' is written there; write it somewhere else") as caught:
        build("oci:image", places["x.ext4"], asked)
    assert (caught.value.exit_status, os.listdir("d/sub")) == (1, ["f"])


def test_a_name_that_make_has_no_form_for_is_refused_before_a_layer_is_read() -> None:
    Path("a\nb").touch()
    heard: list[Event] = []
    with pytest.raises(UsageError, match="make knows no file"):
        build("oci:image", "x.ext4", options(Addition("a\nb", "/x"), depfile=Path("dep")), listen=heard.append)
    assert [each for each in heard if isinstance(each, Stage)] == [Stage("looking at what is added")]


def test_a_build_that_cannot_add_leaves_nothing_behind() -> None:
    sources()
    before = sorted(os.listdir())
    with pytest.raises(BuilderError, match="there is no '/nope' in the image"):
        build("oci:image", "x.ext4", options(*CHANGES, Removal("/nope")))
    assert sorted(os.listdir()) == before


def test_python_may_unpack_with_additions() -> None:
    sources()
    unpack("oci:image", "root", options(Addition("d", "/srv"), Removal("/etc/motd")))
    assert Path("root/srv/sub/f").read_bytes() == b"f"
    assert os.listdir("root/etc") == []
    with pytest.raises(BuilderError, match="is written there"):
        unpack("oci:image", "d/root", options())
