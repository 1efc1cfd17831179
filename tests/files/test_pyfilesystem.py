"""PyFilesystem URLs: what goes wrong there is said in our words, and nothing of its own reaches the screen."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import zipfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support.images import Spec, blob_path, layout, layout_files, layout_zip, oci_archive, write_tar, write_zip
from support.tars import file, tar

from builder import BuildOptions, build
from builder.errors import BuilderError, ImageNotFound, InvalidReference, MalformedArchive, SourceUnreadable, UnsafeFile
from builder.files.import_fs import import_fs
from builder.files.pyfilesystem import open_pyfilesystem
from builder.sources import open_source
from builder.sources.resolve import resolve

IMAGE = Spec((tar(file("content", b"content")),))


def refusal(reference: str) -> BuilderError:
    with pytest.raises(BuilderError) as caught, closing(open_source(reference)) as source:
        resolve(source, reference, None)
    return caught.value


def run_python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.run(
        [sys.executable, "-W", "always", "-c", code, *arguments], env=environment, capture_output=True, text=True
    )


@pytest.mark.heavy
def test_nothing_of_pyfilesystem_reaches_the_screen(tmp_path: Path) -> None:
    layout_zip(tmp_path / "layout.zip", IMAGE)
    ran = run_python(
        "import sys; from builder.sources import open_source; open_source(sys.argv[1]).root(); print('done')",
        f"oci:zip://{tmp_path}/layout.zip",
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "done\n", "")


def test_pyfilesystem_is_not_imported_for_a_path(tmp_path: Path) -> None:
    layout(tmp_path, IMAGE)
    ran = run_python(
        "import sys; from builder.sources import open_source; open_source(sys.argv[1]).root();"
        "print([name for name in sys.modules if name.split('.')[0] in ('fs', 'pkg_resources')])",
        f"oci:{tmp_path}",
    )
    assert (ran.stdout, ran.stderr) == ("[]\n", "")


def test_a_protocol_without_opener_is_refused() -> None:
    error = refusal("oci:nosuch://place:tag")
    assert isinstance(error, InvalidReference)
    assert error.reason == "no PyFilesystem opener for nosuch:// is installed"


def test_a_new_memory_file_system_holds_no_layout() -> None:
    assert isinstance(refusal("oci:mem://"), ImageNotFound)


@pytest.mark.parametrize("protocol", ["zip", "tar", "osfs"])
def test_a_url_of_nothing_is_not_found(tmp_path: Path, protocol: str) -> None:
    assert isinstance(refusal(f"oci:{protocol}://{tmp_path}/absent"), ImageNotFound)


def test_a_path_that_is_not_in_the_zip_is_not_found(tmp_path: Path) -> None:
    layout_zip(tmp_path / "layout.zip", IMAGE)
    error = refusal(f"oci:zip://{tmp_path}/layout.zip!/absent")
    assert isinstance(error, ImageNotFound)
    assert "there is no directory '/absent' in it" in error.reason


def test_a_file_in_the_zip_is_said_to_be_one(tmp_path: Path) -> None:
    layout_zip(tmp_path / "layout.zip", IMAGE)
    error = refusal(f"zip://{tmp_path}/layout.zip!/index.json")
    assert isinstance(error, ImageNotFound)
    assert "it is a file, so write oci-archive:URL or docker-archive:URL" in error.reason


def test_an_archive_that_is_not_in_the_zip(tmp_path: Path) -> None:
    layout_zip(tmp_path / "layout.zip", IMAGE)
    error = refusal(f"oci-archive:zip://{tmp_path}/layout.zip!/absent.tar")
    assert isinstance(error, ImageNotFound)
    assert "there is no file 'absent.tar'" in error.reason


@pytest.mark.parametrize("size", [0, 100, -30])
def test_a_damaged_zip_is_said_to_be_unreadable(tmp_path: Path, size: int) -> None:
    layout_zip(tmp_path / "layout.zip", IMAGE)
    path = tmp_path / "layout.zip"
    path.write_bytes(path.read_bytes()[:size])
    error = refusal(f"oci:zip://{path}")
    assert isinstance(error, SourceUnreadable)
    assert error.where == f"zip://{path}"


def test_a_blob_damaged_inside_a_zip_is_said_to_be_unreadable(tmp_path: Path) -> None:
    path = tmp_path / "layout.zip"
    made = layout_zip(path, IMAGE)
    with zipfile.ZipFile(path) as archive:
        member = archive.getinfo(blob_path(made[0].config))
    with path.open("r+b") as damaged:
        damaged.seek(member.header_offset + 30 + len(member.filename) + member.compress_size - 4)
        damaged.write(b"\xff\xff\xff\xff")
    error = refusal(f"oci:zip://{path}")
    assert isinstance(error, SourceUnreadable)
    assert blob_path(made[0].config) in error.where


def _zip_with_links(path: Path, moved_to: str) -> None:
    """Write a zip of a layout whose index.json is a symlink to where its content went, as zip -y stores it."""
    files, _ = layout_files(IMAGE)
    files[moved_to.removeprefix("../")] = files.pop("index.json")
    write_zip(path, files)
    with zipfile.ZipFile(path, "a") as archive:
        link = zipfile.ZipInfo("index.json")
        link.create_system = 3
        link.external_attr = 0o120777 << 16
        archive.writestr(link, moved_to)


def test_symlinks_inside_a_zip_are_followed(tmp_path: Path) -> None:
    path = tmp_path / "layout.zip"
    _zip_with_links(path, "blobs/index")
    with closing(open_source(f"oci:zip://{path}")) as source:
        assert resolve(source, "reference", None).config.diff_ids


def test_symlinks_that_leave_a_zip_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "layout.zip"
    _zip_with_links(path, "../index")
    assert isinstance(refusal(f"oci:zip://{path}"), UnsafeFile)


def test_impossible_dates_in_a_zip_do_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "layout.zip"
    layout_zip(path, IMAGE)
    data = bytearray(path.read_bytes())
    position = data.find(b"PK\x01\x02")
    while position >= 0:
        data[position + 12 : position + 16] = bytes(4)  # month 0, day 0
        position = data.find(b"PK\x01\x02", position + 1)
    path.write_bytes(data)
    with closing(open_source(f"oci:zip://{path}")) as source:
        assert resolve(source, "reference", None).config.diff_ids


def test_a_directory_where_a_blob_should_be_is_refused(tmp_path: Path) -> None:
    files, made = layout_files(IMAGE)
    path = tmp_path / "layout.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            assert isinstance(content, bytes)
            archive.writestr(name + ("/" if name == blob_path(made[0].config) else ""), content)
    assert isinstance(refusal(f"oci:zip://{path}"), UnsafeFile)


@pytest.mark.parametrize("url", ["mem://", "zip://image.zip", "zip://in/here.zip", "tar://in/here.tar"])
def test_a_url_in_place_of_an_archive_needs_a_path_in_it(url: str) -> None:
    error = refusal(f"oci-archive:{url}")
    assert isinstance(error, InvalidReference)
    assert error.reason == "names a file system; name the archive in it as URL!PATH"


def test_an_archive_may_be_in_a_tar(tmp_path: Path) -> None:
    made = oci_archive(tmp_path / "inner.tar", IMAGE)
    write_tar(tmp_path / "outer.tar.gz", {"sub/inner.tar": (tmp_path / "inner.tar").read_bytes()}, outer="gzip")
    reference = f"oci-archive:tar://{tmp_path}/outer.tar.gz!/sub/inner.tar"
    with closing(open_source(reference)) as source:
        assert str(resolve(source, reference, None).digest) == made[0].manifest


def test_a_damaged_tar_with_an_archive_in_it_is_said_to_be_that(tmp_path: Path) -> None:
    """Python's tarfile takes a bad header for the end, and what comes after it for absent."""
    outer = bytearray(tar(file("first"), file("inner.tar", b"1")))
    outer[512] ^= 1
    (tmp_path / "outer.tar").write_bytes(outer)
    error = refusal(f"oci-archive:tar://{tmp_path}/outer.tar!/inner.tar")
    assert isinstance(error, MalformedArchive)
    assert "is not a tar archive, or a damaged one" in error.reason


