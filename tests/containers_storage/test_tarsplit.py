"""Tars rebuilt from a tar-split and the unpacked files."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.stores import encoded, tar_split, unpack
from support.tars import directory, file, hardlink, symlink, tar, whiteout

from builder.containers_storage import tarsplit
from builder.containers_storage.handles import Handle
from builder.containers_storage.tarsplit import read_pieces, rebuild, tar_size
from builder.containers_storage.unpacked import Unpacked
from builder.errors import ImageRefused, MalformedArchive, UnsafeFile, UnsupportedImage

LAYER = tar(
    directory("etc"),
    file("etc/motd", b"motd\n"),
    file("./etc/dotted", b"x" * 512),
    file("/etc/rooted", b"y" * 513),
    file("empty"),
    file("large", bytes(range(256)) * 12_000),
    hardlink("etc/linked", "etc/motd"),
    symlink("etc/symlink", "motd"),
    file(b"raw\xff", b"raw"),
    file("café", b"utf-8"),
    whiteout("etc/gone"),
    end=bytes(10240),
)


def files_at(path: Path) -> Unpacked:
    handle = Handle.open(str(path))
    assert handle is not None
    return Unpacked(handle)


def packed(*lines: object) -> bytes:
    return gzip.compress(b"".join(json.dumps(line).encode() + b"\n" for line in lines))


def rebuilt(data: bytes, path: Path) -> bytes:
    with closing(files_at(path)) as files:
        return b"".join(rebuild(read_pieces(io.BytesIO(data), "T"), files))


def size(data: bytes) -> int:
    return tar_size(read_pieces(io.BytesIO(data), "T"), "T")


def test_the_tar_is_the_same_to_the_last_byte(tmp_path: Path) -> None:
    unpack(LAYER, tmp_path / "diff")
    data = gzip.compress(tar_split(LAYER))
    assert rebuilt(data, tmp_path / "diff") == LAYER
    assert size(data) == len(LAYER)


@pytest.mark.heavy
def test_a_line_may_end_anywhere_in_a_chunk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tarsplit, "READ_SIZE", 7)
    unpack(LAYER, tmp_path / "diff")
    plain = tar_split(LAYER)
    members = b"".join(gzip.compress(plain[at : at + 100]) for at in range(0, len(plain), 100))
    assert rebuilt(members, tmp_path / "diff") == LAYER


def test_pieces_of_no_size_ask_for_no_file(tmp_path: Path) -> None:
    data = packed({"type": 1, "name": "../../absent", "payload": None}, {"type": 2, "payload": "QUI="}, {"type": 2})
    assert rebuilt(data, tmp_path) == b"AB"


def test_a_size_in_the_header_of_what_has_no_content_is_none_of_content(tmp_path: Path) -> None:
    """Some tars state that of a directory, or of a hardlink's target; the checksum is that of no bytes."""
    (tmp_path / "d").mkdir()
    (tmp_path / "h").write_bytes(b"data")
    stated = [{"type": 1, "name": name, "size": 4, "payload": "AAAAAAAAAAA="} for name in ("d/", "h", "absent")]
    data = packed(*stated, {"type": 2, "payload": "QUI="})
    assert rebuilt(data, tmp_path) == b"AB"
    assert size(data) == 2


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ({"type": 3, "payload": ""}, "a piece of type 3"),
        ({"type": "1"}, "Expected `int`"),
        ({}, "missing required field `type`"),
        ({"type": 2, "payload": "%%%"}, "base64"),
        ({"type": 2, "payload": "QUI"}, "base64"),
        ({"type": 1, "name": "x", "size": -1}, "`int` >= 0"),
        ({"type": 1, "name": "x", "size": 1 << 63}, "`int` <="),
        ({"type": 1, "name": 7}, "Expected `str`"),
        ({"type": 1, "name_raw": "*"}, "base64"),
        ([], "Expected `object`"),
    ],
)
def test_a_piece_that_is_none_is_refused(line: object, reason: str) -> None:
    with pytest.raises(MalformedArchive) as caught:
        size(packed(line))
    assert caught.value.where == "T"
    assert reason in caught.value.reason
    assert "pull or build the image again" in caught.value.reason


