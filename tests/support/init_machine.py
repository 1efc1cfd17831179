"""Init as process 1 of namespaces of its own: as the program that disks get, and compiled with sanitizers."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from builder.guest.description import Description
from builder.guest.program import init_program
from fixtures.make_example import BUSYBOX

from .command import ROOT
from .guests import BUSYBOX_APPLETS, GROUP, PASSWD

SOURCES = ROOT / "builder/guest/init"
_WITHOUT_SYNC = Path(__file__).with_name("without_sync.py")

# What a kernel would have made; the console is a file. A process's end of a namespace is its machine's.
_ENTER = """
mount -t tmpfs dev root/dev
mknod root/dev/null c 1 3
touch root/dev/console
mount --bind console root/dev/console
mount -t proc proc root/proc
mount --bind cmdline root/proc/cmdline
exec chroot root /.rootfs-builder/init
"""


@pytest.fixture(scope="session")
def sanitized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Init with sanitizers, for this machine's own libc."""
    place = tmp_path_factory.mktemp("sanitized") / "init"
    flags = ["-std=gnu11", "-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-static-libasan"]
    warnings = ["-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Werror"]
    try:
        compiler = ["gcc", *flags, *warnings, "-o", str(place), *map(str, sorted(SOURCES.glob("*.c")))]
        subprocess.run(compiler, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("NOT RUN: needs gcc; ci/setup brings it")
    return place


@pytest.fixture(params=["disks", "sanitizers"])
def both_inits(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Put the program, and the libraries that it needs, into what becomes the machine's root."""
    program = tmp_path / "root/.rootfs-builder/init"
    program.parent.mkdir(parents=True)
    if request.param == "disks":
        program.write_bytes(init_program({"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]))
    else:
        shutil.copy(request.getfixturevalue("sanitized"), program)
        listed = subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout
        for library in re.findall(r"(/\S+) \(0x", listed):
            (tmp_path / "root" / library[1:]).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(library, tmp_path / "root" / library[1:])
    program.chmod(0o755)


def machine(place: Path) -> Path:
    """A root of busybox with init in it."""
    root = place / "root"
    for folder in ("bin", "dev", "proc", "sys", "run", "tmp", "etc"):
        (root / folder).mkdir(exist_ok=True)
    (root / "bin/busybox").write_bytes(BUSYBOX.read_bytes())
    (root / "bin/busybox").chmod(0o755)
    for applet in BUSYBOX_APPLETS:
        (root / "bin" / applet).symlink_to("busybox")
    (root / "etc/passwd").write_bytes(PASSWD)
    (root / "etc/group").write_bytes(GROUP)
    return root


def start(
    place: Path, description: Description | bytes, line: str | bytes = b"", odd: Callable[[Path], object] | None = None
) -> subprocess.Popen[bytes]:
    """Start a machine with a description and a kernel command line; `odd` makes its root odd."""
    root = place / "root"
    if not (root / "bin").exists():
        machine(place)
    if odd is not None:
        odd(root)
    encoded = description if isinstance(description, bytes) else description.encode()
    (root / ".rootfs-builder/description").write_bytes(encoded)
    (place / "cmdline").write_bytes((line if isinstance(line, bytes) else os.fsencode(line)) + b"\n")
    (place / "console").write_bytes(b"")
    # Sanitizers want their shadow where an address space at random may already have something else.
    argv = ["setarch", "-R", "unshare", "--pid", "--fork", "--mount", "--uts", "--net", "--kill-child", "sh", "-ec"]
    argv = [sys.executable, str(_WITHOUT_SYNC), *argv]
    environment = {"PATH": os.environ["PATH"], "ASAN_OPTIONS": "detect_leaks=0"}
    return subprocess.Popen(
        [*argv, _ENTER],
        cwd=place,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def console(place: Path) -> list[str]:
    return (place / "console").read_text("utf-8", "surrogateescape").splitlines()


def run(
    place: Path, description: Description | bytes, line: str | bytes = b"", odd: Callable[[Path], object] | None = None
) -> list[str]:
    """Run a description to its end; return the lines of the console."""
    with start(place, description, line, odd) as process:
        process.wait(60)
    return console(place)


def ended(status: int) -> str:
    return f"rootfs-builder init: the process ended with status {status}"


def shell(script: str, **facts: object) -> Description:
    return Description(entrypoint=("sh", "-c", script), env=("PATH=/bin",), **facts)  # type: ignore[arg-type]


def stopped(place: Path, description: Description | bytes, line: str, *signals: int) -> tuple[list[str], float]:
    """Send process 1 signals once its process says `ready`; return the console and how long it took to end."""
    with start(place, description, line) as process:
        deadline = time.monotonic() + 30
        while "ready" not in console(place) and time.monotonic() < deadline:
            time.sleep(0.05)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        began = time.monotonic()
        for number in signals:
            os.kill(int(children[0]), number)
            time.sleep(0.2)
        process.wait(60)
    return console(place), time.monotonic() - began
