"""What varies around a build: all that reprotest varies (build.py, VARIATIONS), and more."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from reproducing.building import CHECKOUT, MODULE, PLAIN, Around, build, have

# As exFAT, or an NFS before 4.2, where mke2fs writes the zeros itself.
_WITHOUT_HOLES = f"""
import os, sys
sys.path.insert(0, {str(CHECKOUT)!r})
from builder.sandbox import seccomp
seccomp.refuse({{"fallocate": (285, 47)}})
os.execvp(sys.argv[1], sys.argv[1:])
"""

# What stands before the command, by the variation's name.
PREFIXES: dict[str, list[str]] = {
    "the same again": [],
    "a day in 2031 (faketime)": ["faketime", "2031-05-06 07:08:09"],
    "an hour in 1999 (faketime)": ["faketime", "1999-12-31 23:59:00"],
    "an older kernel's name (setarch)": ["setarch", "--uname-2.6", os.uname().machine],
    "another architecture's name (setarch)": ["setarch", "i686"],
    "the same addresses in each process (setarch)": ["setarch", "-R", os.uname().machine],
    "another host and domain (unshare)": [
        *("unshare", "--uts", "sh", "-c", 'hostname elsewhere && domainname example.org && exec "$@"', "sh"),
    ],
    "one processor (taskset)": ["taskset", "-c", "0"],
    "umask 077": ["sh", "-c", 'umask 077; exec "$@"', "sh"],
    "umask 000": ["sh", "-c", 'umask 000; exec "$@"', "sh"],
    "an ordinary user (setpriv)": ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"],
    "few open files and a low stack (prlimit)": ["prlimit", "--nofile=256", "--stack=4194304"],
    "a low priority (nice)": ["nice", "-n", "5"],
    "no holes that can be made (seccomp)": [sys.executable, "-c", _WITHOUT_HOLES],
}
VARIABLES: dict[str, dict[str, str]] = {
    "a variable nobody knows": {"CAPTURED_ENVIRONMENT": "captured"},
    "a time zone": {"TZ": "Pacific/Kiritimati"},
    "another time zone": {"TZ": "America/St_Johns"},
    "a locale": {"LC_ALL": "C", "LANG": "de_DE.UTF-8", "LANGUAGE": "fr"},
    "a locale that sorts otherwise": {"LC_ALL": "et_EE.UTF-8", "LANG": "et_EE.UTF-8", "LANGUAGE": "et_EE.UTF-8:fr"},
    "a home": {"HOME": "/tmp", "USER": "somebody", "LOGNAME": "somebody"},
    "a longer PATH": {"PATH": "/nonexistent:" + PLAIN["PATH"]},
    "hashes of Python": {"PYTHONHASHSEED": "7"},
    "settings of mkfs": {"MKE2FS_CONFIG": "/nonexistent", "E2FSPROGS_FAKE_TIME": "99"},
}
# What makes a file system in a file of 400 MB, and the options that it is mounted with.
FILE_SYSTEMS: dict[str, tuple[list[str], str]] = {
    "an XFS": (["mkfs.xfs", "-q"], "loop"),
    "a btrfs that compresses": (["mkfs.btrfs", "-q"], "loop,compress-force=zstd"),
    "an ext4 of blocks of 1 KiB": (["mkfs.ext4", "-q", "-b", "1024"], "loop"),
}

# What ci/in-other has at the same place inside.
_SHARED = {"TMPDIR": tempfile.gettempdir()}

Place = Callable[[Path], AbstractContextManager[Path]]


def variations(inputs: Path, place: Path, format: str) -> Iterator[tuple[str, Callable[[Path], str]]]:
    """Yield what is tried: its name, and how a disk is built so in a folder that is not there yet."""
    name = f"disk.{format}"
    for said, prefix in PREFIXES.items():
        yield said, lambda at, prefix=prefix: build(inputs, at / name, Around(prefix))  # type: ignore[misc]
    for said, variables in VARIABLES.items():
        yield said, lambda at, variables=variables: build(inputs, at / name, Around((), variables))  # type: ignore[misc]

    def elsewhere(at: Path) -> str:
        moved = place / f"{format} another, longer path" / "of inputs"
        shutil.copytree(inputs, moved)
        return build(moved, at / name, Around((), {"SOURCE_DATE_EPOCH": ""}))

    def shown(options: list[str], at: Path) -> str:
        with _disordered(inputs, at.with_name(f"{at.name}-disorder"), options) as there:
            return build(there, at / name, Around())

    def inside(room: Place, at: Path) -> str:
        at.mkdir()
        with room(at) as there:
            shutil.copytree(inputs, there / "inputs")
            # Only root may mount, but what is there may be anybody's.
            (there / "tmp").mkdir()
            return build(there / "inputs", there / "out" / name, Around((), {"TMPDIR": str(there / "tmp")}))

    yield "another path", elsewhere
    yield "directories in reverse (disorderfs)", lambda at: shown(["--sort-dirents=yes", "--reverse-dirents=yes"], at)
    yield "directories in any order (disorderfs)", lambda at: shown(["--shuffle-dirents=yes"], at)
    yield "a tmpfs", lambda at: inside(_in_memory, at)
    yield "an overlay", lambda at: inside(_overlaid, at)
    for said, (make, options) in FILE_SYSTEMS.items():
        room = _made(make, options)
        yield said, lambda at, room=room: inside(room, at)  # type: ignore[misc]
    other = [str(CHECKOUT / "ci/in-other"), _release(), "arm64"]
    yield "aarch64 (qemu-user)", lambda at: build(inputs, at / name, Around(other, _SHARED, MODULE))


def _release() -> str:
    return platform.freedesktop_os_release().get("VERSION_CODENAME", "")


@contextmanager
def _disordered(inputs: Path, at: Path, options: list[str]) -> Iterator[Path]:
    """Show files with their directories in another order."""
    at.mkdir()
    have(["disorderfs", "-q", "--multi-user=no", *options, inputs, at])
    try:
        yield at
    finally:
        subprocess.run(["fusermount", "-u", at], check=True)


@contextmanager
def _mounted(words: list[str], at: Path) -> Iterator[Path]:
    at.mkdir()
    have(["mount", *words, str(at)])
    try:
        yield at
    finally:
        subprocess.run(["umount", at], check=True)


def _in_memory(place: Path) -> AbstractContextManager[Path]:
    return _mounted(["-t", "tmpfs", "none"], place / "memory")


@contextmanager
def _overlaid(place: Path) -> Iterator[Path]:
    """Give an overlay; its upper half is in memory, as it may be on no overlay."""
    with _in_memory(place) as memory:
        for folder in ("lower", "upper", "work"):
            (memory / folder).mkdir()
        options = f"lowerdir={memory}/lower,upperdir={memory}/upper,workdir={memory}/work"
        with _mounted(["-t", "overlay", "-o", options, "none"], place / "overlay") as there:
            yield there


def _made(make: list[str], options: str) -> Place:
    @contextmanager
    def room(place: Path) -> Iterator[Path]:
        image = place / "image"
        with open(image, "wb") as file:
            file.truncate(400 << 20)
        have([*make, image])
        with _mounted(["-o", options, str(image)], place / "mounted") as there:
            yield there

    return room
