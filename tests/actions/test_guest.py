"""What a build makes of the image's process: by default a disk that runs it, where there is something to run."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.images import Spec, layout
from support.tars import directory, file, symlink, tar

from builder import BuildOptions, BuildResult, build
from builder.disk.filesystem import DiskOptions
from builder.errors import LayerRefused
from builder.events import Event, Notice
from builder.guest.options import GuestOptions
from builder.guest.process import NothingToRun
from builder.guest.program import NoInit
from builder.guest.users import UnknownUser

FILES = (directory("etc"), file("etc/passwd", b"root:x:0:0::/root:\n"), file("app", b"#!/bin/sh\n", mode=0o755))
NONE = GuestOptions(init="none")
ALONE = ", so the disk is the image's tree alone; "
OR_NONE = ", or leave init out with --init none"


def made(place: Path, config: dict[str, object], *members: bytes, platform: str = "linux/amd64") -> str:
    layout(place / "image", Spec((tar(*FILES, *members),), platform=platform, config=config))
    return f"oci:{place}/image"


def built(image: str, disk: Path, guest: GuestOptions, heard: list[str] | None = None) -> BuildResult:
    def listen(event: Event) -> None:
        if heard is not None and isinstance(event, Notice):
            heard.append(event.text)

    return build(image, disk, BuildOptions(guest=guest, force=True), listen)


def assert_bare(image: str, place: Path, heard: list[str]) -> None:
    """By default, the disk of `image` is what it is without init."""
    default = built(image, place / "default.ext4", GuestOptions(), heard).output
    assert default.read_bytes() == built(image, place / "none.ext4", NONE).output.read_bytes()


def test_an_image_that_names_a_program_gets_init_without_a_word(tmp_path: Path) -> None:
    image = made(tmp_path, {"Cmd": ["/app"]})
    heard: list[str] = []
    disk = built(image, tmp_path / "default.ext4", GuestOptions(), heard)
    assert heard == []
    assert disk.disk.tools["init"]
    bare = built(image, tmp_path / "none.ext4", NONE)
    assert "init" not in bare.disk.tools
    assert bare.disk.uuid != disk.disk.uuid


def test_an_image_whose_architecture_has_another_name_gets_the_same_init(tmp_path: Path) -> None:
    by_go = built(made(tmp_path, {"Cmd": ["/app"]}), tmp_path / "a.ext4", GuestOptions()).disk
    by_others = built(
        made(tmp_path, {"Cmd": ["/app"]}, platform="linux/x86_64"), tmp_path / "b.ext4", GuestOptions()
    ).disk
    assert by_go.tools["init"] == by_others.tools["init"]


def test_an_image_that_names_no_program_gets_no_init_and_a_notice(tmp_path: Path) -> None:
    image = made(tmp_path, {})
    heard: list[str] = []
    assert_bare(image, tmp_path, heard)
    assert heard == [f"{image}: the image has neither Entrypoint nor Cmd{ALONE}say what to run with --cmd{OR_NONE}"]


@pytest.mark.parametrize(
    ("platform", "which"),
    [
        ("linux/s390x", "s390x"),
        ("/", "images that state no architecture"),
        ("linux/" + "x" * 100_000, "x" * 64 + "…"),
    ],
)
def test_an_image_for_which_there_is_no_init_gets_none_and_a_notice(tmp_path: Path, platform: str, which: str) -> None:
    heard: list[str] = []
    image = made(tmp_path, {"Cmd": ["/app"]}, platform=platform)
    assert_bare(image, tmp_path, heard)
    assert [line for line in heard if not line.startswith(f"{image}: the image is for linux/")] == [
        f"this installation has no init for {which}{ALONE}name your own with --init PATH{OR_NONE}"
    ]


@pytest.mark.parametrize(
    "guest", [GuestOptions(user="0"), GuestOptions(hostname="vm"), GuestOptions(env=("A=1",)), GuestOptions(init="own")]
)
def test_who_says_anything_of_the_guest_gets_one_or_an_error(tmp_path: Path, guest: GuestOptions) -> None:
    with pytest.raises(NothingToRun, match="say what to run with --cmd, or leave init out with --init none"):
        built(made(tmp_path, {}), tmp_path / "d.ext4", guest)
    if guest.init == "auto":
        with pytest.raises(NoInit, match="name your own with --init PATH, or leave init out with --init none"):
            built(made(tmp_path, {"Cmd": ["/app"]}, platform="linux/s390x"), tmp_path / "d.ext4", guest)
    assert not (tmp_path / "d.ext4").exists()


def test_a_user_that_the_image_does_not_know_is_an_error_and_without_init_it_is_none(tmp_path: Path) -> None:
    image = made(tmp_path, {"Cmd": ["/app"], "User": "web"})
    with pytest.raises(UnknownUser, match="no user 'web'; choose another with --user, or leave init out with --init n"):
        built(image, tmp_path / "d.ext4", GuestOptions())
    assert not (tmp_path / "d.ext4").exists()
    assert built(image, tmp_path / "d.ext4", NONE).built
    assert built(image, tmp_path / "d.ext4", GuestOptions(user="7:8")).built


@pytest.mark.parametrize(
    "there",
    [
        [symlink(".rootfs-builder", "/etc")],
        [file(".rootfs-builder", b"x")],
        [
            directory(".rootfs-builder", mode=0o700, uid=7),
            symlink(".rootfs-builder/init", "/etc/passwd"),
            symlink(".rootfs-builder/merged", "/etc"),
            file(".rootfs-builder/override", b"x"),
        ],
    ],
    ids=["a symlink", "a file", "a disk's own tree"],
)
def test_what_an_image_has_in_inits_place_makes_way_and_leads_nowhere(tmp_path: Path, there: list[bytes]) -> None:
    """The disks differ in what is derived from the image's digests, so only if that is the same."""
    uuid = built(made(tmp_path, {"Cmd": ["/app"]}), tmp_path / "first.ext4", GuestOptions()).disk.uuid
    disks = []
    for name, members in (("without", []), ("with", there)):
        options = BuildOptions(disk=DiskOptions(uuid=uuid), guest=GuestOptions())
        disks.append(build(made(tmp_path, {"Cmd": ["/app"]}, *members), tmp_path / f"{name}.erofs", options).output)
    assert disks[0].read_bytes() == disks[1].read_bytes()


