"""cloud-hypervisor: a machine as a shell script, or as the JSON that its API takes.

Facts are of its API (vmm/src/api/openapi/cloud-hypervisor.yaml, VmConfig) and of how its command line writes values
(option_parser/src/lib.rs). Paths are looked up from the directory in which it was started.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

from builder.vm.machine import MachineOptions, Root
from builder.vm.runner import SOCKET, Runner
from builder.vm.script import quoted_words, script
from builder.vm.vmm import Configuration, Vmm

_ABOUT = ("Boots a disk under cloud-hypervisor, with this terminal as its console. Arguments go to cloud-hypervisor.",)


def document(root: Root, machine: MachineOptions, folder: Path) -> dict[str, Any]:
    """Return the VmConfig for a cloud-hypervisor that is started in `folder`. Raises UsageError."""
    kernel, line = CLOUD_HYPERVISOR.payload(root, machine)
    payload = {"kernel": CLOUD_HYPERVISOR.path(kernel, folder), "cmdline": line}
    if root.initrd:
        payload["initramfs"] = CLOUD_HYPERVISOR.path(root.initrd, folder)
    return {
        "payload": payload,
        "cpus": {"boot_vcpus": machine.vcpus, "max_vcpus": machine.vcpus},
        "memory": {"size": machine.memory},
        "disks": [
            # Since 50.1 a guest may write the first sector, where ext4's superblock is, only of what is said to be raw.
            {
                "path": CLOUD_HYPERVISOR.path(path, folder),
                "readonly": not writable,
                **({"image_type": "Raw"} if writable else {}),
            }
            for path, writable in machine.disks(root)
        ],
        # Its own console begins late: what a kernel says that finds no root would be lost.
        "serial": {"mode": "Tty"},
        "console": {"mode": "Off"},
    }


def shell_script(root: Root, machine: MachineOptions, folder: Path) -> Configuration:
    """Return a script, to stand in `folder`, that runs cloud-hypervisor. Raises UsageError."""
    return script(_ABOUT, "", ["cloud-hypervisor", *quoted_words(_arguments(document(root, machine, folder)))])


def _arguments(made: dict[str, Any]) -> list[str]:
    """Say a VmConfig in the command line's words."""
    payload = made["payload"]
    argv = ["--kernel", _named(payload["kernel"])]
    if "initramfs" in payload:
        argv += ["--initramfs", _named(payload["initramfs"])]
    argv += ["--cmdline", payload["cmdline"]]
    argv += ["--cpus", f"boot={made['cpus']['boot_vcpus']}", "--memory", f"size={made['memory']['size'] >> 20}M"]
    argv.append("--disk")
    for disk in made["disks"]:
        argv.append(f"path={_value(_named(disk['path']))},{'readonly=on' if disk['readonly'] else 'image_type=raw'}")
    return [*argv, "--serial", "tty", "--console", "off"]


def _named(path: str) -> str:
    """Keep a path that begins with a dash from being an option."""
    return path if path.startswith(("/", "../")) else f"./{path}"


def _value(text: str) -> str:
    """Quote what separates values, lists, or is cut off at a value's ends; a quote within quotes is doubled."""
    doubled = text.replace('"', '""')
    return f'"{doubled}"' if re.search(r'[,"\[\]]|\s\Z', text) else text


def _configure(root: Root, machine: MachineOptions, file: Path) -> Configuration:
    if file.suffix == ".json":
        return Configuration.json(document(root, machine, file.parent))
    return shell_script(root, machine, file.parent)


def _command(root: Root, machine: MachineOptions, place: Path) -> list[str]:
    made = document(root, machine, Path.cwd())
    return ["cloud-hypervisor", *_arguments(made), "--api-socket", f"path={_value(str(place / SOCKET))}"]


CLOUD_HYPERVISOR = Vmm(
    name="cloud-hypervisor",
    consoles={"amd64": "ttyS0", "arm64": "ttyAMA0"},
    # A restart starts the guest again, so that one that cannot work goes on for ever: slowly enough to be read.
    words=("panic=10",),
    most_vcpus=254,
    configure=_configure,
    runner=Runner(
        program="cloud-hypervisor",
        origin="https://github.com/cloud-hypervisor/cloud-hypervisor/releases",
        # It asks a guest to end by pressing the power button, which the last two drivers hear.
        drivers=("virtio_pci", "virtio_blk", "button", "evdev"),
        command=_command,
        shown=lambda root, machine: shlex.join(["cloud-hypervisor", *_arguments(document(root, machine, Path.cwd()))]),
        stop_path="/api/v1/vm.power-button",
        stop_body="",
    ),
)
