"""Kernels are unpacked for emulated machines, and whatever is no kernel, or a damaged one, stays as it is."""

from __future__ import annotations

import bz2
import lzma
import struct
import time
import zlib

import pytest
import zstandard
from support import guests

from builder.vm.unpacked import MAX_SIZE, unpacked

XEN, OTHER = b"Xen\0", b"GNU\0"
PVH, VERSION = 18, 5


def elf(name: bytes = XEN, kind: int = PVH) -> bytes:
    """An ELF file with a segment to load and one of notes, of which the second is the one in question."""
    notes = b"".join(struct.pack("<III4s5s3x", 4, 5, note, who, b"value") for who, note in ((XEN, 1), (name, kind)))
    header = struct.pack("<6s10xHHIQQQIHHHHHH", b"\x7fELF\2\1", 2, 62, 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    segments = [struct.pack("<IIQQQQQQ", kind, 0, 64 + 2 * 56, 0, 0, len(notes), 0, 4) for kind in (1, 4)]
    return header + b"".join(segments) + notes + bytes(300)


def gzipped(data: bytes) -> bytes:
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)
    return packer.compress(data) + packer.flush()


def lz4(data: bytes) -> bytes:
    """One block of the older form, with nothing but literals."""
    rest = len(data) - 15
    block = b"\xf0" + b"\xff" * (rest // 255) + bytes([rest % 255]) + data
    return b"\x02\x21\x4c\x18" + struct.pack("<I", len(block)) + block


COMPRESSIONS = {
    "gzip": gzipped,
    "bzip2": bz2.compress,
    "lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
    "xz": lambda data: lzma.compress(data, check=lzma.CHECK_CRC32),
    "zstd": zstandard.ZstdCompressor().compress,
    "lz4": lz4,
}


def kernel(payload: bytes, size: int | None, version: int = 0x20F, setup: int = 2) -> bytes:
    """A bzImage; what follows its payload is code that nobody reads here. gzip has the size in itself."""
    payload += b"" if size is None else struct.pack("<I", size)
    head = bytearray(512 * ((setup or 4) + 1))
    head[0x1F1] = setup
    struct.pack_into("<4sH", head, 0x202, b"HdrS", version)
    struct.pack_into("<II", head, 0x248, 7, len(payload))
    return bytes(head) + bytes(7) + payload + b"more"


@pytest.mark.parametrize("name", COMPRESSIONS)
def test_a_kernel_is_unpacked_whatever_it_is_compressed_with(name: str) -> None:
    size = None if name == "gzip" else len(elf())
    assert unpacked(kernel(COMPRESSIONS[name](elf()), size)) == elf()


def test_a_kernel_of_old_may_leave_out_how_many_sectors_come_before_it() -> None:
    assert unpacked(kernel(gzipped(elf()), None, setup=0)) == elf()


NO_KERNELS = {
    "nothing": b"",
    "an ELF file": elf(),
    "an older form": kernel(gzipped(elf()), None, version=0x207),
    "no compression that is known": kernel(elf(), len(elf())),
    "no ELF file in it": kernel(gzipped(b"text" * 100), None),
    "another's note": kernel(gzipped(elf(OTHER)), None),
    "no start by PVH": kernel(gzipped(elf(kind=VERSION)), None),
    "shorter than it says": kernel(lz4(elf()), len(elf()) + 1),
    "longer than it says": kernel(lz4(elf()), len(elf()) - 1),
    "no end to it": kernel(lz4(elf()), MAX_SIZE + 1),
    "a damaged stream": kernel(gzipped(elf())[:-9] + b"\xff" * 9, None),
    "notes that lead out of it": kernel(gzipped(elf()[: 64 + 2 * 56 + 4]), None),
}


def lying(form: str, position: int, *values: int) -> bytes:
    changed = bytearray(elf())
    struct.pack_into(form, changed, position, *values)
    return bytes(changed)


NO_KERNELS["a table further away than anything"] = kernel(gzipped(lying("<Q", 32, 2**64 - 1)), None)
NO_KERNELS["notes further away than anything"] = kernel(gzipped(lying("<Q", 64 + 56 + 8, 2**64 - 1)), None)


@pytest.mark.parametrize("what", NO_KERNELS)
def test_what_is_no_such_kernel_stays_as_it_is(what: str) -> None:
    assert unpacked(NO_KERNELS[what]) is None


def test_a_kernel_that_is_cut_off_stays_as_it_is() -> None:
    whole = kernel(gzipped(elf()), None).removesuffix(b"more")
    assert unpacked(whole) == elf()
    assert {unpacked(whole[:length]) for length in range(len(whole))} == {None}


def test_a_kernel_of_nothing_but_notes_is_looked_at_for_a_moment_only() -> None:
    # 65535 times the same segment, which is all of the file: 90 million notes.
    notes = lying("<Q", 32, 64)[:64] + struct.pack("<IIQQQQQQ", 4, 0, 120, 0, 0, 1 << 14, 0, 4) + bytes(1 << 14)
    changed = bytearray(notes)
    struct.pack_into("<HH", changed, 54, 0, 65535)
    started = time.process_time()
    assert unpacked(kernel(gzipped(bytes(changed)), None)) is None
    assert time.process_time() - started < 5


def test_debians_kernel_is_unpacked() -> None:
    guests.skip_without_machines()
    content = unpacked((guests.KERNEL / "vmlinuz").read_bytes())
    assert content is not None
    assert b"Linux version " in content