@pytest.mark.parametrize(
    ("config", "entry"), [({"WorkingDir": "/app/x"}, "/app/x"), ({"WorkingDir": "/etc/passwd/x"}, "/etc/passwd/x")]
)
def test_a_tree_that_cannot_take_init_is_refused_with_what_to_do(
    tmp_path: Path, config: dict[str, object], entry: str
) -> None:
    image = made(tmp_path, {"Cmd": ["/app"], **config})
    with pytest.raises(
        LayerRefused, match=f"'{entry}': its parent is not a directory; leave init out with --init none"
    ):
        built(image, tmp_path / "disk.ext4", GuestOptions())
    built(image, tmp_path / "disk.ext4", NONE)


@pytest.mark.parametrize(
    ("stated", "said", "number"),
    [
        *((None, None, 38), ("SIGRTMIN+3", None, 38), ("37", None, 38)),
        *(("SIGRTMIN+5", None, 39), ("SIGTERM", None, 15)),
        # Who builds the disk may mean it.
        ("SIGRTMIN+3", "SIGRTMIN+3", 37),
    ],
)
def test_systemd_is_asked_to_switch_a_machine_off_not_to_halt_it(
    tmp_path: Path, stated: str | None, said: str | None, number: int
) -> None:
    config: dict[str, object] = {"Cmd": ["/sbin/init"]} | ({"StopSignal": stated} if stated else {})
    systemd = (
        directory("sbin"),
        symlink("sbin/init", "/lib/systemd/systemd"),
        file("lib/systemd/systemd", b"\x7fELF", mode=0o755),
    )
    options = GuestOptions(stop_signal=said)
    guest = built(made(tmp_path, config, *systemd), tmp_path / "disk.ext4", options).guest
    assert guest is not None
    assert (guest.takeover, guest.stop_signal) == (True, number)


def test_an_init_that_is_not_known_is_asked_as_its_image_states(tmp_path: Path) -> None:
    """A script may become systemd, which takes SIGTERM for a wish that it start anew."""
    config: dict[str, object] = {"Cmd": ["/sbin/init"], "StopSignal": "SIGRTMIN+3"}
    init = file("sbin/init", b"#!/bin/sh\nexec /lib/systemd/systemd\n", mode=0o755)
    guest = built(made(tmp_path, config, init), tmp_path / "disk.ext4", GuestOptions()).guest
    assert guest is not None
    assert (guest.takeover, guest.stop_signal) == (True, 37)
