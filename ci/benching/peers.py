"""Who makes a disk of an image, each with what its own documentation says, and what it cannot do here."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from shutil import which

from benching.layers import Blob, split

CHECKOUT = Path(__file__).resolve().parents[2]
BUILDER = CHECKOUT / ".venv/bin/rootfs-builder"
PYTHON = CHECKOUT / ".venv/bin/python"
# What ci/bench-peers brings.
MICROSANDBOX = CHECKOUT / ".cache/microsandbox/microsandbox/_bundled/bin/msb"
DEBIAN13 = CHECKOUT / ".cache/trixie/root"

FLOOR = "the floor L: read, inflate, verify"
Command = list[str | Path]


@dataclass(frozen=True, slots=True)
class Input:
    """An image: where it is, also in a registry, and the size, in bytes and inodes, of our ext4 of it."""

    reference: str
    remote: str
    layers: list[Blob]
    disk_size: int
    inodes: int

    @property
    def mkfs(self) -> tuple[str, str]:
        """KiB and inodes for others' ext4: more than ours, for what is removed in it, and is not in theirs."""
        return f"{self.disk_size * 21 // 20480 + 65536}k", str(self.inodes * 5 // 4 + 1000)


@dataclass(frozen=True, slots=True)
class Peer:
    """One way to make a disk: commands that run one after the other in an empty directory, and say nothing of it.

    `lacks` says why it cannot be had here, or is empty; `local` are those that need no registry and nothing but what
    ci/setup brings.
    """

    name: str
    commands: Callable[[Input], list[Command]]
    lacks: str = ""
    local: bool = False


def ours(format_: str, reference: Callable[[Input], str]) -> Callable[[Input], list[Command]]:
    """Build, all of it: nothing of an earlier build is used again, nor kept; without init, which no other puts in."""
    words = ["--init", "none", "--no-cache", "-o", f"disk.{format_}"]
    return lambda image: [[BUILDER, "-q", "build", reference(image), *words]]


def _from_layout(image: Input) -> str:
    return image.reference


def _from_registry(image: Input) -> str:
    return f"docker://{image.remote}"


def _inside(root: Path, script: str, *words: str) -> Command:
    """Run a script of bash inside a Debian, in the directory where it is called, which the Debian has as /mnt."""
    there = "/usr/bin/env -i --chdir=/mnt PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin bash -o pipefail -ec"
    outer = f'mount --bind . "$0/mnt" && mount --rbind /dev "$0/dev" && exec chroot "$0" {there} "$@"'
    return ["unshare", "--mount", "--propagation", "private", "sh", "-ec", outer, root, script, "sh", *words]


def _umoci(format_: str) -> Callable[[Input], list[Command]]:
    def commands(image: Input) -> list[Command]:
        unpack: Command = ["umoci", "unpack", "--image", ":".join(map(str, split(image.reference))), "bundle"]
        return [unpack, _mkfs(format_, image)]

    return commands


def _mkfs(format_: str, image: Input) -> Command:
    scripts = {
        "ext4": 'mkfs.ext4 -q -F -b 4096 -N "$2" -d bundle/rootfs disk.ext4 "$1" && sync disk.ext4',
        "erofs": "mkfs.erofs disk.erofs bundle/rootfs && sync disk.erofs",
    }
    return ["sh", "-ec", scripts[format_], "sh", *image.mkfs]


def _umoci_debian13(format_: str) -> Callable[[Input], list[Command]]:
    def commands(image: Input) -> list[Command]:
        unpack, (_, _, script, *words) = _umoci(format_)(image)
        return [unpack, _inside(DEBIAN13, str(script), *map(str, words[1:]))]

    return commands


def _crane(format_: str) -> Callable[[Input], list[Command]]:
    mkfs = {
        "ext4": 'mke2fs -q -F -t ext4 -b 4096 -N "$3" -d - disk.ext4 "$2"',
        "erofs": "mkfs.erofs --tar=f --quiet disk.erofs",
    }
    script = f'crane export --insecure "$1" - | {mkfs[format_]} && sync disk.{format_}'
    return lambda image: [_inside(DEBIAN13, script, image.remote, *image.mkfs)]


def _microsandbox(kind: str) -> Callable[[Input], list[Command]]:
    # It syncs nothing, so that is done for it, as ours is.
    script = 'MSB_HOME=$PWD/home "$0" pull -q --insecure --materialize "$1" "$2" && sync -f .'
    return lambda image: [["sh", "-ec", script, MICROSANDBOX, kind, image.remote]]


def peers() -> Iterator[Peer]:
    """Yield who is compared, the floor first, ours next."""
    yield Peer(FLOOR, lambda image: [[PYTHON, CHECKOUT / "ci/bench-floor", image.reference]], local=True)
    for format_ in ("ext4", "erofs"):
        yield Peer(f"ours, {format_}", ours(format_, _from_layout), local=True)
    for format_ in ("ext4", "erofs"):
        yield Peer(f"ours, {format_}, from a registry", ours(format_, _from_registry))
    no_umoci = "" if which("umoci") else "ci/setup bench brings umoci"
    for format_ in ("ext4", "erofs"):
        yield Peer(f"umoci unpack, mkfs.{format_}", _umoci(format_), no_umoci, local=True)
    debian13 = "" if (DEBIAN13 / "usr/local/share/bench-peers").exists() else "ci/bench-peers brings Debian 13"
    for format_ in ("ext4", "erofs"):
        yield Peer(f"umoci unpack, Debian 13's mkfs.{format_}", _umoci_debian13(format_), no_umoci or debian13)
    for format_ in ("ext4", "erofs"):
        yield Peer(f"crane export, Debian 13's mkfs.{format_}, from a registry", _crane(format_), debian13)
    msb = "" if os.access(MICROSANDBOX, os.X_OK) else "ci/bench-peers brings microsandbox"
    yield Peer("microsandbox, one ext4, from a registry", _microsandbox("flat"), msb)
    yield Peer("microsandbox, an erofs for each layer, from a registry", _microsandbox("layered"), msb)
