"""A machine's only stream, its console, told apart into the process's words and those of kernel, init and VMM.

That can be told by how lines begin, so that a process can be mistaken for one of the others if it wants to be. Its
standard output and error come mixed, as a terminal would show them, and with the line ends of a terminal.
"""

from __future__ import annotations

import os
import re
import time
from collections import deque
from contextlib import suppress
from threading import Thread

from builder.exact import write_next
from builder.vm.channels import HALTED
from builder.vm.expectation import Expectation
from builder.words import legible

_INIT = b"rootfs-builder init: "
_STATUS = re.compile(rb"the process ended with status (\d{1,3})\Z")
# The kernel's times since it started; the days and times that Firecracker's log begins with, and cloud-hypervisor's.
_OTHERS = re.compile(rb"\[ *\d+\.\d{6}\] |\d{4}-\d\d-\d\dT[\d:.]+ \[|cloud-hypervisor: ")
_PANIC = b"Kernel panic - not syncing"

_READ_SIZE = 65536
_KEPT_LINES = 40
_LONGEST = 1 << 20


class Console:
    """Reads a console from a pipe in the background, and writes the process's words to `stdout`.

    The others' go to `others`, if that is not None. `status` is what init said last that its process ended with;
    `panicked` whether, and `halted` when (time.monotonic), the kernel said that it goes no further; `expected` whether
    the process's words have had the text to `expect`; `last_words` are the last lines of all, until then. `lost` is why
    standard output took no more, if it still had a reader.
    """

    def __init__(self, stdout: int, others: int | None, expect: str | None = None) -> None:
        self.status: int | None = None
        self.panicked = False
        self.halted: float | None = None
        self.lost: OSError | None = None
        self.last_words: deque[str] = deque(maxlen=_KEPT_LINES)
        self.init_words: deque[str] = deque(maxlen=_KEPT_LINES)
        self._stdout: int | None = stdout
        self._others = others
        self._expectation = Expectation(expect)
        self._source, self.end = os.pipe2(os.O_CLOEXEC)
        self._thread = Thread(target=self._read, daemon=True)
        self._thread.start()

    @property
    def expected(self) -> bool:
        """Whether the process has printed what was to be expected."""
        return self._expectation.met

    def finish(self) -> None:
        """Close this process's end of the pipe, and wait until all that came through is written."""
        os.close(self.end)
        self._thread.join()
        os.close(self._source)

    def _read(self) -> None:
        rest = b""
        while data := os.read(self._source, _READ_SIZE):
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                self._take(line.removesuffix(b"\r"), b"\n")
            # A prompt, or a line that never ends: nobody else writes such.
            if len(rest) > _LONGEST or self._expectation.is_in(rest):
                self._take(rest, b"")
                rest = b""
        self._take(rest.removesuffix(b"\r"), b"")

    def _take(self, line: bytes, end: bytes) -> None:
        # Behind a panic comes its trace, which may be longer than all that is kept.
        if line.strip() and self.halted is None:
            self.last_words.append(legible(line[-4096:].strip(b"\r")))
        if _OTHERS.match(line):
            self.panicked |= _PANIC in line
            if self.halted is None and HALTED.match(line):
                self.halted = time.monotonic()
            self._tell(line + end)
            return
        # Init begins no line of its own where the process left one open.
        own, said, words = line.partition(_INIT)
        if own or not said:
            self._show(own + (end if not said else b""))
        if said:
            status = _STATUS.fullmatch(words)
            if status:
                self.status = int(status[1]) & 0xFF
            else:
                self.init_words.append(legible(words[-4096:]))
            self._tell(said + words + end)

    def _show(self, data: bytes) -> None:
        if self._stdout is not None and data:
            try:
                write_next(self._stdout, data)
            except OSError as error:
                # The guest goes on without, also where nobody reads any more.
                self._stdout = None
                self.lost = None if isinstance(error, BrokenPipeError) else error
        self._expectation.see(data)

    def _tell(self, data: bytes) -> None:
        if self._others is not None:
            with suppress(OSError):
                write_next(self._others, data)
