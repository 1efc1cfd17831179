from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator

import pytest
from support.reading import AFTER, contents, cut, refusal, write_content
from support.tars import (
    GNU,
    Records,
    exactly,
    file,
    header,
    number,
    padded,
    pax,
    pax_record,
    raw,
    sparse_old,
    sparse_pax,
    tar,
)

from builder.archive.tar import TarReader

EXTENTS = [(i * 8192, bytes([65 + i % 26]) * (512 if i % 2 else 700)) for i in range(1, 30)]
SPARSE_SIZE = 30 * 8192 + 100


def plain(extents: list[tuple[int, bytes]], size: int) -> bytes:
    content = bytearray(size)
    for offset, data in extents:
        content[offset : offset + len(data)] = data
    return bytes(content)


@pytest.mark.parametrize("offset", [0, 4096, 12288, 777])
@pytest.mark.parametrize("version", ["old", "0.0", "0.1", "1.0"])
def test_sparse_files_are_exact_and_keep_to_their_place(version: str, offset: int) -> None:
    maps = [EXTENTS, [], [(0, b"start")], [(SPARSE_SIZE - 3, b"end")], [(100, b"x"), (SPARSE_SIZE, b"")]]
    for extents in maps:
        if version == "old":
            stream = sparse_old("s", extents, SPARSE_SIZE)
        elif version == "0.1" and not extents:
            continue  # GNU tar never writes an empty map, and readers differ on it
        else:
            stream = sparse_pax("s", extents, SPARSE_SIZE, version)
        found = contents(tar(stream, file("after", b"ok")), offset)
        assert found == {b"s": plain(extents, SPARSE_SIZE), b"after": b"ok"}


def test_a_name_that_gnu_tar_cut_off_at_a_slash_is_not_the_file_s() -> None:
    """In front of it stands what `path` has no room for; the whole name is among the records."""
    name = b"d" * 77 + b"/file"
    said: Records = {
        "GNU.sparse.major": "1",
        "GNU.sparse.minor": "0",
        "GNU.sparse.name": name,
        "GNU.sparse.realsize": "5",
    }
    member = pax(said) + raw(b"./" + b"d" * 77 + b"/GNUSparseFile.15468/", b"0", padded(b"0\n"))
    assert contents(tar(member, file("after", b"ok"))) == {name: bytes(5), b"after": b"ok"}


def test_holes_are_not_written() -> None:
    size = 64 * 1024 * 1024
    stream = tar(sparse_pax("s", [(size - 4096, b"x" * 4096)], size, "1.0"))
    with TarReader(cut(stream)) as reader, tempfile.TemporaryFile() as spool:
        (entry,) = (next(iter(reader)),)
        write_content(reader, spool.fileno(), 8192)
        status = os.fstat(spool.fileno())
        assert (entry.size, status.st_size) == (size, size + 8192)
        assert status.st_blocks * 512 < 1024 * 1024


def test_many_extents_in_an_old_sparse_file() -> None:
    extents = [(i * 1024, b"x" * 512) for i in range(5000)]
    assert contents(tar(sparse_old("s", extents, 5000 * 1024))) == {b"s": plain(extents, 5000 * 1024)}


BAD_MAPS = {
    "overlapping": [(0, 1000), (500, 1000)],
    "out of order": [(5000, 1000), (0, 1000)],
    "beyond the end": [(9500, 1000)],
    "far beyond the end": [(2**62, 1000)],
    "less than is stored": [(0, 1000)],
    "more than is stored": [(0, 1000), (2000, 1000), (4000, 1000)],
}
STORED = 2000


