"""What a machine is started with, before there is one."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from support.images import Spec, layout
from support.tars import file, tar

from builder.actions.boot import BootOptions, FileUnreadable, boot, boot_command
from builder.actions.build import build

NEEDED = ["kernel", "modules", "initrd", "data"]


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    layout(tmp_path / "image", Spec((tar(file("a", b"content")),)))
    return build(f"oci:{tmp_path}/image", tmp_path / "disk.erofs").output


def test_a_disk_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileUnreadable) as refused:
        boot(tmp_path / "none.ext4", BootOptions())
    assert str(refused.value) == f"{tmp_path}/none.ext4: cannot be read: No such file or directory; check the path"


@pytest.mark.parametrize("name", NEEDED)
def test_what_else_a_machine_needs_and_is_not_there_is_named(disk: Path, name: str) -> None:
    missing = disk.parent / "none"
    needed: dict[str, Any] = {"kernel": disk, "modules": disk.parent, name: missing}
    with pytest.raises(FileUnreadable) as refused:
        boot(disk, BootOptions(**needed))
    assert refused.value.path == missing


def test_who_has_no_home_to_keep_an_initramfs_in_boots_all_the_same(
    disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(disk))
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    assert f"file={disk}," in " ".join(boot_command(disk, BootOptions(kernel=disk, initrd=disk)))
    assert list(temporary.iterdir()) == []