def test_environment_and_home_are_expanded_in_osfs_urls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout(tmp_path / "layout", IMAGE)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("IMAGES", str(tmp_path))
    for url in ("osfs://~/layout", "osfs://$IMAGES/layout", "file://~!/layout"):
        with closing(open_source(f"oci:{url}")) as source:
            source.root()
            assert source.inputs() == [f"{tmp_path}/layout/oci-layout", f"{tmp_path}/layout/index.json"]


def test_the_file_of_a_zip_or_tar_url_is_an_input(tmp_path: Path) -> None:
    layout_zip(tmp_path / "layout.zip", IMAGE)
    write_tar(tmp_path / "layout.tar", layout_files(IMAGE)[0])
    for name in ("zip", "tar"):
        with closing(open_source(f"oci:{name}://{tmp_path}/layout.{name}")) as source:
            assert source.inputs() == [f"{tmp_path}/layout.{name}"]


def test_a_password_is_no_part_of_what_an_image_is_called(tmp_path: Path) -> None:
    """Metadata have that name, and go with a disk into registries."""
    layout(tmp_path / "layout", IMAGE)
    reference = f"oci:osfs://me:secret@{tmp_path}/layout"
    with closing(open_source(reference)) as source:
        assert resolve(source, reference, None).reference == f"oci:osfs://me@{tmp_path}/layout"