def maps(extents: list[tuple[int, int]], size: int = 10_000) -> Iterator[tuple[str, bytes]]:
    """Write a sparse file of 2,000 stored bytes with this map in every format."""
    data = padded(b"d" * STORED)
    pairs = b"".join(number(o, 12) + number(n, 12) for o, n in extents)
    prefix = bytes(41) + exactly(pairs, 96) + b"\0" + number(size, 12)
    yield "old", header(b"s", b"S", size=STORED, magic=GNU, prefix=prefix) + data
    count = {"GNU.sparse.size": str(size), "GNU.sparse.numblocks": str(len(extents))}
    body = b"".join(pax_record(key.encode(), value.encode()) for key, value in count.items())
    for offset, length in extents:
        body += pax_record(b"GNU.sparse.offset", b"%d" % offset) + pax_record(b"GNU.sparse.numbytes", b"%d" % length)
    yield "0.0", pax(body) + header(b"s", size=STORED) + data
    joined = ",".join(f"{o},{n}" for o, n in extents)
    yield "0.1", pax({**count, "GNU.sparse.map": joined}) + header(b"s", size=STORED) + data
    text = padded("".join(f"{n}\n" for n in [len(extents), *(x for pair in extents for x in pair)]).encode())
    marks = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": str(size)}
    yield "1.0", pax(marks) + header(b"s", size=len(text) + STORED) + text + data


def test_the_maps_that_the_bad_ones_are_made_of_are_good() -> None:
    for version, member in maps([(0, 1000), (5000, 500), (9500, 500)]):
        with TarReader([tar(member, AFTER)]) as reader:
            assert [(e.path, e.size) for e in reader] == [(b"s", 10_000), (b"after", 0)], version


@pytest.mark.parametrize("name", BAD_MAPS)
def test_sparse_maps_that_lie_are_refused(name: str) -> None:
    for _, member in maps(BAD_MAPS[name]):
        assert "its sparse map" in refusal(member)


def test_sparse_maps_with_negative_numbers_are_refused() -> None:
    for version, member in maps([(0, 1000), (-5, 1000)]):
        reason = refusal(member)
        assert "sparse" in reason, version


def test_sparse_records_that_do_not_fit_together_are_refused() -> None:
    good = {"GNU.sparse.size": "5", "GNU.sparse.numblocks": "1", "GNU.sparse.map": "0,1"}
    bad = [
        {**good, "GNU.sparse.numblocks": "2"},
        {**good, "GNU.sparse.map": "0,1,2"},
        {**good, "GNU.sparse.map": "0,x"},
        {**good, "GNU.sparse.map": ""},
        {**good, "GNU.sparse.realsize": "6"},
        {**good, "GNU.sparse.major": "0", "GNU.sparse.minor": "1"},
        {**good, "GNU.sparse.other": "1"},
        {"GNU.sparse.size": "5"},
        {"GNU.sparse.name": "x"},
        {"GNU.sparse.major": "2", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "5"},
        {"GNU.sparse.major": "1", "GNU.sparse.realsize": "5"},
        {"GNU.sparse.offset": "0", "GNU.sparse.numbytes": "1", "GNU.sparse.numblocks": "1", "GNU.sparse.size": "5"},
        {"GNU.sparse.numblocks": "1", "GNU.sparse.numbytes": "1", "GNU.sparse.offset": "0", "GNU.sparse.size": "5"},
    ]
    for records in bad:
        assert "sparse" in refusal(pax(records) + file("s", b"x")), records
    for typeflag in (b"1", b"2", b"5", b"7", b"\0"):
        link = b"t" if typeflag in b"12" else b""
        assert refusal(pax(good) + header(b"s", typeflag, link=link))


def test_malformed_sparse_maps_in_front_of_content_are_refused() -> None:
    marks = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "9"}
    for text in (
        b"",
        b"x\n",
        b"1\n0\n",
        b"1\n0\nx\n",
        b"-1\n",
        b"1" * 600,
        b"9999999\n" + b"0\n" * 2000,
        b"99999999999999999999\n",
    ):
        assert "sparse map" in refusal(pax(marks) + raw("s", b"0", padded(text)))


@pytest.mark.heavy
def test_a_huge_sparse_map_is_refused_in_bounded_time_and_memory() -> None:
    extents = [(i * 2, b"x") for i in range(50_000)]
    assert "too long" in refusal(sparse_old("s", extents, 10**6))
    assert "too long" in refusal(sparse_pax("s", [(i * 2 + 10**12, b"x") for i in range(70_000)], 10**13, "1.0"))
