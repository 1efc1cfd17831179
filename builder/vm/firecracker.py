"""Firecracker: a machine as the JSON that `firecracker --no-api --config-file` reads.

Facts are of its API (src/firecracker/swagger/firecracker.yaml) and of docs/kernel-policy.md. Paths are looked up from
the directory in which it was started. It adds `pci=off` itself where that is right.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from builder.vm.machine import MachineOptions, Root
from builder.vm.runner import SOCKET, Runner
from builder.vm.vmm import Configuration, Vmm


def document(root: Root, machine: MachineOptions, folder: Path) -> dict[str, Any]:
    """Return the configuration for a Firecracker that is started in `folder`. Raises UsageError."""
    kernel, line = FIRECRACKER.payload(root, machine)
    boot = {"kernel_image_path": FIRECRACKER.path(kernel, folder), "boot_args": line}
    if root.initrd:
        boot["initrd_path"] = FIRECRACKER.path(root.initrd, folder)
    drives = []
    for name, (path, writable) in zip(("rootfs", "data"), machine.disks(root), strict=False):
        drive = {
            "drive_id": name,
            "path_on_host": FIRECRACKER.path(path, folder),
            # For the root device it adds `root=/dev/vda` and ro or rw behind the line, where they count: the same as
            # in the line. docs/initrd.md wants none beside an initramfs, which mounts the root itself; and with a hash
            # tree the root is another device.
            "is_root_device": name == "rootfs" and root.initrd is None and root.verity is None,
            "is_read_only": not writable,
        }
        # By default a guest's fsync is answered, and nothing is synced.
        drives.append({**drive, **({"cache_type": "Writeback"} if writable else {})})
    return {
        "boot-source": boot,
        "drives": drives,
        "machine-config": {"vcpu_count": machine.vcpus, "mem_size_mib": machine.memory >> 20},
    }


def _command(root: Root, machine: MachineOptions, place: Path) -> list[str]:
    made = Configuration.json(document(root, machine, Path.cwd()))
    (place / "machine.json").write_bytes(made.content)
    # Its own log is on standard output, too.
    quiet = ("--level", "Error")
    return ["firecracker", *quiet, "--api-sock", f"{place / SOCKET}", "--config-file", f"{place / 'machine.json'}"]


def _shown(root: Root, machine: MachineOptions) -> str:
    made = Configuration.json(document(root, machine, Path.cwd()))
    return f"firecracker --no-api --config-file /dev/stdin <<'END'\n{made.text}END"


FIRECRACKER = Vmm(
    name="Firecracker",
    consoles={"amd64": "ttyS0", "arm64": "ttyS0"},
    # A restart, by the keyboard controller, is what ends it. That controller is how it asks a guest to end, too; only
    # what takes long of finding it is left out.
    words=("reboot=k", "panic=1", "i8042.noaux", "i8042.nomux", "i8042.dumbkbd"),
    most_vcpus=32,
    # pci=off, root=, ro, and 36 bytes for each of two drives and of a network that a user may add.
    adds=133,
    configure=lambda root, machine, file: Configuration.json(document(root, machine, file.parent)),
    runner=Runner(
        program="firecracker",
        origin="https://github.com/firecracker-microvm/firecracker/releases",
        drivers=("virtio_mmio", "virtio_blk"),
        command=_command,
        shown=_shown,
        stop_path="/actions",
        stop_body='{"action_type": "SendCtrlAltDel"}',
    ),
)
