"""Archives: the file around them, and names and links inside."""

from __future__ import annotations

import gzip
import os
import threading
from contextlib import closing
from pathlib import Path

import pytest
from support.images import COMPRESS, Files, Link, Spec, layout_files, tar_bytes, write_tar, write_zip
from support.tars import character, fifo, file, tar

from builder.errors import BuilderError, ImageNotFound, MalformedArchive, SourceUnreadable, UnsafeFile
from builder.files.tar import TarFiles
from builder.sources import open_source
from builder.sources.access import Means
from builder.sources.plain_tar import open_tar
from builder.sources.resolve import resolve

IMAGE = Spec((tar(file("content", b"content")),))


def open_files(path: Path, files: Files, below: str = "") -> TarFiles:
    write_tar(path / "image.tar", files)
    return TarFiles(open_tar(str(path / "image.tar"), Means()), "image.tar", [], below)


def content(files: TarFiles, path: str) -> bytes | None:
    opened = files.open(path)
    if opened is None:
        assert files.size(path) is None
        return None
    with opened:
        data = opened.read()
    assert files.size(path) == len(data)
    return data


def refusal(reference: str, scratch: Path | None = None) -> BuilderError:
    with pytest.raises(BuilderError) as caught, closing(open_source(reference, means=Means(scratch))) as source:
        resolve(source, reference, None)
    return caught.value


@pytest.mark.parametrize(
    "links",
    [
        {"link": Link("dir/real")},
        {"link": Link("./dir/../dir//real")},
        {"link": Link("dir/real", hard=True)},
        {"link": Link("./dir/real", hard=True)},
        {"a/b/link": Link("../../dir/real"), "link": Link("a/b/link")},
        {"alias": Link("dir"), "link": Link("alias/real")},
        {"dir/up": Link(".."), "link": Link("dir/up/dir/real")},
        {"one": Link("dir/real"), "two": Link("one", hard=True), "link": Link("two")},
    ],
)
def test_links_are_resolved_inside_the_archive(tmp_path: Path, links: Files) -> None:
    with closing(open_files(tmp_path, {"dir/real": b"content", **links})) as files:
        assert content(files, "link") == b"content"


@pytest.mark.parametrize("target", ["../secret", "dir/../../secret", "/etc/passwd", "dir/up/../secret"])
def test_links_that_leave_the_archive_are_refused(tmp_path: Path, target: str) -> None:
    with closing(open_files(tmp_path, {"dir/up": Link(".."), "link": Link(target), "secret": b""})) as files:
        with pytest.raises(UnsafeFile) as caught:
            files.open("link")
        assert caught.value.where == "image.tar/link"


@pytest.mark.parametrize("hard", [False, True])
def test_links_in_a_circle_are_refused(tmp_path: Path, hard: bool) -> None:
    with closing(open_files(tmp_path, {"a": Link("b", hard), "b": Link("a", hard)})) as files:
        with pytest.raises(UnsafeFile) as caught:
            files.open("a")
        assert "more than 40 links" in caught.value.reason


def test_links_to_nothing_are_nothing(tmp_path: Path) -> None:
    with closing(open_files(tmp_path, {"soft": Link("absent"), "hard": Link("absent", hard=True)})) as files:
        assert [content(files, name) for name in ("soft", "hard", "absent")] == [None, None, None]


def test_links_stay_below_the_directory_asked_for(tmp_path: Path) -> None:
    members: Files = {
        "other": b"other",
        "in/side/real": b"content",
        "in/side/good": Link("real"),
        "in/side/good-hard": Link("in/side/real", hard=True),
        "in/side/bad": Link("../../other"),
        "in/side/bad-hard": Link("other", hard=True),
    }
    with closing(open_files(tmp_path, members, "/in/side")) as files:
        assert [content(files, name) for name in ("real", "good", "good-hard")] == [b"content"] * 3
        assert content(files, "other") is None
        for name in ("bad", "bad-hard"):
            with pytest.raises(UnsafeFile):
                files.open(name)


def test_a_file_ends_where_its_member_ends(tmp_path: Path) -> None:
    with closing(open_files(tmp_path, {"a": b"x" * 1000, "empty": b"", "b": b"y" * 600})) as files:
        assert content(files, "a") == b"x" * 1000
        assert content(files, "empty") == b""
        opened = files.open("b")
        assert opened is not None
        with opened:
            assert [opened.read(500), opened.read(500), opened.read(500)] == [b"y" * 500, b"y" * 100, b""]


def test_a_file_stays_readable_after_the_archive_is_closed(tmp_path: Path) -> None:
    files = open_files(tmp_path, {"a": b"content"})
    opened = files.open("a")
    files.close()
    assert opened is not None
    with opened:
        assert opened.read() == b"content"