def test_a_password_is_in_nothing_that_is_written_with_a_disk(tmp_path: Path) -> None:
    import_fs()
    from fs.opener import Opener, registry
    from fs.osfs import OSFS

    class Elsewhere(Opener):
        protocols = ["elsewhere"]  # noqa: RUF012

        def open_fs(self, fs_url: str, parse_result: object, writeable: bool, create: bool, cwd: str) -> OSFS:
            return OSFS(str(tmp_path / "layout"))

    layout(tmp_path / "layout", IMAGE)
    registry.install(Elsewhere)
    options = BuildOptions(depfile=tmp_path / "d", metadata_file=tmp_path / "m", provenance=tmp_path / "p")
    build("oci:elsewhere://me:secret@host/layout:latest", tmp_path / "disk.ext4", options)
    for path in filter(Path.is_file, tmp_path.iterdir()):
        assert b"secret" not in path.read_bytes(), path
    assert "elsewhere\\://me@host/layout\\:latest" in (tmp_path / "d").read_text()


def test_a_file_system_that_fails_while_it_is_read() -> None:
    from fs.memoryfs import MemoryFS

    from builder.files.pyfilesystem import PyFilesystemFiles

    memory = MemoryFS()
    memory.writebytes("blob", b"content")
    files = PyFilesystemFiles(memory, "mem://", [])
    opened = files.open("blob")
    assert opened is not None
    with opened:
        assert opened.read() == b"content"
    memory.close()
    with pytest.raises(SourceUnreadable) as caught:
        files.open("blob")
    assert caught.value.where == "mem:///blob"


@pytest.mark.parametrize("answer", [None, "text", b"more than was asked for" * 1000, 7])
def test_a_file_that_gives_no_data_or_more_than_was_asked_for_is_said_to_be_unreadable(
    answer: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fs.memoryfs import MemoryFS

    from builder.files.pyfilesystem import PyFilesystemFiles

    class Odd(io.BytesIO):
        def read(self, size: int | None = -1) -> Any:
            return answer

    memory = MemoryFS()
    memory.touch("blob")
    monkeypatch.setattr(memory, "openbin", lambda path: Odd())
    opened = PyFilesystemFiles(memory, "mem://", []).open("blob")
    assert opened is not None
    with pytest.raises(SourceUnreadable, match="mem:///blob: cannot be read"), opened:
        opened.read(100)


@pytest.mark.parametrize("reference", ["oci:zip://a\nb.zip", "oci-archive:mem://u:secret@a\nb!c.tar", "tar://a\nb.tar"])
def test_a_url_of_two_lines_is_no_reference(reference: str) -> None:
    error = refusal(reference)
    assert isinstance(error, InvalidReference)
    assert "write %0A" in str(error)
    assert "secret" not in str(error)


def test_closing_closes_the_file_system(tmp_path: Path) -> None:
    layout_zip(tmp_path / "layout.zip", IMAGE)
    files = open_pyfilesystem(f"zip://{tmp_path}/layout.zip")
    files.close()
    with pytest.raises(SourceUnreadable):
        files.open("index.json")
