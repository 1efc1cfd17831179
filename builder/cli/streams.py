"""The standard streams, made safe: a closed, full or broken one costs no traceback, and no file its number."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from builder.errors import MissingRequirement, OutputError
from builder.exact import write_next
from builder.shortage import unless_short

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


def open_standard_streams() -> None:
    """Open what is closed, so that the next file opened does not get its number; replace both outputs by our own.

    Raises MissingRequirement where there is no /dev/null, as in a bare chroot: no program could be started either.
    """
    sys.stderr = ErrorStream()
    try:
        while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
            os.set_inheritable(fd, True)
    except OSError as error:
        reason = unless_short(error).strerror
        raise MissingRequirement(f"{os.devnull} cannot be opened: {reason}; mount /dev, or make it anew") from error
    os.close(fd)
    if sys.stdin is None:
        empty = io.FileIO(0)
        # As the one that Python opens is called.
        empty.name = "<stdin>"
        sys.stdin = io.TextIOWrapper(io.BufferedReader(empty))
    # Names of files are bytes, and come out as they are.
    sys.stdout = io.TextIOWrapper(io.BufferedWriter(_Answers(1, "wb", closefd=False)), "utf-8", "surrogateescape")


class ErrorStream(io.TextIOBase):
    """Standard error, unbuffered. What it does not take is lost: nobody is to be told, and nothing stops for it."""

    encoding = "utf-8"
    errors = "backslashreplace"

    def write(self, text: str) -> int:
        """Write text at once, or drop it."""
        with suppress(OSError):
            write_next(2, text.encode(self.encoding, self.errors))
        return len(text)

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return os.isatty(2)

    def fileno(self) -> int:
        """Return its descriptor."""
        return 2

    def writable(self) -> bool:
        """Say yes."""
        return True


class _Answers(io.FileIO):
    """Standard output. That it cannot be written is told once, as what it is; what is buffered then is dropped."""

    _lost = False

    def write(self, data: ReadableBuffer, /) -> int:
        whole = memoryview(data)
        try:
            if not self._lost:
                write_next(self.fileno(), whole)
            return whole.nbytes
        except BrokenPipeError:
            self._lost = True
            raise  # click ends quietly, as programs do whose reader has gone
        except OSError as error:
            self._lost = True
            raise OutputError("standard output", f"{error.strerror}; send it elsewhere") from error
