"""The digest of a disk is that of its bytes, however they are kept."""

from __future__ import annotations

import hashlib
from pathlib import Path

from builder.disk.digest import disk_digest


def test_holes_of_a_disk_are_hashed_as_the_zeros_they_read_as(tmp_path: Path) -> None:
    whole = bytes(70_000) + b"a" * 5000 + bytes(3 << 20) + b"b" + bytes(9000)
    for holes in (True, False):
        disk = tmp_path / f"disk-{holes}"
        with disk.open("wb") as file:
            if holes:
                for at, byte in ((70_000, b"a" * 5000), (75_000 + (3 << 20), b"b")):
                    file.seek(at)
                    file.write(byte)
                file.truncate(len(whole))
            else:
                file.write(whole)
        assert disk_digest(disk) == hashlib.sha256(whole).hexdigest()
