"""What the operating system refuses while outputs are written, said in this program's words."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from builder.errors import OutputDenied, OutputError
from builder.files.descriptors import shown
from builder.shortage import LACKING, unless_short

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})


def directory_gone(error: BaseException) -> OutputError | None:
    """Say that the current directory is gone, if that is what an exception means: it names no file then."""
    if not isinstance(error, FileNotFoundError) or error.filename is not None:
        return None
    try:
        os.getcwd()
    except FileNotFoundError:
        return OutputError(".", "the current directory is gone; change to one that exists")
    return None


@contextmanager
def failures_named(what: Path | None = None, advice: str = "choose another --tmpdir or output") -> Iterator[None]:
    """Translate OSError, such as a full disk, to OutputError, a missing permission to OutputDenied, others to Shortage.

    `what` is being written; an error that names a file is about that one. `advice` says what to do then.
    """
    try:
        yield
    except LACKING as lacking:
        if (gone := directory_gone(lacking)) is not None:
            raise gone from lacking
        where = os.fsdecode(getattr(lacking, "filename", None) or what or "writing the build's files")
        raise failed(where, lacking, advice) from lacking


def failed(where: str | Path, lacking: Exception, advice: str, doing: str = "") -> OutputError | OutputDenied:
    """Say that `doing` something to `where` failed, why, and what to do. Raises Shortage, and what is no OSError."""
    error = unless_short(lacking)
    if error.errno in _NO_ROOM:
        advice = f"free space, or {advice}"
    kind = OutputDenied if isinstance(error, PermissionError) else OutputError
    return kind(shown(where), f"{doing}{error.strerror or error}; {advice}")
