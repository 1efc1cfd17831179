"""A disk of a registry boots as it would where it was built, its hash tree checked, and is gone afterwards."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from support import guests
from support.command import ENVIRONMENT, argv, run
from support.registry import Registry
from support.verity import skip_without_veritysetup

from builder import pull_disk, push

pytestmark = pytest.mark.slow

_KERNEL = ("--kernel", guests.KERNEL / "vmlinuz", "--modules", guests.KERNEL / "lib/modules")


def test_a_disk_of_a_registry_boots_and_its_root_hash_is_checked(registry: Registry, tmp_path: Path) -> None:
    guests.skip_without_machines()
    skip_without_veritysetup()
    show = "cat /sys/block/dm-0/dm/name; exit 3"
    reference = guests.image(tmp_path / "image", {"Cmd": ["/bin/sh", "-c", show]})
    disk = guests.build(reference, tmp_path / "disk.erofs", "--verity", "--metadata-file", tmp_path / "disk.erofs.json")
    name = f"docker://{registry.host}/boot/verity:1"
    push(disk, name)
    (tmp_path / "tmp").mkdir()
    environment = {**ENVIRONMENT, "XDG_CACHE_HOME": os.fspath(tmp_path / "cache"), "TMPDIR": str(tmp_path / "tmp")}
    words = argv("-q", "boot", name, *_KERNEL, "--timeout", 300)
    booted = subprocess.run(words, capture_output=True, check=False, env=environment, stdin=subprocess.DEVNULL)
    assert (booted.returncode, booted.stdout, booted.stderr) == (3, b"rootfs\n", b"")
    assert os.listdir(tmp_path / "tmp") == []
    # And one that was pulled, from where it is.
    pull_disk(name, tmp_path / "pulled.erofs")
    shown = run("boot", tmp_path / "pulled.erofs", *_KERNEL, "--dry-run")
    assert json.loads((tmp_path / "pulled.erofs.json").read_text())["verity"]["rootHash"] in shown.stdout
