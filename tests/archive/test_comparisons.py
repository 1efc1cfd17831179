"""What the guard and libarchive both state is compared: libarchive is shown another tar than the guard has seen."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator

import pytest
from support.reading import contents, write_content
from support.tars import (
    BLOCK,
    block,
    character,
    directory,
    fifo,
    file,
    hardlink,
    header,
    pax,
    raw,
    sparse_old,
    sparse_pax,
    symlink,
    tar,
)

from builder.archive.guard import Guard
from builder.archive.tar import TarReader
from builder.errors import MalformedTar

AFTER = file("after", b"data")
ACL = "user::rw-,user:7:r--,group::r--,mask::r--,other::r--"


def read(seen: bytes, shown: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read all entries and contents of a tar that is `seen` to the guard and `shown` to libarchive."""

    class Swap(Guard):
        def __iter__(self) -> Iterator[bytes]:
            assert b"".join(super().__iter__()) == seen
            yield shown

    monkeypatch.setattr("builder.archive.tar.Guard", Swap)
    with TarReader([seen]) as reader, tempfile.TemporaryFile() as spool:
        for _ in reader:
            write_content(reader, spool.fileno())


def extents(*starts: int) -> list[tuple[int, bytes]]:
    return [(start, b"x" * 512) for start in starts]


DIFFERENT = {
    "mode": (file("f"), file("f", mode=0o600)),
    "set-user-id": (file("f", mode=0o755), file("f", mode=0o4755)),
    "owner": (file("f", uid=1), file("f", uid=0)),
    "group": (file("f", gid=1), file("f", gid=0)),
    "owner in a pax record": (file("f", uid=2**31), file("f", uid=2**31 + 1)),
    "time": (file("f", mtime=1), file("f", mtime=2)),
    "fraction": (file("f", mtime="1.5"), file("f", mtime="1.6")),
    "time before 1970": (file("f", mtime="-5"), file("f", mtime="-6")),
    "major": (character("c", 1, 3), character("c", 2, 3)),
    "minor": (block("c", 1, 3), block("c", 1, 4)),
    "type of device": (block("c", 1, 3), character("c", 1, 3)),
    "directory and fifo": (raw("d", b"5"), raw("d", b"6")),
    "file and directory": (raw("d", b"0"), raw("d", b"5")),
    "symlink and file": (symlink("s", "t", mode=0o644), raw("s", b"0", link=b"t")),
    "size": (file("f", b"x" * 20), header(b"f", size=21) + b"x" * 20 + bytes(BLOCK - 20)),
    "content and an entry": (file("f", file("g")), file("f") + file("g")),
    "hardlink with content": (
        pax({"mtime": "1"}) + header(b"h", b"1", size=0, link=b"x") + file("inside"),
        pax({"mtime": "1"}) + header(b"h", b"1", size=512, link=b"x") + file("inside"),
    ),
    "size of a sparse file": (sparse_old("s", extents(512), 2048), sparse_old("s", extents(512), 4096)),
    "hole": (sparse_old("s", extents(512), 4096), sparse_old("s", extents(1024), 4096)),
    "second hole": (sparse_old("s", extents(0, 1024), 4096), sparse_old("s", extents(0, 2048), 4096)),
    "extents in another order": (sparse_old("s", extents(512, 1024), 4096), sparse_old("s", extents(1024, 512), 4096)),
    "an extent twice": (sparse_old("s", extents(512, 1024), 4096), sparse_old("s", extents(512, 512), 4096)),
    "hole in a pax map": (
        sparse_pax("s", extents(512, 1024), 4096, "1.0"),
        sparse_pax("s", extents(512, 2048), 4096, "1.0"),
    ),
    "no xattrs": (pax({"SCHILY.xattr.user.a": "1"}) + file("f"), pax({"SCHILY-xattr-user-a": "1"}) + file("f")),
    "ACL": (
        pax({"SCHILY.acl.access": ACL}) + file("f"),
        pax({"SCHILY.acl.access": ACL.replace("7", "8")}) + file("f"),
    ),
    "no default ACL": (
        pax({"SCHILY.acl.default": ACL}) + directory("d"),
        pax({"SCHILY-acl-default": ACL}) + directory("d"),
    ),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_what_libarchive_reads_otherwise_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, shown = (tar(member, AFTER) for member in DIFFERENT[name])
    read(seen, seen, monkeypatch)
    with pytest.raises(MalformedTar, match=r"two ways$"):
        read(seen, shown, monkeypatch)
    monkeypatch.undo()
    contents(seen)


@pytest.mark.parametrize(("seen", "shown"), [(0, 1), (1, 2), (2, 1), (3, 0)])
def test_more_or_fewer_entries_than_were_seen_are_refused(
    seen: int, shown: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(MalformedTar, match=r"two ways$"):
        read(tar(*[fifo("f")] * seen), tar(*[fifo("f")] * shown), monkeypatch)


def test_names_and_link_targets_are_not_taken_from_libarchive(monkeypatch: pytest.MonkeyPatch) -> None:
    read(tar(file("f"), symlink("s", "t")), tar(file("g"), symlink("r", "u")), monkeypatch)
    read(tar(hardlink("h", "f")), tar(hardlink("i", "g")), monkeypatch)


ALIKE = {
    "content that is shorter at the end": (
        tar(sparse_old("s", extents(512, 1024), 4096)),
        tar(sparse_old("s", extents(512), 4096)),
    ),
    "a hardlink with content that is like the end": (
        tar(pax({"mtime": "1"}) + header(b"h", b"1", link=b"x")),
        tar(pax({"mtime": "1"}) + header(b"h", b"1", size=512, link=b"x")),
    ),
    "an entry elsewhere": (tar(fifo("f"), fifo("f")), tar(pax({"comment": "x"}) + fifo("f"), fifo("f"))),
}


@pytest.mark.parametrize("name", ALIKE)
def test_entries_that_are_alike_are_refused_for_where_and_how_long_they_are(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, shown = ALIKE[name]
    with pytest.raises(MalformedTar, match=r"two ways$"):
        read(seen, shown, monkeypatch)


def test_what_libarchive_warns_of_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MalformedTar):
        read(tar(pax({"comment": "x"}), file("f")), tar(pax(b"99 comment=x\n"), file("f")), monkeypatch)
