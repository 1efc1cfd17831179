"""A disk made into a blob: the same bytes whoever makes it, with however many processors."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

import pytest
import zstandard

from builder.artifact import pack
from builder.artifact.pack import packed
from builder.events import Meter, ignore
from builder.exact import read_at

# More than a few jobs of the library's threads; some of it empty, some of it not to be compressed.
DATA = random.Random(2).randbytes(2_200_000) + bytes(3_000_000) + b"text " * 200_000


def test_neither_threads_nor_steps_decide_the_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    for threads, step in ((1, 1 << 20), (4, 70_001)):
        monkeypatch.setattr(pack, "_THREADS", threads)
        chunks = (DATA[place : place + step] for place in range(0, len(DATA), step))
        with packed(chunks, len(DATA), tmp_path, Meter(ignore)) as blob:
            content = read_at(blob.fd, blob.size, 0)
        assert blob.digest.hex == hashlib.sha256(content).hexdigest()
        assert blob.content.hex == hashlib.sha256(DATA).hexdigest()
        made.append(content)
    assert made[0] == made[1]
    assert zstandard.ZstdDecompressor().decompressobj().decompress(content) == DATA
    assert zstandard.frame_content_size(content) == len(DATA)