@pytest.mark.parametrize("transport", ["oci-archive:", "docker-archive:", ""])
def test_a_file_that_is_no_tar_is_refused_by_name(tmp_path: Path, transport: str) -> None:
    path = tmp_path / "image.tar"
    path.write_bytes(b"this is not a tar archive\n" * 100)
    error = refusal(f"{transport}{path}")
    assert isinstance(error, MalformedArchive)
    assert error.exit_status == 3
    assert str(error).startswith(f"{path}: is not a tar archive, or a damaged one (")


def test_a_zip_gets_the_hint_how_to_name_it(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "image.zip", layout_files(IMAGE)[0])
    assert str(refusal(str(path))) == f"{path}: is a zip archive, not a tar; for a layout in a zip write oci:zip://FILE"


def test_an_empty_file_holds_no_image(tmp_path: Path) -> None:
    path = tmp_path / "image.tar"
    path.write_bytes(b"")
    assert isinstance(refusal(f"oci-archive:{path}"), BuilderError)
    assert isinstance(refusal(f"docker-archive:{path}"), BuilderError)
    assert isinstance(refusal(str(path)), BuilderError)


def test_a_truncated_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "image.tar"
    path.write_bytes(tar_bytes(layout_files(IMAGE)[0])[:2500])
    assert isinstance(refusal(f"oci-archive:{path}"), MalformedArchive)


@pytest.mark.parametrize("outer", [name for name in COMPRESS if name != "none"])
def test_a_truncated_compressed_archive_is_refused_and_leaves_nothing(tmp_path: Path, outer: str) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    path = write_tar(tmp_path / "image.tar", layout_files(IMAGE)[0], outer)
    path.write_bytes(path.read_bytes()[:-20])
    error = refusal(f"oci-archive:{path}", scratch)
    assert isinstance(error, MalformedArchive)
    assert error.where == str(path)
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize(
    ("what", "member"), [("fifo", fifo("run/p")), ("character device", character("dev/null", 1, 3))]
)
def test_a_tree_of_files_is_refused_with_what_makes_an_image_of_it(tmp_path: Path, what: str, member: bytes) -> None:
    path = tmp_path / "rootfs.tar"
    path.write_bytes(tar(file("etc/passwd"), member))
    for reference in (f"oci-archive:{path}", str(path)):
        error = refusal(reference)
        assert isinstance(error, MalformedArchive)
        assert f"it is a {what}, which has no place in an image archive" in error.reason
        assert error.reason.endswith("or make one of a tree of files with podman import or docker import")


@pytest.mark.parametrize("outer", ["none", "gzip"])
def test_an_archive_can_come_through_a_pipe(tmp_path: Path, outer: str) -> None:
    data = COMPRESS[outer](tar_bytes(layout_files(IMAGE)[0]))
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    def feed() -> None:
        with pipe.open("wb", buffering=0) as end:
            # The first read gets a single byte, which is too little to tell the compression by.
            end.write(data[:1])
            end.write(data[1:])

    feeder = threading.Thread(target=feed)
    feeder.start()
    with closing(open_source(f"oci-archive:{pipe}")) as source:
        feeder.join()
        image = resolve(source, "reference", None)
        with source.open(image.layers[0].descriptor) as blob:
            assert gzip.decompress(blob.read()) == IMAGE.layers[0]


@pytest.mark.parametrize("transport", ["oci-archive:", "docker-archive:", ""])
def test_a_path_that_is_not_there(tmp_path: Path, transport: str) -> None:
    error = refusal(f"{transport}{tmp_path}/absent.tar")
    assert isinstance(error, ImageNotFound)
    assert str(error) == f"{tmp_path}/absent.tar: there is no such file; check the path"


def test_a_device_is_no_archive() -> None:
    assert str(refusal("oci-archive:/dev/zero")).startswith("/dev/zero: is neither a file nor a pipe")


def test_a_directory_is_no_archive(tmp_path: Path) -> None:
    error = refusal(f"oci-archive:{tmp_path}")
    assert isinstance(error, ImageNotFound)
    assert error.reason == "is a directory, not an archive; write the path alone, or oci:DIR for a layout"


@pytest.mark.heavy
def test_zeros_of_a_compressed_archive_take_no_room(tmp_path: Path) -> None:
    members = [file("before", b"x" * 5000), file("zeros", bytes(32 << 20)), file("after", b"y" * 5000)]
    plain = tar(*members) + bytes(8 << 20)
    (tmp_path / "image.tar.gz").write_bytes(gzip.compress(plain))
    with open_tar(str(tmp_path / "image.tar.gz"), Means(tmp_path)) as unpacked:
        assert os.fstat(unpacked.fileno()).st_blocks * 512 < 4 << 20
        unpacked.seek(0)
        assert unpacked.read() == plain


def test_no_room_to_unpack_names_the_option(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "image.tgz", layout_files(IMAGE)[0], "gzip")
    error = refusal(f"oci-archive:{path}", tmp_path / "absent")
    assert isinstance(error, SourceUnreadable)
    assert f"cannot be unpacked into {tmp_path}/absent" in error.reason
    assert "--tmpdir" in error.reason
