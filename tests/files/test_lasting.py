"""Directories that last: a machine may stop at any step."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from builder.actions.confinement import make_directories


def test_each_directory_is_on_the_disk_before_anything_is_put_into_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    make, sync = os.mkdir, os.fsync

    def made(path: str) -> None:
        make(path)
        done.append(f"make {os.path.relpath(path, tmp_path)}")

    def synced(fd: int) -> None:
        sync(fd)
        done.append(f"sync {os.path.relpath(os.readlink(f'/proc/self/fd/{fd}'), tmp_path)}")

    monkeypatch.setattr(os, "mkdir", lambda path, *_mode: made(path))
    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.chdir(tmp_path)
    make_directories(["data/store/images", str(tmp_path / "data/store/images")])
    assert done == [
        *("make data", "sync ."),
        *("make data/store", "sync data"),
        *("make data/store/images", "sync data/store"),
    ]
