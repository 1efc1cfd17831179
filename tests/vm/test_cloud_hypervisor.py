"""cloud-hypervisor's configuration: what its API definition takes, and the same as words of its command line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from support.machines import FULL, LEAST, root, validate
from support.scripts import ODD_NAMES, run_script, write_script

from builder.vm.cloud_hypervisor import CLOUD_HYPERVISOR, document
from builder.vm.machine import MachineOptions

HERE = Path("/srv/vm")


@pytest.mark.parametrize("machine", [LEAST, FULL, replace(LEAST, writable=True)], ids=["least", "full", "writable"])
@pytest.mark.parametrize("initrd", [None, HERE / "initrd"])
@pytest.mark.parametrize("architecture", CLOUD_HYPERVISOR.consoles)
def test_its_api_takes_the_json(machine: MachineOptions, initrd: Path | None, architecture: str) -> None:
    disk = root(HERE / "web.ext4", architecture, initrd=initrd)
    made = CLOUD_HYPERVISOR.configure(disk, machine, HERE / "vm.json")
    assert not made.executable
    validate(json.loads(made.content), "cloud-hypervisor")


def test_a_configuration_says_all_that_was_asked_for() -> None:
    said = replace(FULL, kernel=HERE / "vmlinux", data=HERE / "data.ext4", append=())
    assert document(root(HERE / "web.erofs", "arm64", "erofs", initrd=HERE / "initrd"), said, HERE) == {
        "payload": {
            "kernel": "vmlinux",
            "cmdline": "console=ttyAMA0 panic=10 root=/dev/vda rootfstype=erofs ro init=/.rootfs-builder/init "
            "rb.data=/dev/vdb",
            "initramfs": "initrd",
        },
        "cpus": {"boot_vcpus": 4, "max_vcpus": 4},
        "memory": {"size": 1 << 30},
        "disks": [
            {"path": "web.erofs", "readonly": True},
            {"path": "data.ext4", "readonly": False, "image_type": "Raw"},
        ],
        "serial": {"mode": "Tty"},
        "console": {"mode": "Off"},
    }


def test_the_script_says_the_same(tmp_path: Path) -> None:
    said = replace(FULL, kernel=tmp_path / "vmlinux", data=tmp_path / "data.ext4")
    disk = root(tmp_path / "web.ext4", initrd=tmp_path / "initrd")
    _, asked = run_script([write_script("cloud-hypervisor", disk, said, tmp_path / "run")], tmp_path)
    assert asked is not None
    line = document(disk, said, tmp_path)["payload"]["cmdline"]
    assert asked.argv == [
        *("--kernel", "./vmlinux", "--initramfs", "./initrd", "--cmdline", line),
        *("--cpus", "boot=4", "--memory", "size=1024M"),
        *("--disk", "path=./web.ext4,readonly=on", "path=./data.ext4,image_type=raw"),
        *("--serial", "tty", "--console", "off"),
    ]


def parsed(text: str) -> dict[str, str]:
    """Read KEY=VALUE,… as cloud-hypervisor does: a quote begins or ends what means nothing, and two of them are one."""
    options, quotes, brackets, current = [], False, 0, ""
    for character in text.strip():
        if character == '"':
            quotes = not quotes
        elif not quotes:
            brackets += {"[": 1, "]": -1}.get(character, 0)
            assert brackets >= 0
            if character == "," and not brackets:
                options.append(current)
                current = ""
                continue
        current += character
    assert not quotes
    assert not brackets
    pairs = [option.split("=", 1) for option in [*options, current]]
    return {key: unquoted(value.strip()) for key, value in pairs}


def unquoted(value: str) -> str:
    kept, quotes, before = "", False, ""
    for character in value:
        if character == '"':
            kept += '"' if before == '"' and not quotes else ""
            quotes = not quotes
        else:
            kept += character
        before = character
    return kept


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_are_as_they_are_once_its_syntax_is_read(tmp_path: Path, name: str) -> None:
    script = write_script("cloud-hypervisor", root(tmp_path / name), LEAST, tmp_path / "run")
    _, asked = run_script([script], tmp_path)
    assert asked is not None
    (disk,) = asked.values("--disk")
    assert parsed(disk) == {"path": f"./{name}", "readonly": "on"}
    made = CLOUD_HYPERVISOR.configure(root(tmp_path / name), LEAST, tmp_path / "vm.json")
    assert json.loads(made.content)["disks"][0]["path"] == name
