"""What is kept of a layer is checked whenever it is used: no byte may be another one, missing or too many."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.kept import Heard, opened, small_image, with_cache
from support.tars import file, sparse_pax, tar

from builder import build
from builder.decoded import cache, layer_file
from builder.decoded.cache import Claim, Kept
from builder.decoded.content import Content, Damaged, verify
from builder.decoded.room import stored
from builder.image.digest import Digest

# A block of content, one of zeros, one of content: small, for each of its bytes is damaged in turn.
LAYER = tar(file("f", b"content"), sparse_pax("s", [(4096, b"data")], 5000, "1.0"), file("x", xattrs={"user.a": b"1"}))


def check(fd: int, diff_id: str) -> None:
    """What a use of a layer checks."""
    verify(fd, layer_file.read(fd, os.fstat(fd).st_size, diff_id).content)


@pytest.fixture
def layer(tmp_path: Path) -> Iterator[tuple[int, str]]:
    """The file of one layer that is kept, open, and its diff_id."""
    build(small_image(tmp_path / "image", LAYER), tmp_path / "disk.ext4", with_cache(tmp_path / "cache"))
    (path,) = (tmp_path / "cache" / "layers").iterdir()
    fd = os.open(path, os.O_RDWR)
    check(fd, path.name.replace("-", ":"))
    yield fd, path.name.replace("-", ":")
    os.close(fd)


@pytest.mark.heavy
def test_every_flipped_byte_is_noticed(layer: tuple[int, str]) -> None:
    fd, diff_id = layer
    whole = os.pread(fd, 1 << 20, 0)
    assert len(whole) > 3 * 4096
    unnoticed = []
    for at, byte in enumerate(whole):
        os.pwrite(fd, bytes([byte ^ 1 << at % 8]), at)
        try:
            check(fd, diff_id)
            unnoticed.append(at)
        except Damaged:
            os.pwrite(fd, bytes([byte]), at)
    assert unnoticed == []
    check(fd, diff_id)


def test_every_cut_and_every_further_byte_is_noticed(layer: tuple[int, str]) -> None:
    fd, diff_id = layer
    whole = os.pread(fd, 1 << 20, 0)
    os.pwrite(fd, b"\0", len(whole))
    with pytest.raises(Damaged):
        check(fd, diff_id)
    for size in range(len(whole) - 1, -1, -1):
        os.ftruncate(fd, size)
        with pytest.raises(Damaged):
            check(fd, diff_id)


@pytest.mark.parametrize("damage", ["flipped", "cut", "empty", "other layer", "directory"])
def test_a_damaged_layer_is_made_anew_and_the_disk_is_the_same(tmp_path: Path, damage: str) -> None:
    image, options, heard = small_image(tmp_path / "image"), with_cache(tmp_path / "cache"), Heard()
    disk = build(image, tmp_path / "disk.ext4", options).output
    first, second = sorted((tmp_path / "cache" / "layers").iterdir())
    match damage:
        case "flipped":
            whole = bytearray(first.read_bytes())
            whole[100] ^= 1
            first.write_bytes(whole)
        case "cut":
            os.truncate(first, first.stat().st_size - 1)
        case "empty":
            first.write_bytes(b"")
        case "other layer":
            first.write_bytes(second.read_bytes())
        case "directory":
            first.unlink()
            first.mkdir()
    again = build(image, tmp_path / "again.ext4", options, heard).output
    assert again.read_bytes() == disk.read_bytes()
    assert sorted(heard.layers) == ["read", "taken"]
    assert len(heard.notices) == (2 if damage == "directory" else 1)
    assert all(str(tmp_path / "cache") in notice for notice in heard.notices)
    if damage != "directory":
        assert all("damaged, and made anew" in notice for notice in heard.notices)
        after = Heard()
        build(image, tmp_path / "after.ext4", options, after)
        assert (after.layers, after.notices) == (["taken", "taken"], [])


def test_another_version_makes_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image, options, heard = small_image(tmp_path / "image"), with_cache(tmp_path / "cache"), Heard()
    disk = build(image, tmp_path / "disk.ext4", options).output
    monkeypatch.setattr(layer_file, "VERSION", "0.0.0")
    again = build(image, tmp_path / "again.ext4", options, heard).output
    assert again.read_bytes() == disk.read_bytes()
    assert heard.layers == ["read", "read"]
    # Nothing is wrong, and nothing said.
    assert heard.notices == []


def test_what_was_not_finished_is_no_layer(tmp_path: Path) -> None:
    diff_id = Digest("sha256", "0" * 64)
    cache = opened(tmp_path)
    claim = cache.claim(diff_id, lambda: None)
    assert isinstance(claim, Claim)
    with claim:
        claim.spool.keep(b"x")
        assert cache.find(diff_id) is None
    assert stored(cache.directory) == []
    assert not isinstance(cache.find(diff_id), Kept)
    cache.close()


@pytest.mark.parametrize("bad", [b"\xc1" * 40, b"\xff" * 40, b"\0" * 40])
def test_what_changes_between_the_check_and_the_use_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bad: bytes
) -> None:
    """Whoever writes there: the drive, or another program of the user's."""
    image, options, heard = small_image(tmp_path / "image", LAYER), with_cache(tmp_path / "cache"), Heard()
    disk = build(image, tmp_path / "disk.ext4", options).output
    (path,) = (tmp_path / "cache" / "layers").iterdir()

    def check_and_change(fd: int, content: Content) -> None:
        verify(fd, content)
        # Behind the head, and before the trailer of 65 bytes.
        with path.open("r+b") as file:
            file.seek(-65 - len(bad), os.SEEK_END)
            file.write(bad)

    monkeypatch.setattr(cache, "verify", check_and_change)
    again = build(image, tmp_path / "again.ext4", options, heard).output
    assert again.read_bytes() == disk.read_bytes()
    assert len(heard.notices) == 1
    assert "stays damaged" in heard.notices[0]
    assert not path.exists()