DATA = gzip.compress(tar_split(LAYER), mtime=0)
DAMAGED = {
    "nothing": b"",
    "a header": DATA[:20],
    "half": DATA[: len(DATA) // 2],
    "all but a byte": DATA[:-1],
    "a wrong checksum": DATA[:-8] + bytes(8),
    "something behind": DATA + b"x",
    "no gzip": b"{}\n",
    "no JSON": gzip.compress(b"{"),
}


@pytest.mark.parametrize("what", DAMAGED)
def test_a_damaged_file_is_refused(what: str) -> None:
    with pytest.raises(MalformedArchive, match="no intact tar-split"):
        size(DAMAGED[what])


def test_sizes_that_no_tar_has_are_refused() -> None:
    with pytest.raises(MalformedArchive, match="its files have"):
        size(packed(*[{"type": 1, "name": "x", "size": (1 << 63) - 1}] * 3))


def test_a_line_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tarsplit, "_MAX_LINE", 1 << 20)
    with pytest.raises(MalformedArchive, match="longer than that of any layer"):
        size(gzip.compress(b'{"type":2,"payload":"' + b"A" * (8 << 20)))


def test_lines_without_end_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tarsplit, "_MAX_JSON", 1 << 20)
    with pytest.raises(MalformedArchive, match="longer than that of any layer"):
        size(gzip.compress(b'{"type":2}\n' * 500_000))


@pytest.mark.parametrize(
    ("change", "error", "reason"),
    [
        (lambda path: path.unlink(), MalformedArchive, "the file is missing"),
        (lambda path: path.write_bytes(b"mot\n"), MalformedArchive, "has 4 bytes, the layer's tar 5"),
        (lambda path: path.write_bytes(b"motd\n\n"), MalformedArchive, "has 6 bytes, the layer's tar 5"),
        (lambda path: (path.unlink(), path.symlink_to("dotted")), UnsafeFile, "is no regular file"),
        (lambda path: (path.unlink(), path.mkdir()), UnsafeFile, "is no regular file"),
    ],
)
def test_a_file_that_is_not_as_it_was_is_refused(
    tmp_path: Path, change: Callable[[Path], object], error: type[ImageRefused], reason: str
) -> None:
    unpack(LAYER, tmp_path / "diff")
    change(tmp_path / "diff/etc/motd")
    with pytest.raises(error) as caught:
        rebuilt(DATA, tmp_path / "diff")
    assert reason in str(caught.value)
    assert "etc/motd" in str(caught.value)


def test_a_huge_size_is_not_believed(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"x")
    with pytest.raises(MalformedArchive, match="has 1 bytes, the layer's tar 1152921504606846976"):
        rebuilt(packed({"type": 1, "name": "x", "size": 1 << 60}), tmp_path)


@pytest.mark.parametrize("key", ["major=1", "size=4096", "map=0,1", "numblocks=1"])
def test_a_sparse_file_is_refused(tmp_path: Path, key: str) -> None:
    (tmp_path / "x").write_bytes(b"x")
    header = encoded(b"22 GNU.sparse." + key.encode() + b"\n")
    with pytest.raises(UnsupportedImage, match="was sparse"):
        rebuilt(packed({"type": 2, "payload": header}, {"type": 1, "name": "x", "size": 1}), tmp_path)


@given(st.binary(max_size=300), st.integers(0, 1000), st.integers(0, 255))
def test_whatever_is_there_is_read_or_refused(noise: bytes, position: int, byte: int) -> None:
    for data in (noise, gzip.compress(noise), DATA[:position] + bytes([byte]) + DATA[position + 1 :]):
        try:
            size(data)
        except MalformedArchive:
            continue
