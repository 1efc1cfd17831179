"""What a program prints while it runs: all of it is taken, its head and tail are kept."""

from __future__ import annotations

import errno
import os
import select
from collections.abc import Callable
from threading import Event
from typing import IO

from builder.threads import Worker

# A tool that complains about every file must not fill our memory: its first and last words are enough.
_KEPT_HEAD = 64 * 1024
_KEPT_TAIL = 64 * 1024

# What a tool says, in the C locale, when its disk is full.
_NO_ROOM = {os.strerror(number).encode(): number for number in (errno.ENOSPC, errno.EDQUOT)}
_LONGEST = max(map(len, _NO_ROOM))

_PATIENCE_MILLISECONDS = 500


class ToolOutput:
    """Reads a pipe in the background, so that the tool never waits for us, and keeps its head and tail.

    Calls `no_room` once the tool says that a disk is full, and has the error number in `error` (0: it did not): such
    a tool may go on, and end well without what it could not write, or wait for its own dead threads for ever.
    """

    def __init__(self, pipe: IO[bytes] | None, no_room: Callable[[], None] | None = None) -> None:
        assert pipe is not None
        self.error = 0
        self._pipe = pipe
        self._no_room = no_room
        self._head = bytearray()
        self._tail = bytearray()
        self._last_words = Event()
        self._failure: MemoryError | OSError | None = None
        self._thread = Worker(self._read)
        self._thread.start()

    def _read(self) -> None:
        try:
            self._read_to_the_end()
        except (MemoryError, OSError) as error:
            # For whoever waits for the tool.
            self._failure = error

    def _read_to_the_end(self) -> None:
        last = b""
        with self._pipe as pipe:
            while chunk := self._next(pipe.fileno()):
                fits = _KEPT_HEAD - len(self._head)
                self._head += chunk[:fits]
                self._tail += chunk[fits:]
                del self._tail[:-_KEPT_TAIL]
                if self._no_room is not None and not self.error:
                    self._look_for_no_room(last + chunk)
                    last = (last + chunk)[1 - _LONGEST :]

    def _next(self, fd: int) -> bytes:
        """Read on; b"" at the end, or when the tool has ended and whoever else holds the pipe is silent."""
        ready = select.poll()
        ready.register(fd, select.POLLIN)
        while not ready.poll(_PATIENCE_MILLISECONDS):
            if self._last_words.is_set():
                return b""
        return os.read(fd, 65536)

    def _look_for_no_room(self, printed: bytes) -> None:
        self.error = next((number for text, number in _NO_ROOM.items() if text in printed), 0)
        if self.error and self._no_room is not None:
            self._no_room()

    def ended(self, seconds: float) -> bool:
        """Wait for the end of the output, but not longer than that; return whether it has come. Raises MemoryError."""
        self._thread.join(seconds)
        self._thread.check()
        return not self._thread.is_alive()

    def text(self) -> str:
        """Return what was kept of the output of a tool that has ended.

        Raises MemoryError if that was too much, and OSError where it could not be read.
        """
        self._last_words.set()
        self._thread.join()
        self._thread.check()
        if self._failure:
            raise self._failure
        return (self._head + self._tail).decode("utf-8", "backslashreplace")
