"""Room for what mkfs.erofs puts aside: content while it reads a tar, and fragments.

It compresses after it has read a tar, and until then keeps the content in the image file itself, from 1 TiB on.
Up to 1.9.3 it takes no notice of a write that fails there: on a full disk it ends with "Bad message", or makes an image
of other content if there is room again by the time it compresses. So the room is allocated before it starts.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from pathlib import Path

from builder.exact import allocate

_POSITION = 1 << 40
# What a file system answers that cannot allocate, or not so far behind the end of a file.
_CANNOT = frozenset({errno.EOPNOTSUPP, errno.ENOSYS, errno.EFBIG, errno.EINVAL, errno.ENODEV})

# What ext4 keeps for its own metadata, at most (ext4_calculate_resv_clusters).
_RESERVED_BLOCKS = 4096


def reserve(fd: int, output: Path, sizes: Iterable[int]) -> bool:
    """Give the empty file `fd` room for files of `sizes` bytes in mkfs.erofs's buffer; errors call it `output`.

    Returns whether the file system can do so. Raises OSError, as ENOSPC.
    """
    try:
        # mkfs.erofs begins each file on a boundary of this.
        unit = max(os.fstat(fd).st_blksize, os.sysconf("SC_PAGESIZE"))
        allocate(fd, _POSITION, sum(-(-size // unit) * unit for size in sizes))
    except OSError as error:
        if error.errno in _CANNOT:
            return False
        error.filename = os.fspath(output)
        raise
    return True


def check_not_full(directory: Path) -> None:
    """Raise OSError if the file system of `directory` has no room left for anything."""
    status = os.statvfs(directory)
    # Where nothing is counted, there are no blocks at all. For root an ext4 is full when only its reserve is left.
    free = status.f_bfree - _RESERVED_BLOCKS if os.geteuid() == 0 else status.f_bavail
    if status.f_blocks and status.f_bavail == 0 and free <= 0:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), os.fspath(directory))
