from __future__ import annotations

import struct
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from builder.disk.ext4.dirents import block_count, directory_blocks
from builder.disk.ext4.layout import checksum

UUID_1 = UUID(int=1)


def listed(blocks: bytes) -> list[tuple[bytes, int, int]]:
    """Walk the blocks as a kernel does: every record leads to the next one, the last to the tail."""
    found = []
    for start in range(0, len(blocks), 4096):
        at = start
        while at < start + 4084:
            number, size, length, kind = struct.unpack_from("<IHBB", blocks, at)
            assert size % 4 == 0
            assert size >= 8 + length
            found.append((blocks[at + 8 : at + 8 + length], number, kind))
            at += size
        assert at == start + 4084
        assert struct.unpack_from("<IHBB", blocks, at) == (0, 12, 0, 0xDE)
    return found


@given(st.lists(st.integers(1, 255), max_size=200))
def test_every_child_is_listed_once_in_whole_blocks(lengths: list[int]) -> None:
    children = [(b"%0*d" % (length, index), 20 + index, 1) for index, length in enumerate(lengths)]
    blocks = directory_blocks(12, 2, children, UUID_1)
    assert len(blocks) == 4096 * block_count([name for name, _, _ in children])
    assert listed(blocks) == [(b".", 12, 2), (b"..", 2, 2), *children]


def test_the_tail_of_each_block_seals_it_for_this_directory_of_this_file_system() -> None:
    children = [(b"n" * 250, number, 1) for number in range(20, 60)]
    blocks = directory_blocks(12, 2, children, UUID_1)
    assert len(blocks) == 3 * 4096
    for start in range(0, len(blocks), 4096):
        block = blocks[start : start + 4096]
        sealed = checksum((UUID_1.bytes, struct.pack("<II", 12, 0), block[:4084]))
        assert block[4092:] == struct.pack("<I", sealed)


def test_the_checksum_is_crc32c_without_the_final_inversion() -> None:
    # RFC 3720, B.4: 32 bytes of zeros have the CRC 0x8A9136AA.
    assert checksum((bytes(16), bytes(16))) == 0x8A9136AA ^ 0xFFFFFFFF
