"""debugfs hashes names, too, and is written by others."""

from __future__ import annotations

import random
import re
import subprocess
from pathlib import Path
from uuid import UUID

from builder.disk.ext4.half_md4 import name_hashes
from builder.tool import find_tool

SEED = UUID("01234567-89ab-8def-8123-456789abcdef")


def hashed_by_debugfs(names: list[bytes], directory: Path) -> list[int]:
    commands = directory / "commands"
    commands.write_bytes(b"".join(b'dx_hash -h half_md4 -s %s "%s"\n' % (str(SEED).encode(), name) for name in names))
    printed = subprocess.run([find_tool("debugfs"), "-f", commands], capture_output=True, check=True).stdout
    return [int(value, 16) for value in re.findall(rb" is 0x([0-9a-f]+) \(minor", printed)]


def test_every_length_is_hashed_as_debugfs_does(tmp_path: Path) -> None:
    names = [bytes(97 + (7 * length + place) % 26 for place in range(length)) for length in range(1, 256)]
    assert list(name_hashes(names, SEED.bytes)) == hashed_by_debugfs(names, tmp_path)


def test_bytes_count_as_signed(tmp_path: Path) -> None:
    # Each of the upper half in each place of a word; and words of them alone.
    names = [bytes([byte]).rjust(place, b"n") for byte in range(0x80, 0x100) for place in range(1, 5)]
    names += [b"\x80" * length for length in range(1, 256, 9)] + ["größer".encode(), "日本語".encode() * 12]
    # debugfs reads a line at a time, with what is blank or quoted.
    names += [bytes(random.Random(number).choices(range(0x80, 0x100), k=number)) for number in range(1, 256, 8)]
    assert list(name_hashes(names, SEED.bytes)) == hashed_by_debugfs(names, tmp_path)


def test_each_of_many_names_gets_its_own_hash() -> None:
    # Of two lengths in turn, and more than are hashed together.
    names = [b"%d" % number if number % 2 else b"%060d" % number for number in range(5000)]
    alone = [name_hashes([name], SEED.bytes)[0] for name in names]
    assert list(name_hashes(names, SEED.bytes)) == alone


def test_the_lowest_bit_is_left_to_the_index() -> None:
    names = [b"%d" % number for number in range(100)]
    assert {value & 1 for value in name_hashes(names, SEED.bytes)} == {0}
