"""Whatever is wrong with the cache: a notice, and the build goes on without."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from support.kept import Heard, opened, small_image, with_cache

from builder import BuildOptions, build
from builder.decoded.cache import Claim
from builder.decoded.place import default_place
from builder.guest.options import GuestOptions
from builder.image.digest import Digest
from builder.tree.entries import Entries
from builder.tree.spool import open_spool

BARE = GuestOptions(init="none")
DIFF_ID = Digest("sha256", "1" * 64)


@pytest.mark.parametrize("home", ["none", "x" * 300], ids=["missing", "not to be got at"])
def test_without_a_home_nothing_is_kept_and_nothing_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: str
) -> None:
    monkeypatch.delenv("ROOTFS_BUILDER_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / home))
    heard = Heard()
    build(small_image(tmp_path / "image"), tmp_path / "disk.ext4", BuildOptions(guest=BARE), heard)
    assert heard.notices == []
    assert not (tmp_path / "none").exists()


def test_the_users_cache_is_where_the_specification_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert default_place() is None
    monkeypatch.delenv("ROOTFS_BUILDER_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_place() == tmp_path / ".cache" / "rootfs-builder"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    assert default_place() == tmp_path / "caches" / "rootfs-builder"
    build(small_image(tmp_path / "image"), tmp_path / "disk.ext4", BuildOptions())
    layers = tmp_path / "caches" / "rootfs-builder" / "layers"
    assert [path.stat().st_mode & 0o777 for path in (layers, *layers.iterdir())] == [0o700, 0o600, 0o600]


@pytest.mark.parametrize("hardship", ["a file", "others may write", "a symlink", "below a file", "no such user"])
def test_a_place_that_cannot_be_used_is_named_and_done_without(tmp_path: Path, hardship: str) -> None:
    place = tmp_path / "cache"
    match hardship:
        case "a file":
            place.write_bytes(b"")
        case "others may write":
            (place / "layers").mkdir(parents=True)
            (place / "layers").chmod(0o777)
        case "a symlink":
            place.mkdir()
            (tmp_path / "elsewhere").mkdir(0o700)
            (place / "layers").symlink_to(tmp_path / "elsewhere")
        case "below a file":
            (tmp_path / "file").write_bytes(b"")
            place = tmp_path / "file" / "cache"
        case "no such user":
            place = Path("~nobody-of-this-name/cache")
    heard = Heard()
    build(small_image(tmp_path / "image"), tmp_path / "disk.ext4", with_cache(place), heard)
    assert heard.layers == ["read", "read"]
    assert len(heard.notices) == 1
    assert f"the cache of decoded layers, {place}: " in heard.notices[0]
    assert "going on without it" in heard.notices[0]


@pytest.mark.root
def test_another_users_place_is_not_believed(tmp_path: Path) -> None:
    image, heard = small_image(tmp_path / "image"), Heard()
    build(image, tmp_path / "disk.ext4", with_cache(tmp_path / "cache"))
    os.chown(tmp_path / "cache" / "layers", 1, 1)
    build(image, tmp_path / "again.ext4", with_cache(tmp_path / "cache"), heard)
    assert heard.layers == ["read", "read"]
    assert "belongs to another user" in heard.notices[0]


@pytest.mark.root
@pytest.mark.parametrize("size", ["4k", "16k", "24k", "32k"])
def test_a_full_cache_costs_no_build(tmp_path: Path, size: str) -> None:
    """Full with content, with entries, and with nothing but directories."""
    image, heard, place = small_image(tmp_path / "image"), Heard(), tmp_path / "cache"
    without = build(image, tmp_path / "without.ext4", with_cache(place, keep=False)).output
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place], check=True)
    try:
        disk = build(image, tmp_path / "disk.ext4", with_cache(place), heard).output
        assert disk.read_bytes() == without.read_bytes()
        assert [path.name for path in (place / "layers").iterdir() if "making" in path.name] == []
        assert len(heard.notices) == 1
        assert "No space left on device; going on without it" in heard.notices[0]
    finally:
        subprocess.run(["umount", place], check=True)


@pytest.mark.root
def test_a_read_only_cache_is_used_and_said_once(tmp_path: Path) -> None:
    image, place = small_image(tmp_path / "image"), tmp_path / "cache"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", place], check=True)
    try:
        build(image, tmp_path / "disk.ext4", with_cache(place))
        subprocess.run(["mount", "-o", "remount,ro", place], check=True)
        heard = Heard()
        build(image, tmp_path / "again.ext4", with_cache(place), heard)
        assert (heard.layers, heard.notices) == (["taken", "taken"], [])
        heard = Heard()
        build(small_image(tmp_path / "other", b"".join([bytes(1024)])), tmp_path / "o.ext4", with_cache(place), heard)
        assert heard.layers == ["read"]
        assert len(heard.notices) == 1
    finally:
        subprocess.run(["umount", place], check=True)


def test_what_is_lent_and_could_not_be_removed_is_nobody_elses_to_make_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next maker would empty the file that is read from."""

    def failing(path: str, *, dir_fd: int) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    cache, made = opened(tmp_path), tmp_path / "layers" / f"sha256-{DIFF_ID.hex}.making"
    claim = cache.claim(DIFF_ID, lambda: None)
    assert isinstance(claim, Claim)
    with open_spool(tmp_path) as spool:
        with monkeypatch.context() as patched, claim:
            claim.spool.keep(b"content")
            claim.lend(spool, Entries())
            patched.setattr(os, "unlink", failing)
        other = os.open(made, os.O_RDWR)
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    # Nobody reads from it any more.
    fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(other)
    cache.close()


def test_who_is_interrupted_as_it_makes_the_file_of_a_layer_leaves_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, really_open = opened(tmp_path), os.open

    def interrupted(*words: Any, **more: Any) -> int:
        fd = really_open(*words, **more)
        signal.raise_signal(signal.SIGUSR1)
        return fd

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGUSR1, interrupt)
    monkeypatch.setattr(os, "open", interrupted)
    try:
        with pytest.raises(KeyboardInterrupt):
            cache.claim(DIFF_ID, lambda: None)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert os.listdir(tmp_path / "layers") == []
    cache.close()
