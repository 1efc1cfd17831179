"""Firecracker's configuration: what its API definition takes, and what it makes of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.machines import FULL, LEAST, root, validate

from builder.errors import UsageError
from builder.vm.firecracker import FIRECRACKER, document

HERE = Path("/srv/vm")
DISK = root(HERE / "web.ext4")


@pytest.mark.parametrize("machine", [LEAST, FULL, replace(LEAST, writable=True)], ids=["least", "full", "writable"])
@pytest.mark.parametrize("initrd", [None, HERE / "initrd"])
@pytest.mark.parametrize("architecture", FIRECRACKER.consoles)
def test_firecracker_takes_it(machine: Any, initrd: Path | None, architecture: str) -> None:
    disk = root(HERE / "web.ext4", architecture, initrd=initrd)
    validate(json.loads(FIRECRACKER.configure(disk, machine, HERE / "vm.json").content), "firecracker")


@pytest.mark.parametrize(
    "change",
    [
        {"boot-source": {}},
        {"machine-config": {"vcpu_count": 33, "mem_size_mib": 1}},
        {"machine_config": {}},
        {"drives": [{"drive_id": "rootfs", "is_root_device": True}]},
    ],
)
def test_the_definition_takes_not_just_anything(change: dict[str, Any]) -> None:
    from jsonschema import ValidationError

    with pytest.raises(ValidationError):
        validate({**document(DISK, LEAST, HERE), **change}, "firecracker")


def test_a_configuration_says_all_that_was_asked_for() -> None:
    said = replace(FULL, kernel=HERE / "vmlinux", data=HERE / "data/web.ext4", append=("quiet",))
    assert document(DISK, said, HERE) == {
        "boot-source": {
            "kernel_image_path": "vmlinux",
            "boot_args": "console=ttyS0 reboot=k panic=1 i8042.noaux i8042.nomux i8042.dumbkbd root=/dev/vda "
            "rootfstype=ext4 ro init=/.rootfs-builder/init rb.data=/dev/vdb quiet",
        },
        "drives": [
            {"drive_id": "rootfs", "path_on_host": "web.ext4", "is_root_device": True, "is_read_only": True},
            {
                "drive_id": "data",
                "path_on_host": "data/web.ext4",
                "is_root_device": False,
                "is_read_only": False,
                "cache_type": "Writeback",
            },
        ],
        "machine-config": {"vcpu_count": 4, "mem_size_mib": 1024},
    }


def test_what_firecracker_adds_for_a_root_device_is_what_the_line_says() -> None:
    """It appends root=/dev/vda and ro or rw, and of words that come twice Linux takes the last."""
    for machine in (LEAST, replace(LEAST, writable=True)):
        made = document(DISK, machine, HERE)
        (drive,) = made["drives"]
        assert drive["is_root_device"]
        added = ["root=/dev/vda", "ro" if drive["is_read_only"] else "rw"]
        words = made["boot-source"]["boot_args"].split()
        assert [word for word in words if word.startswith("root=") or word in ("ro", "rw")] == added


def test_there_is_room_on_the_line_for_what_firecracker_adds() -> None:
    """It takes 2047 bytes with its own words, and would not start."""
    room = 2047 - 133 - len(document(DISK, LEAST, HERE)["boot-source"]["boot_args"]) - 1
    document(DISK, replace(LEAST, append=("x" * room,)), HERE)
    longer = replace(LEAST, append=("x" * (room + 1),))
    with pytest.raises(UsageError, match="has 1915 bytes, and Firecracker takes 1914 with its own"):
        document(DISK, longer, HERE)
    assert len(FIRECRACKER.line(DISK, longer)) == 1915  # other VMMs' machines may have it


def test_beside_an_initramfs_no_drive_is_the_root_device() -> None:
    made = document(root(HERE / "web.ext4", initrd=HERE / "initrd"), FULL, HERE)
    assert [drive["is_root_device"] for drive in made["drives"]] == [False, False]
    assert made["boot-source"]["initrd_path"] == "initrd"


@pytest.mark.parametrize("name", ['a "b"\n\\c', "grün", "-dash", "a:b,c=d", "$HOME"])
def test_odd_names_are_as_they_are_once_the_json_is_read(name: str) -> None:
    content = FIRECRACKER.configure(root(HERE / name), LEAST, HERE / "vm.json").content
    assert json.loads(content)["drives"][0]["path_on_host"] == name


def test_it_can_be_asked_to_end_the_guest() -> None:
    """SendCtrlAltDel comes through the keyboard, which nothing on the line may switch off."""
    assert "i8042.nokbd" not in FIRECRACKER.words
