"""Reading tars in tests: entries, contents and refusals in one expression."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator

import pytest
from support.tars import file, tar

from builder.archive.entry import Entry, Kind
from builder.archive.guard import Guard
from builder.archive.tar import TarReader
from builder.errors import MalformedTar

BEFORE, AFTER = file("before", b"x" * 600), file("after")


def cut(data: bytes, size: int = 1 << 20) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def entries(stream: bytes | Iterable[bytes]) -> list[Entry]:
    with TarReader(cut(stream) if isinstance(stream, bytes) else stream) as reader:
        return list(reader)


def only(stream: bytes) -> Entry:
    (entry,) = entries(tar(stream))
    return entry


def write_content(reader: TarReader, fd: int, offset: int = 0) -> None:
    """Write the current file's content into a file, from `offset` on."""
    for position, data in reader.content():
        assert os.pwrite(fd, data, offset + position) == len(data)


def contents(stream: bytes | Iterable[bytes], offset: int = 0) -> dict[bytes, bytes]:
    """Read every file's content through a spool that has something else before and after it."""
    found = {}
    with TarReader(cut(stream) if isinstance(stream, bytes) else stream) as reader:
        for entry in reader:
            with tempfile.TemporaryFile() as spool:
                spool.write(b"#" * offset)
                spool.flush()
                write_content(reader, spool.fileno(), offset)
                assert os.fstat(spool.fileno()).st_size <= offset + entry.size
                spool.truncate(offset + entry.size)
                spool.seek(0)
                assert spool.read(offset) == b"#" * offset
                if entry.kind is Kind.FILE:
                    found[entry.path] = spool.read()
    return found


def refusal(member: bytes) -> str:
    """Refuse `member` between two good ones, however the stream is cut into chunks; return the reason."""
    stream = tar(BEFORE, member, AFTER)
    reasons = {reader_refusal(member)}
    for size in (1 << 20, 512, 100):
        with pytest.raises(MalformedTar) as caught:
            for _ in Guard(stream[i : i + size] for i in range(0, len(stream), size)):
                pass
        reasons.add(str(caught.value))
    (reason,) = reasons
    return reason


def reader_refusal(member: bytes) -> str:
    """Refuse what only the guard and libarchive together can tell."""
    with pytest.raises(MalformedTar) as caught, TarReader([tar(BEFORE, member, AFTER)]) as reader:
        list(reader)
    return str(caught.value)
