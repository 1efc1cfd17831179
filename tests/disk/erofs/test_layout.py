"""erofs structures, byte by byte, as erofs_fs.h has them."""

from __future__ import annotations

import struct

import pytest

from builder.disk.erofs.layout import (
    directory_size,
    encode_directory,
    encode_xattrs,
    placeholder,
)


def test_a_directory_is_its_heads_and_then_its_names_in_byte_order() -> None:
    data = encode_directory([(b"b", 9, 1), (b"..", 3, 2), (b"!", 7, 7), (b".", 5, 2)])
    heads = [struct.unpack_from("<QHBx", data, 12 * number) for number in range(4)]
    assert heads == [(7, 48, 7), (5, 49, 2), (3, 50, 2), (9, 52, 1)]
    assert data[48:] == b"!...b"


def test_an_entry_that_does_not_fit_begins_a_block() -> None:
    names = [b"%0255d" % number for number in range(40)]
    data = encode_directory([(name, 1, 1) for name in [b".", b"..", *names]])
    assert len(data) == directory_size(names)
    # 4096 // (12 + 255) = 15 a block; `.` and `..` come before digits.
    starts = [struct.unpack_from("<QHBx", data, block)[1] // 12 for block in range(0, len(data), 4096)]
    assert starts == [17, 15, 10]
    assert data[17 * 12 + 3 + 15 * 255 : 4096] == bytes(64)


@pytest.mark.parametrize("count", [0, 1, 100, 5000])
def test_the_size_of_a_directory_is_known_without_its_bytes(count: int) -> None:
    names = [b"n" * (number * 37 % 255 + 1) + b"%d" % number for number in range(count)]
    names = [name[-255:] for name in names]
    assert directory_size(names) == len(encode_directory([(name, 1, 1) for name in [b".", b"..", *names]]))


def test_extended_attributes_are_sorted_and_aligned_to_four_bytes() -> None:
    body = encode_xattrs({b"user.b": b"xyz", b"security.capability": b"", b"system.posix_acl_access": b"12345678"})
    assert body[:12] == bytes(12)
    assert body[12:] == (
        b"\x0a\x06\x00\x00capability\0\0" + b"\x00\x02\x08\x0012345678" + b"\x01\x01\x03\x00bxyz"
    )  # fmt: skip
    assert encode_xattrs({}) == b""


@pytest.mark.parametrize(
    "xattrs",
    [
        {b"user.a": b""},
        {b"system.posix_acl_default": b"1234"},
        {b"trusted.a": b"1", b"user.b=c": b"22", b"security.c": b"333" * 99},
    ],
)
def test_a_placeholder_takes_exactly_the_room_of_all_attributes(xattrs: dict[bytes, bytes]) -> None:
    assert len(encode_xattrs(dict([placeholder(xattrs)]))) == len(encode_xattrs(xattrs))
