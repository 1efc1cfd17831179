"""Who presses a machine's power button wishes its process to end; that is all that cloud-hypervisor can do."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

import pytest
from support import guests

from builder.actions.boot import boot_command
from builder.actions.booting import BootOptions
from builder.guest.initramfs import quick_initramfs
from builder.guest.program import init_program
from builder.vm.cloud_hypervisor import CLOUD_HYPERVISOR

pytestmark = pytest.mark.slow

_PRESS = b'{"execute": "qmp_capabilities"} {"execute": "system_powerdown"}'


def test_a_press_is_heard_with_the_drivers_for_cloud_hypervisor(tmp_path: Path) -> None:
    guests.skip_without_machines()
    config = {
        "Cmd": ["sh", "-c", "trap 'echo asked; exit 5' QUIT; echo ready; while :; do sleep 1; done"],
        "StopSignal": "SIGQUIT",
    }
    disk = guests.build(guests.image(tmp_path / "image", config), tmp_path / "disk.ext4")
    assert CLOUD_HYPERVISOR.runner is not None
    modules = (*CLOUD_HYPERVISOR.runner.drivers, "ext4", "overlay")
    initrd = tmp_path / "initrd"
    initrd.write_bytes(quick_initramfs(init_program("amd64"), guests.KERNEL / "lib/modules", modules))
    # Its devices are on PCI, and its button is of ACPI, as those of this machine are.
    argv = boot_command(disk, BootOptions(kernel=guests.KERNEL / "vmlinuz", initrd=initrd, machine="q35"))
    argv += ["-qmp", f"unix:{tmp_path}/qmp,server=on,wait=off"]
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as running:
        try:
            assert running.stdout is not None
            while running.stdout.readline().strip() != b"ready":
                assert running.poll() is None
            with socket.socket(socket.AF_UNIX) as button:
                button.connect(str(tmp_path / "qmp"))
                button.sendall(_PRESS)
                said, _ = running.communicate(timeout=120)
        finally:
            running.kill()
    assert b"asked\r\nrootfs-builder init: the process ended with status 5" in said
