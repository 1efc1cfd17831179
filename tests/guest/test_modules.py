"""Kernel modules for an initramfs: as distributions pack them, in an order to load them in, nothing that costs time."""

from __future__ import annotations

import gzip
import lzma
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from builder.guest.host_files import HostFileRefused
from builder.guest.initramfs import initramfs, quick_initramfs
from builder.guest.modules import load_order, unsigned

MODULE = b"\x7fELF" + bytes(5000) + b"\0depends=\0"
PACKED: dict[str, Callable[[bytes], bytes]] = {
    "ko": bytes,
    "ko.gz": gzip.compress,
    "ko.xz": lzma.compress,
    "ko.zst": zstandard.compress,
}
MARK = b"~Module signature appended~\n"


def module(name: str, *needs: str) -> bytes:
    return b"\x7fELF\0name=" + name.encode() + b"\0depends=" + ",".join(needs).encode() + b"\0"


def signed(content: bytes, signature: bytes = b"s" * 300) -> bytes:
    return content + signature + struct.pack(">8xI", len(signature)) + MARK


def test_each_module_comes_behind_those_that_it_depends_on(tmp_path: Path) -> None:
    (tmp_path / "virtio_blk.ko").write_bytes(module("virtio_blk", "virtio-ring"))
    (tmp_path / "virtio-ring.ko").write_bytes(module("virtio_ring", "virtio"))
    (tmp_path / "virtio.ko").write_bytes(module("virtio"))
    (tmp_path / "unwanted.ko").write_bytes(module("unwanted"))
    assert [each.name for each in load_order(tmp_path, ("virtio_blk",))] == ["virtio", "virtio_ring", "virtio_blk"]


@pytest.mark.parametrize("content", [b"", MARK, b"short" + MARK, module("a"), module("a") + MARK + b"more"])
def test_what_has_no_signature_stays_as_it_is(content: bytes) -> None:
    assert unsigned(content) == content


def test_a_signature_that_is_longer_than_the_module_leaves_nothing() -> None:
    assert unsigned(b"x" + struct.pack(">8xI", 0xFFFFFFFF) + MARK) == b""


def test_only_an_initramfs_for_one_boot_lacks_signatures(tmp_path: Path) -> None:
    plain, whole = module("virtio_blk"), signed(module("virtio_blk"))
    assert unsigned(whole) == plain
    (tmp_path / "virtio_blk.ko").write_bytes(whole)
    quick = quick_initramfs(b"init", tmp_path, ("virtio_blk",))
    assert (plain in quick, MARK in quick) == (True, False)
    assert whole in quick_initramfs(b"init", tmp_path, ("virtio_blk",), signed=True)
    # For others' kernels, which may insist on them.
    assert whole in gzip.decompress(initramfs(b"init", load_order(tmp_path)))


@pytest.mark.parametrize("suffix", PACKED)
def test_each_packing_gives_the_module(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"ext4.{suffix}").write_bytes(PACKED[suffix](MODULE))
    (found,) = load_order(tmp_path)
    assert (found.name, found.path, found.content) == ("ext4", tmp_path / f"ext4.{suffix}", MODULE)


@pytest.mark.heavy
@pytest.mark.parametrize("suffix", sorted(set(PACKED) - {"ko"}))
def test_one_that_is_cut_or_unpacks_to_too_much_is_refused(tmp_path: Path, suffix: str) -> None:
    for content in (PACKED[suffix](MODULE)[:-9], PACKED[suffix](b"\x7fELF" + bytes(64 << 20)), b"none"):
        (tmp_path / f"ext4.{suffix}").write_bytes(content)
        with pytest.raises(HostFileRefused, match=f"ext4.{suffix}: cannot be a kernel module: it"):
            list(load_order(tmp_path))


def test_modules_that_need_each_other_come_to_an_end(tmp_path: Path) -> None:
    for name, other in (("ext4", "jbd2"), ("jbd2", "ext4")):
        (tmp_path / f"{name}.ko").write_bytes(b"\x7fELF\0depends=" + other.encode() + b"\0")
    assert sorted(module.name for module in load_order(tmp_path)) == ["ext4", "jbd2"]
