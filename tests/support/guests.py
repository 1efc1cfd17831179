"""Images of busybox that a machine runs, and the command that runs them; needs QEMU and the kernel of ci/setup."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from fixtures.make_example import BUSYBOX

from . import command, tars
from .images import Spec, layout

KERNEL = command.ROOT / ".cache/kernel"
BUSYBOX_APPLETS = (
    *("cat", "cut", "env", "grep", "head", "id", "kill", "ls", "ps", "pwd", "sed"),
    *("seq", "sh", "sleep", "stat", "tail", "tr", "true", "tty", "wc"),
)

PASSWD = b"root:x:0:0::/root:/bin/sh\nweb:x:1000:1001::/home/web:/bin/sh\n"
GROUP = b"root:x:0:\nweb:x:1001:\nlogs:x:7:web\n"


DEBIAN = command.ROOT / ".cache/debian/debian.tar"


# Debian's kernel and busybox for arm64.
ARM64 = command.ROOT / ".cache/arm64"


def debian_layer() -> bytes:
    """Debian with nginx and systemd, as ci/setup has made it."""
    if not DEBIAN.exists():
        pytest.skip("NOT RUN: needs an image of Debian; ci/setup makes it")
    return DEBIAN.read_bytes()


def skip_without_machines() -> None:
    if shutil.which("qemu-system-x86_64") is None or not (KERNEL / "vmlinuz").exists():
        pytest.skip("NOT RUN: needs QEMU and a kernel; ci/setup brings both")


def image(place: Path, config: Mapping[str, object], *members: bytes) -> str:
    """Write an image of busybox with a config and further members of its one layer; return its reference."""
    files = [tars.file("bin/busybox", BUSYBOX.read_bytes(), mode=0o755)]
    files += [tars.symlink(f"bin/{applet}", "busybox") for applet in BUSYBOX_APPLETS]
    files += [tars.file("etc/passwd", PASSWD), tars.file("etc/group", GROUP), *members]
    layout(place, Spec((tars.tar(*files),), config={"Env": ["PATH=/bin"], **config}))
    return f"oci:{place}"


def build(reference: str, disk: Path, *words: object) -> Path:
    """Build a disk that boots."""
    built = command.run("build", reference, "-o", disk, *words)
    assert built.returncode == 0, built.stderr
    return disk


def boot(disk: Path, *words: object, stdin: bytes = b"", kernel: Path = KERNEL) -> subprocess.CompletedProcess[bytes]:
    """Boot a disk with the kernel of ci/setup; words from `--` on are the process's arguments."""
    kernel_words = ["--kernel", kernel / "vmlinuz", "--modules", kernel / "lib/modules", "--timeout", 300]
    argv = command.argv("boot", disk, *kernel_words, *words)
    environment = {**command.ENVIRONMENT, "XDG_CACHE_HOME": os.fspath(disk.parent / "cache")}
    return subprocess.run(argv, capture_output=True, check=False, env=environment, input=stdin)
