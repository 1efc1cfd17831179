from __future__ import annotations

import io
from pathlib import Path
from typing import BinaryIO

import pytest
from support.tars import END, character, directory, file, gnu_long, hardlink, header, raw, sparse_pax, symlink, tar

from builder.archive.entry import Kind
from builder.archive.index import Member, index
from builder.errors import MalformedTar, UnfitTar


def of(stream: bytes) -> dict[str, Member]:
    return index(io.BytesIO(stream))


def refusal(stream: bytes) -> str:
    with pytest.raises(MalformedTar) as caught:
        of(stream)
    return str(caught.value)


def test_members_are_found_where_they_lie() -> None:
    name = "blobs/sha256/" + "a" * 200
    stream = tar(
        directory("blobs"),
        file("oci-layout", b"{}"),
        file(name, b"content", mtime="1.5"),
        gnu_long("l" * 150) + raw("l", b"0", b"long" * 500),
        file("empty"),
        symlink("abc/layer.tar", "../def/layer.tar"),
        hardlink("hard", "./oci-layout"),
    )
    members = of(stream)
    assert {name: stream[m.offset : m.offset + m.size] for name, m in members.items() if m.kind is Kind.FILE} == {
        "oci-layout": b"{}",
        name: b"content",
        "l" * 150: b"long" * 500,
        "empty": b"",
    }
    assert members["abc/layer.tar"].link == "../def/layer.tar"
    assert members["hard"] == Member(Kind.HARDLINK, members["hard"].offset, 0, "./oci-layout")
    assert "blobs" not in members


def test_names_are_normalised() -> None:
    assert set(of(tar(file("./a"), file("/b"), file("c//d/./e"), file(b"\xff")))) == {"a", "b", "c/d/e", "\udcff"}


def test_names_that_leave_the_archive_are_refused() -> None:
    for name in ("../a", "a/../../b", "..", "."):
        assert "does not stay" in refusal(tar(file(name)))


def test_a_name_may_occur_twice_with_the_same_content() -> None:
    large = bytes(range(256)) * 5000
    stream = tar(file("a", large), symlink("l", "a"), file("./a", large), symlink("/l", "a"), file("/a", large))
    members = of(stream)
    assert set(members) == {"a", "l"}
    assert stream[members["a"].offset :][: members["a"].size] == large


def test_a_name_with_two_contents_is_refused() -> None:
    large = bytes(range(256)) * 5000
    for second in (file("./a", large[:-1]), file("a", large[:-1] + b"\0"), symlink("a", "b"), hardlink("a", "b")):
        with pytest.raises(UnfitTar) as caught:
            of(tar(file("a", large), second))
        assert caught.value.reason == "the archive has two entries of this name, with different content"
    assert "two entries" in refusal(tar(symlink("a", "b"), symlink("a", "c")))


def test_directories_may_occur_as_often_as_they_like() -> None:
    assert set(of(tar(directory("d"), directory("d"), file("d/x")))) == {"d/x"}


def test_members_without_a_place_in_an_image_archive_are_refused() -> None:
    assert "character device" in refusal(tar(character("null", 1, 3)))
    assert "sparse file" in refusal(tar(sparse_pax("s", [(0, b"x")], 5, "1.0")))


def test_an_archive_that_is_cut_off_or_no_tar_is_refused() -> None:
    stream = tar(file("a", b"x" * 5000))
    for end in (100, 512, 1000, 5120):
        assert refusal(stream[:end])
    assert of(stream[: 512 + 5120]).keys() == {"a"}
    assert "checksum" in refusal(b"\x1f\x8b" * 500)
    assert of(b"") == of(END) == {}


def test_headers_that_take_more_than_all_of_an_image_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("builder.archive.index.MAX_HEADERS", 100_000)
    members = [file(f"f{i}", pax={"comment": "c" * 40_000}) for i in range(3)]
    assert set(of(tar(*members[:2]))) == {"f0", "f1"}
    assert refusal(tar(*members)) == "entry 'f2': the headers so far take more than 100000 bytes"


def test_content_is_passed_over_without_being_read(tmp_path: Path) -> None:
    path = tmp_path / "large.tar"
    size = 5 * 1024**3
    with open(path, "wb") as out:
        for name in (b"one", b"two"):
            out.write(header(name, size=size))
            out.seek(size, 1)
        out.write(file("three", b"3") + END)

    class Counting(io.RawIOBase):
        """A raw file: it counts, and gives less than it is asked for."""

        def __init__(self, file: BinaryIO) -> None:
            self.file, self.taken = file, 0

        def read(self, size: int = -1) -> bytes:
            data = self.file.read(min(size, 100))
            self.taken += len(data)
            return data

        def seek(self, offset: int, whence: int = 0) -> int:
            return self.file.seek(offset, whence)

    with open(path, "rb") as file_:
        counting = Counting(file_)
        members = index(counting)  # type: ignore[arg-type]
    assert [(name, m.size) for name, m in members.items()] == [("one", size), ("two", size), ("three", 1)]
    assert members["three"].offset == 2 * size + 3 * 512
    assert counting.taken < 10_000
