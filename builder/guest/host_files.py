"""Files of this machine that become part of a guest: the user's own init, and modules of a kernel."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from builder.denied import ADVICE
from builder.errors import BuilderError, MissingRequirement
from builder.exact import read_up_to
from builder.files.descriptors import opened

# In bytes. A static program with a runtime of its own takes 10 MB; the largest modules are drivers of graphics cards.
MAX_SIZE = 64 << 20


class HostFileRefused(BuilderError):
    """A file that was to become part of a guest cannot be read, or is none of that kind."""

    def __init__(self, path: Path, what: str, reason: str) -> None:
        super().__init__(f"{path}: cannot be {what}: {reason}")
        self.path = path
        self.reason = reason


class HostFileDenied(HostFileRefused, MissingRequirement):
    """This user may not read such a file."""


def read_host_file(path: Path, what: str) -> bytes:
    """Read the whole of a regular file that is to be `what`. Raises HostFileRefused, or HostFileDenied."""
    try:
        # Without waiting for somebody to write to a fifo.
        with opened(path, os.O_RDONLY | os.O_NONBLOCK) as fd:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise HostFileRefused(path, what, "it is no regular file; name one")
            data = read_up_to(fd, MAX_SIZE + 1, 0)
    except OSError as error:
        if isinstance(error, PermissionError):
            raise HostFileDenied(path, what, f"{error.strerror}; {ADVICE}") from error
        raise HostFileRefused(path, what, f"{error.strerror}; check the path") from error
    if not data:
        raise HostFileRefused(path, what, "it is empty; make it again")
    if len(data) > MAX_SIZE:
        raise HostFileRefused(path, what, f"it has more than {MAX_SIZE >> 20} MiB; name a smaller one")
    return data
