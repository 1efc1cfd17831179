"""The hash by which a directory's index finds a name: half MD4 (kernel documentation, filesystems/ext4/directory).

It is the compression of MD4 (RFC 1320, section 3.4) on 8 words instead of 16, in 8 steps a round instead of 16; the
file system's hash seed is its initial state. Name by name that takes Python ten times as long: here one integer holds
a word of a thousand names, 64 bits for each, and every step is taken for all of them at once.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable, Sequence

_BLOCK, _WORDS = 32, 8

# So many names at a time that their words stay in the processor's cache.
_TOGETHER = 1024


def _choice(x: int, y: int, z: int) -> int:
    return z ^ (x & (y ^ z))


def _majority(x: int, y: int, z: int) -> int:
    return (x & y) | ((x ^ y) & z)


def _parity(x: int, y: int, z: int) -> int:
    return x ^ y ^ z


# For each round: function, constant, by how much each step turns, and the word that each step takes in.
_ROUNDS: tuple[tuple[Callable[[int, int, int], int], int, tuple[int, ...], tuple[int, ...]], ...] = (
    (_choice, 0, (3, 7, 11, 19), (0, 1, 2, 3, 4, 5, 6, 7)),
    (_majority, 0x5A827999, (3, 5, 9, 13), (1, 3, 5, 7, 0, 2, 4, 6)),
    (_parity, 0x6ED9EBA1, (3, 9, 11, 15), (3, 7, 2, 6, 1, 5, 0, 4)),
)


def name_hashes(names: Sequence[bytes], seed: bytes) -> Sequence[int]:
    """Return the hash of each of `names`, which have 1 to 255 bytes, under a `seed` of 16 bytes that is not all zero.

    Bytes count as signed (superblock, `s_flags`), and the lowest bit is 0: an index has another use for it.
    """
    hashes = array("I", [0]) * len(names)
    alike: dict[int, list[int]] = {}
    for place, name in enumerate(names):
        alike.setdefault(-(-len(name) // _BLOCK), []).append(place)
    for blocks, places in alike.items():
        for start in range(0, len(places), _TOGETHER):
            some = places[start : start + _TOGETHER]
            for place, value in zip(some, _hash_all([names[place] for place in some], blocks, seed), strict=True):
                hashes[place] = value & ~1
    return hashes


def _hash_all(names: list[bytes], blocks: int, seed: bytes) -> Sequence[int]:
    """Return the hashes of names that all have so many blocks."""
    ones = int.from_bytes(b"\1\0\0\0\0\0\0\0" * len(names), "little")
    state = [ones * word for word in struct.unpack("<4I", seed)]
    for start in range(0, blocks * _BLOCK, _BLOCK):
        state = _compress(state, _words([_padded(name, start) for name in names], ones), ones)
    return struct.unpack(f"<{len(names)}Q", state[1].to_bytes(8 * len(names), "little"))


def _padded(name: bytes, start: int) -> bytes:
    """Return a name's block from `start` on: the room is filled with the length, in a last word in front of the name.

    Only a block that is full, where no padding is left, has a length of more than one block.
    """
    padding = bytes((len(name) - start,))
    block = name[start : start + _BLOCK]
    whole = len(block) & ~3
    return (block[:whole] + block[whole:].rjust(4, padding)).ljust(_BLOCK, padding)[:_BLOCK]


def _words(blocks: list[bytes], ones: int) -> list[int]:
    values = struct.unpack(f">{_WORDS * len(blocks)}I", b"".join(blocks))
    words = []
    for index in range(_WORDS):
        word = int.from_bytes(struct.pack(f"<{len(blocks)}Q", *values[index::_WORDS]), "little")
        # A byte of 0x80 or more is 0x100 less where it is signed: it borrows one from the byte before it.
        borrowed = (word & ones * 0x00808080) << 1
        words.append(word + (ones << 32) - borrowed & ones * 0xFFFFFFFF)
    return words


def _compress(state: list[int], words: list[int], ones: int) -> list[int]:
    mask = ones * 0xFFFFFFFF
    a, b, c, d = state
    for mix, constant, turns, order in _ROUNDS:
        added = ones * constant
        for step, index in enumerate(order):
            turn = turns[step % 4]
            total = a + mix(b, c, d) + words[index] + added & mask
            # What is shifted out of 32 bits comes to lie in the upper half of a neighbour's 64, or of its own.
            a, b, c, d = d, (total << turn | total >> 32 - turn) & mask, b, c
    return [before + after & mask for before, after in zip(state, (a, b, c, d), strict=True)]
