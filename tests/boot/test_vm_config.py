"""The script for QEMU that a build writes is started, from elsewhere, and the machine boots."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from support import guests

from builder import BuildOptions, blank, build
from builder.guest.initramfs import initramfs
from builder.guest.modules import load_order
from builder.guest.options import GuestOptions
from builder.guest.program import init_program
from builder.vm.console import Console

pytestmark = pytest.mark.slow


def test_a_script_for_qemu_boots_the_disk_with_what_was_said_of_the_machine(tmp_path: Path) -> None:
    guests.skip_without_machines()
    shell = 'echo kept > /kept; read -r line </proc/cmdline; echo "line: $line"; echo "$TERM"; nproc'
    shell += "; grep MemTotal /proc/meminfo; grep ' / ' /proc/mounts; exit 7"
    reference = guests.image(
        tmp_path / "image", {"Cmd": ["/bin/sh", "-c", f"{shell}; grep ' / ' /proc/mounts; exit 7"]}
    )
    folder = tmp_path / "it's, a:disk"
    folder.mkdir()
    (folder / "initrd").write_bytes(initramfs(init_program("amd64"), load_order(guests.KERNEL / "lib/modules")))
    blank(folder / "data.ext4", 16 << 20)
    result = build(reference, folder / "web.erofs", BuildOptions(guest=GuestOptions(init="auto")))
    before = result.output.read_bytes()
    script = result.qemu(
        guests.KERNEL / "vmlinuz",
        initrd=folder / "initrd",
        data=folder / "data.ext4",
        vcpus=2,
        memory=320 << 20,
        append=("quiet", 'said="two words"'),
    )
    (folder / "run").write_text(script)
    booted = subprocess.run(
        ["sh", folder / "run"],
        cwd="/",
        env={**os.environ, "ACCEL": "tcg"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=300,
    )
    assert booted.returncode == 0, booted.stdout + booted.stderr
    status, said = told_apart(booted.stdout)
    assert status == 7, booted.stdout.decode()[-700:]
    lines = said.decode().splitlines()
    (line,) = [line for line in lines if line.startswith("line: ")]
    assert "rootfstype=erofs ro init=/.rootfs-builder/init rb.data=/dev/vdb ip=" in line
    # What the user says comes last, and counts.
    assert line.endswith(' quiet said="two words"')
    after = lines[lines.index(line) + 1 :]
    memory = re.fullmatch(r"MemTotal: +(\d+) kB", after[2])
    assert after[:2] == ["xterm", "2"]
    assert memory
    assert 320 - 64 < int(memory[1]) >> 10 < 320
    assert after[3].startswith("overlay / overlay rw,")
    assert len(after) == 4
    # What the guest wrote is on the data disk, and nothing on the other.
    assert result.output.read_bytes() == before
    assert cat(folder / "data.ext4", "/upper/kept") == "kept\n"


def told_apart(console: bytes) -> tuple[int | None, bytes]:
    """What `boot` under other VMMs makes of this very console: the process's status, and its words."""
    own = os.memfd_create("own")
    reader = Console(own, None)
    os.write(reader.end, console)
    reader.finish()
    try:
        return reader.status, os.pread(own, 1 << 20, 0)
    finally:
        os.close(own)


def cat(disk: Path, path: str) -> str:
    debugfs = shutil.which("debugfs", path=f"/usr/sbin:/sbin:{os.environ['PATH']}") or "debugfs"
    return subprocess.run([debugfs, "-R", f"cat {path}", disk], capture_output=True, text=True, check=True).stdout
