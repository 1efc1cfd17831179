"""A missing permission to read something, said in this program's words wherever it shows."""

from __future__ import annotations

import os
from pathlib import Path

from builder.errors import MissingRequirement

ADVICE = "make it readable for this user"


def unless_denied(error: OSError, where: Path | str) -> OSError:
    """Return `error`, unless it means that this user may not read `where`: then MissingRequirement is raised."""
    if (denied := denial(error, where)) is not None:
        raise denied from error
    return error


def denial(error: BaseException | None, where: Path | str) -> MissingRequirement | None:
    """Say that this user may not read `where`, if that is what an exception means."""
    if not isinstance(error, PermissionError):
        return None
    return MissingRequirement(f"{os.fspath(where)}: {error.strerror}; {ADVICE}")
