"""Disks with dm-verity, before veritysetup."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from builder.errors import ToolMissing
from builder.tool import find_tool


def skip_without_veritysetup() -> None:
    try:
        find_tool("veritysetup")
    except ToolMissing:
        pytest.skip("NOT RUN: needs veritysetup; ci/setup brings it")


def read_verity(metadata: Path) -> dict[str, Any]:
    """What a metadata file says of the hash tree."""
    stated: dict[str, Any] = json.loads(metadata.read_bytes())["verity"]
    return stated


def is_intact(disk: Path, verity: dict[str, Any]) -> bool:
    """Whether veritysetup finds that all of a disk is what its root hash says."""
    argv = [find_tool("veritysetup"), "verify", disk, disk, verity["rootHash"]]
    ran = subprocess.run([*argv, f"--hash-offset={verity['hashOffset']}"], capture_output=True, check=False)
    assert ran.returncode == 0 or b"Verification" in ran.stderr or b"corrupt" in ran.stderr, ran
    return ran.returncode == 0


def flip(disk: Path, position: int) -> None:
    """Change one bit of a disk."""
    with disk.open("r+b") as file:
        file.seek(position)
        byte = file.read(1)[0]
        file.seek(position)
        file.write(bytes([byte ^ 1]))
