"""Disk image formats: the table of them, the choice of one by the output's name, and which a disk is of."""

from __future__ import annotations

from builder.disk.erofs.pack import Erofs
from builder.disk.ext4.pack import Ext4
from builder.disk.filesystem import Filesystem
from builder.errors import UsageError

FILESYSTEMS: dict[str, Filesystem] = {"ext4": Ext4(), "erofs": Erofs()}

# What people put behind the format's name: `rootfs.ext4.img`.
_SUFFIXES = (".img", ".raw")


def format_of(output: str) -> str:
    """Return the key in FILESYSTEMS that the name of an output says. Raises UsageError for one that says nothing."""
    found = format_in(output)
    if found is None:
        formats = "|".join(FILESYSTEMS)
        raise UsageError(
            f"{output}: its name says no format; call it *.{' or *.'.join(FILESYSTEMS)} or use --format {formats}"
        )
    return found


def format_in(output: str) -> str | None:
    """Return the key in FILESYSTEMS that a name has at its end, as `rootfs.ext4` or `rootfs.erofs.img`, if any."""
    name = output
    for suffix in _SUFFIXES:
        name = name.removesuffix(suffix)
    found = name.rpartition(".")[2] if "." in name else ""
    return found if found in FILESYSTEMS else None


def recognised(head: bytes) -> str | None:
    """Return the key in FILESYSTEMS of a disk that begins with `head`, HEAD bytes (filesystem.py); None for none."""
    return next((name for name, filesystem in FILESYSTEMS.items() if filesystem.recognises(head)), None)
