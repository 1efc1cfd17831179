"""Failures that the sandbox causes, named as such: nobody should wonder who refuses a file."""

from __future__ import annotations

import errno
import os

from builder.sandbox.owned import is_confined


def told(error: BaseException) -> str:
    """Say what went wrong; where the sandbox refused a file that its user may have, say how to do without it, too."""
    text = str(error)
    if is_confined() and _is_ours(error):
        return f"{text}; this user may, so that is --sandbox: it did not know that it is needed; add --sandbox off"
    return text


def _is_ours(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, PermissionError) and isinstance(error.filename, str | bytes):
            # EPERM is the file's own, as of one that nobody may change (chattr +i).
            return error.errno == errno.EACCES and _may_have(os.fsdecode(error.filename))
        error = error.__cause__
    return False


def _may_have(path: str) -> bool:
    """Tell whether this user may read a file, or make it; the question itself is never refused."""
    if os.path.lexists(path):
        return os.access(path, os.R_OK)
    return os.access(os.path.dirname(path) or ".", os.W_OK | os.X_OK)
