"""Debian's nginx answers through a port, for whoever may do nothing."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from support import command, guests, tars
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
