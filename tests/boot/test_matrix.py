"""The contract of a machine: what the image's process sees is what its configuration says, in each kind of image, disk
and machine that there is.

What no machine changes (odd arguments, each form of User, statuses) is tested in tests/guest, where it takes no boot.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import combinations, product
from pathlib import Path

import pytest
from support import contract, guests, tars
from support.images import Spec, layout

from builder.disk import FILESYSTEMS
from builder.vm.qemu import MACHINES
from fixtures.make_example import BUSYBOX

pytestmark = pytest.mark.slow

ARGUMENTS = ["name", "two words", "quotes \"'", "new\nline", "", "ä", "$HOME %41"]
VARIABLES = ["A=second", "EMPTY=", "LINES=one\ntwo", "QUOTES=\"'"]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of image: its layers, what looks around in it, and a user of it with what that user's process has."""

    layers: tuple[bytes, ...]
    look: list[str]
    user: str
    uid: int
    gid: int
    groups: list[int]
    home: str


def busybox(program: Path = BUSYBOX) -> Kind:
    files = [tars.file("bin/busybox", program.read_bytes(), mode=0o755)]
    files += [tars.symlink(f"bin/{applet}", "busybox") for applet in ("sh", "cat", "ls")]
    files += [tars.file("etc/passwd", guests.PASSWD), tars.file("etc/group", guests.GROUP)]
    return Kind((tars.tar(*files),), ["sh", "-c", contract.LOOK], "web", 1000, 1001, [7, 1001], "/home/web")


def static() -> Kind:
    """One program, and no other file at all."""
    program = tars.file("busybox", BUSYBOX.read_bytes(), mode=0o755)
    look = ["/busybox", "sh", "-c", contract.look("/busybox ")]
    return Kind((tars.tar(program),), look, "65532:65533", 65532, 65533, [65533], "/")


def debian() -> Kind:
    return Kind((guests.debian_layer(),), ["/bin/sh", "-c", contract.LOOK], "www-data", 33, 33, [33], "/var/www")


KINDS: Mapping[str, Callable[[], Kind]] = {"busybox": busybox, "static": static, "debian": debian}
HERE = [name for name, machine in MACHINES.items() if machine.architecture == "x86_64"]
# Each kind in each format, with each machine, and each format with each machine: a boot takes seconds.
PAIRS = [
    pytest.param(kind, format_, HERE[(row + column) % len(HERE)], marks=[pytest.mark.root] * (kind == "debian"))
    for row, kind in enumerate(KINDS)
    for column, format_ in enumerate(FILESYSTEMS)
]


def test_the_pairs_are_all_there_are() -> None:
    among = [each.values for each in PAIRS]
    for one, other in combinations(range(3), 2):
        every = product(*((KINDS, FILESYSTEMS, HERE)[at] for at in (one, other)))
        assert {(each[one], each[other]) for each in among} == set(every)


@pytest.mark.parametrize(("kind", "format_", "machine"), PAIRS)
def test_the_process_sees_what_the_configuration_says(tmp_path: Path, kind: str, format_: str, machine: str) -> None:
    guests.skip_without_machines()
    disk, expected = machine_of(tmp_path, KINDS[kind](), format_)
    before = disk.stat().st_mtime_ns
    ran = guests.boot(disk, "--machine", machine)
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert contract.differences(contract.read(ran.stdout), expected) == {}
    assert disk.stat().st_mtime_ns == before


def test_a_machine_of_another_architecture_is_no_different(tmp_path: Path) -> None:
    if shutil.which("qemu-system-aarch64") is None or not guests.ARM64.exists():
        pytest.skip("NOT RUN: needs QEMU, a kernel and busybox for arm64; ci/setup brings them")
    disk, expected = machine_of(tmp_path, busybox(guests.ARM64 / "busybox"), "erofs", "linux/arm64")
    ran = guests.boot(disk, "--machine", "virt", kernel=guests.ARM64)
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert contract.differences(contract.read(ran.stdout), expected) == {}


def machine_of(place: Path, image: Kind, format_: str, platform: str = "linux/amd64") -> tuple[Path, contract.Seen]:
    """Build a disk of an image that says whatever an image can say; return it with what its process has to see."""
    config = {
        "Entrypoint": image.look,
        "Cmd": ARGUMENTS,
        "Env": ["PATH=/bin", "A=first", *VARIABLES],
        "WorkingDir": "/srv/not there/yet",
        "User": image.user,
    }
    layout(place / "image", Spec(image.layers, platform=platform, config=config, compression="none"))
    words = ["--hostname", "vm", "--platform", platform]
    disk = guests.build(f"oci:{place}/image", place / f"disk.{format_}", *words)
    return disk, contract.process(
        argv=[*image.look, *ARGUMENTS],
        env=["PATH=/bin", *VARIABLES, f"HOME={image.home}", "HOSTNAME=vm"],
        cwd="/srv/not there/yet",
        uid=image.uid,
        gid=image.gid,
        groups=image.groups,
        host="vm",
    )
