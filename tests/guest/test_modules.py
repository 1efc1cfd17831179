"""Kernel modules for an initramfs: in an order to load them in, and without what only costs time."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import pytest

from builder.guest.initramfs import initramfs, quick_initramfs
from builder.guest.modules import load_order, unsigned

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
    assert [name for name, _ in load_order(tmp_path, ("virtio_blk",))] == ["virtio", "virtio_ring", "virtio_blk"]


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
    assert whole in gzip.decompress(initramfs(b"init", tmp_path))
