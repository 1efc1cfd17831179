"""What vouches for a disk as a whole: the digest of all its bytes."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from builder.files.descriptors import opened
from builder.files.holes import content


def disk_digest(path: Path) -> str:
    """Hash a disk: sha256 in hex of all its bytes, holes as the zeros they read as. Raises OSError."""
    digest = hashlib.sha256()
    with opened(path, os.O_RDONLY) as fd:
        # Holes are not read: that takes as long as to hash them, and drives out of memory what others have there.
        for chunk in content(fd, os.lseek(fd, 0, os.SEEK_END)):
            digest.update(chunk)
    return digest.hexdigest()
