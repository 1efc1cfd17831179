"""Debian's nginx answers through a port, for whoever may do nothing; Debian's systemd is process 1 of its machine."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import pytest
from support import command, contract, guests, tars
from support.images import Spec, layout
from support.registry import free_port
from support.users import ids, open_to_users

from builder.guest.initramfs import initramfs
from builder.guest.modules import load_order
from builder.guest.program import init_program

# The image of Debian takes root to make.
pytestmark = [pytest.mark.slow, pytest.mark.root]

# Imported before the user changes: a checkout need not be everybody's.
_BOOT = """
import os, sys
import builder.__main__, builder.actions.boot, builder.cli.boot, builder.cli.main, encodings.idna
if os.geteuid() == 0:
    os.setgroups([]), os.setresgid(*[int(sys.argv[2])] * 3), os.setresuid(*[int(sys.argv[1])] * 3)
del sys.argv[1:3]
builder.__main__.main()
"""
PAGE = b"<p>from a read-only root</p>\n"

# A target of its own, with nothing of the many units that a machine for people starts.
_TARGET = b"[Unit]\nRequires=look.service\n"
_LOOK = b"""[Unit]
SuccessAction=poweroff
FailureAction=poweroff
[Service]
Type=oneshot
StandardOutput=tty
TTYPath=/dev/console
ExecStart=/bin/sh /look
"""
_NEEDLESS = (
    *("systemd-journal-flush.service", "systemd-random-seed.service", "systemd-update-utmp.service"),
    *("systemd-tmpfiles-setup.service", "systemd-tmpfiles-setup-dev.service", "systemd-sysusers.service"),
    *("systemd-modules-load.service", "systemd-sysctl.service", "systemd-timesyncd.service", "modprobe@.service"),
)


def files_for_all(place: Path) -> tuple[Path, Path]:
    """A kernel and an initramfs with all drivers, which everybody may read."""
    kernel, initrd = place / "kernel", place / "initrd"
    shutil.copy(guests.KERNEL / "vmlinuz", kernel)
    initrd.write_bytes(initramfs(init_program("amd64"), load_order(guests.KERNEL / "lib/modules")))
    return kernel, initrd


def test_nginx_serves_from_an_erofs_root_for_a_user_without_rights(tmp_path: Path) -> None:
    guests.skip_without_machines()
    config = {"Cmd": ["nginx", "-g", "daemon off;"], "StopSignal": "SIGQUIT", "ExposedPorts": {"80/tcp": {}}}
    page = tars.tar(tars.file("var/www/html/index.html", PAGE))
    layout(tmp_path / "image", Spec((guests.debian_layer(), page), config=config, compression="none"))
    disk = guests.build(f"oci:{tmp_path}/image", tmp_path / "web.erofs")
    kernel, initrd = files_for_all(tmp_path)
    home = tmp_path / "home"
    home.mkdir()
    os.chown(home, *ids())
    open_to_users(tmp_path)
    port = free_port()
    words = ["boot", disk, "--kernel", kernel, "--initrd", initrd, "--port", f"{port}:80", "--timeout", 300]
    argv = [sys.executable, "-c", _BOOT, *map(str, [*ids(), *words])]
    environment = {**command.ENVIRONMENT, "HOME": str(home), "XDG_CACHE_HOME": str(home), "TMPDIR": str(home)}
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment) as running:
        answer = b""
        while running.poll() is None and not answer:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as response:
                    answer = response.read()
            except OSError:
                time.sleep(0.2)
        running.send_signal(signal.SIGTERM)
        _, said = running.communicate()
    assert (answer, running.returncode) == (PAGE, 0), said


def systemd(place: Path, config: Mapping[str, object], look: str, name: str) -> Path:
    """A disk of Debian whose systemd runs the script `look` at /dev/console, and switches the machine off then."""
    units = [tars.symlink(f"etc/systemd/system/{name}", "/dev/null") for name in _NEEDLESS]
    units += [tars.file("etc/systemd/system/look.target", _TARGET), tars.file("etc/systemd/system/look.service", _LOOK)]
    units += [tars.symlink("etc/systemd/system/default.target", "look.target")]
    layers = (guests.debian_layer(), tars.tar(*units, tars.file("look", look.encode())))
    layout(place / "image", Spec(layers, config=config, compression="none"))
    return guests.build(f"oci:{place}/image", place / name, "--hostname", "vm")


@pytest.mark.parametrize(("format_", "machine"), [("ext4", "microvm"), ("erofs", "q35")])
def test_systemd_is_process_1_and_finds_a_machine(tmp_path: Path, format_: str, machine: str) -> None:
    guests.skip_without_machines()
    look = contract.LOOK.replace("P=$$", "P=1")
    disk = systemd(tmp_path, {"Cmd": ["/sbin/init"], "Env": ["A=1"]}, look, f"disk.{format_}")
    ran = guests.boot(disk, "--machine", machine, "--memory", "512M", "-v")
    assert ran.returncode == 0, ran.stderr
    seen = contract.read(ran.stderr.replace(b"\r\n", b"\n"))
    assert seen.argv == [b"/sbin/init"]
    # As a machine, not a container: systemd would leave out half of its work.
    assert not any(variable.startswith(b"container=") for variable in seen.env)
    assert (seen.ids, seen.groups, seen.cwd, seen.host) == (("0\t0\t0\t0", "0\t0\t0\t0"), [], "/", "vm")
    assert {place: seen.mounts.get(place) for place in contract.MOUNTS} == contract.MOUNTS
    assert seen.devices.items() >= contract.DEVICES.items() - {("vda", "brw-------"), ("console", "crw-------")}


def test_systemd_that_is_asked_to_end_switches_its_machine_off(tmp_path: Path) -> None:
    guests.skip_without_machines()
    # The signal with which podman ends such a container, and with which systemd halts a machine.
    config = {"Cmd": ["/sbin/init"], "StopSignal": "SIGRTMIN+3"}
    disk = systemd(tmp_path, config, "echo it is up; exec sleep 1000", "disk.ext4")
    kernel = ["--kernel", guests.KERNEL / "vmlinuz", "--modules", guests.KERNEL / "lib/modules"]
    argv = command.argv("boot", disk, *kernel, "--memory", "512M", "--timeout", 300, "-v")
    environment = {**command.ENVIRONMENT, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment) as running:
        assert running.stderr is not None
        for line in running.stderr:
            if line.strip() == b"it is up":
                running.send_signal(signal.SIGTERM)
                break
        said = running.stderr.read()
    assert (running.returncode, b"reboot: Power down" in said) == (0, True), said
