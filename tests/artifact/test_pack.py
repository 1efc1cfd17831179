"""A disk made into a blob: the same bytes whoever makes it, with however many processors."""

from __future__ import annotations

import hashlib
import random
import subprocess
import sys
from pathlib import Path

import pytest
import zstandard

from builder.artifact import pack
from builder.artifact.pack import packed
from builder.events import Meter, ignore
from builder.exact import read_at

# With room for none of the library's threads.
_WITHOUT_ROOM = """
import resource, sys
from pathlib import Path
from builder.artifact.pack import packed
from builder.events import Meter, ignore
from builder.shortage import shortage
chunks = [bytes(1 << 20)] * 4
size = int(open("/proc/self/status").read().split("VmSize:")[1].split()[0]) + 4096 << 10
resource.setrlimit(resource.RLIMIT_AS, (size, size))
try:
    with packed(chunks, 4 << 20, Path(sys.argv[1]), Meter(ignore)):
        pass
except Exception as error:
    print(shortage(error) or error)
"""

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


def test_without_room_for_its_threads_it_is_this_machine_that_lacks_something(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", _WITHOUT_ROOM, tmp_path], check=True, capture_output=True, text=True)
    assert done.stdout.startswith("this machine gives us no more memory")
