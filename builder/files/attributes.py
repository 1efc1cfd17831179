"""Which extended attributes files of this machine have."""

from __future__ import annotations

import errno
import os
from pathlib import Path


def attribute_names(place: int | str | Path) -> list[str]:
    """List the names of an inode's extended attributes: none where the file system has no such. Raises OSError."""
    try:
        return os.listxattr(place)
    except OSError as error:
        # As through FUSE; other file systems without attributes list none.
        if error.errno != errno.EOPNOTSUPP:
            raise
        return []
