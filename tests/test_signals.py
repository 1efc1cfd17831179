"""Signals end a program by an exception, wherever it is."""

from __future__ import annotations

import subprocess
import sys

from support.command import ENVIRONMENT
from support.tars import file, tar

# The exception is lost after the first chunk, as it is when it comes while C code calls back; the tar breaks off there.
_SCRIPT = """
import signal, sys
from contextlib import suppress
from builder.archive.tar import TarReader
from builder.signals import end_on_signals

def chunks(data):
    yield data[:1536]
    with suppress(SystemExit):
        signal.raise_signal(signal.SIGTERM)
    yield data[1536:2048]

end_on_signals()
with TarReader(chunks(sys.stdin.buffer.read())) as reader:
    for entry in reader:
        print(entry.path)
"""


def test_a_signal_that_comes_while_libarchive_asks_for_more_is_not_taken_for_a_damaged_archive() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _SCRIPT],
        input=tar(file("first", b"1"), file("second", b"2" * 5000)),
        env=ENVIRONMENT,
        capture_output=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (143, b"")
