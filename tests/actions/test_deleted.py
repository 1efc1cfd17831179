"""What upper layers took away is nowhere in the bytes of a disk: neither content nor names, targets or attributes."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.images import Spec, layout
from support.tars import directory, file, hardlink, symlink, tar

from builder import BuildOptions, DiskOptions, Removal, build, verify
from builder.disk import FILESYSTEMS
from builder.disk.filesystem import Compression
from builder.output.beside import metadata_path


def mark(what: str) -> bytes:
    return f"<<{what}-must-not-be-found>>".encode()


def many(what: str, size: int = 20_000) -> bytes:
    """A content that consists of its mark, so that any block of it tells."""
    return (mark(what) * (size // 20))[:size]


LOWER = tar(
    directory("etc"),
    file("etc/deleted", many("deleted")),
    file("etc/small", mark("small")),
    file("etc/replaced", many("replaced")),
    file("etc/shorter", many("shorter", 9000)),
    file("etc/attributes", b"kept", pax={"SCHILY.xattr.user.gone": mark("attribute")}),
    hardlink("etc/other-name-of-deleted-NAME1", "etc/deleted"),
    directory("opaque"),
    file("opaque/NAME2-below-an-opaque-directory", many("opaque")),
    directory("opaque/NAME3"),
    symlink("link", mark("target")),
    symlink("long", mark("long") * 10),
    *(file(f"many/NAME4-{number}", b"x") for number in range(500)),
    file("removed/NAME5", many("removed")),
    file("kept", many("kept")),
)
MIDDLE = tar(
    file("etc/.wh.deleted"),
    file("etc/.wh.small"),
    file("etc/.wh.other-name-of-deleted-NAME1"),
    file("etc/replaced", many("again")),
    file("etc/shorter", b"short"),
    file("etc/attributes", b"kept"),
    directory("opaque"),
    file("opaque/.wh..wh..opq"),
    file("opaque/new", b"new"),
    file(".wh.many"),
    file("tmp/NAME6", many("between")),
)
UPPER = tar(symlink("link", "elsewhere"), file(".wh.long"), file("etc/replaced", b"last"), file(".wh.tmp"))
GONE = (
    "deleted",
    "small",
    "replaced",
    "again",
    "shorter",
    "attribute",
    "opaque",
    "target",
    "long",
    "removed",
    "between",
)


@pytest.mark.parametrize("form", [*FILESYSTEMS, "compressed"])
def test_nothing_of_what_was_taken_away_is_in_the_disks_bytes(tmp_path: Path, form: str) -> None:
    layout(tmp_path / "image", Spec((LOWER, MIDDLE, UPPER), config={"Cmd": ["/kept"]}))
    disk = tmp_path / f"disk.{'erofs' if form == 'compressed' else form}"
    # It leaves what comes for the first time as it is: a mark can be read in what it packed.
    compress = Compression("lz4") if form == "compressed" else None
    options = BuildOptions(
        disk=DiskOptions(compress=compress), additions=(Removal("/removed"),), metadata_file=metadata_path(disk)
    )
    build(f"oci:{tmp_path}/image", disk, options)
    data = disk.read_bytes()
    assert [what for what in GONE if mark(what) in data] == []
    assert [name for name in (f"NAME{number}" for number in range(1, 7)) if name.encode() in data] == []
    # That it can be found where it was not taken away.
    assert (mark("kept")[:20] in data, b"opaque" in data) == (True, True)
    assert verify(disk).equal
