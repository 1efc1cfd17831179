"""Files of an unpacked layer by the names in its tar."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.containers_storage.handles import Handle
from builder.containers_storage.unpacked import Unpacked
from builder.errors import ImageRefused, MalformedArchive, UnsafeFile


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Unpacked]:
    (tmp_path / "diff/usr/lib/deep").mkdir(parents=True)
    (tmp_path / "diff/usr/lib/a").write_bytes(b"a")
    (tmp_path / "diff/usr/lib/deep/b").write_bytes(b"b")
    (tmp_path / "diff/c").write_bytes(b"c")
    (tmp_path / "secret").write_bytes(b"secret")
    handle = Handle.open(f"{tmp_path}/diff")
    assert handle is not None
    opened = Unpacked(handle)
    yield opened
    opened.close()


def read(files: Unpacked, name: bytes) -> bytes:
    with open(files.open(name), "rb") as file:
        return file.read()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (b"c", b"c"),
        (b"./c", b"c"),
        (b"/c", b"c"),
        (b"//usr///lib/./a", b"a"),
        (b"usr/lib/deep/b", b"b"),
        (b"usr/lib/deep/../a", b"a"),
        (b"absent/../c", b"c"),
    ],
)
def test_names_are_taken_as_the_store_takes_them(files: Unpacked, name: bytes, content: bytes) -> None:
    assert read(files, name) == content
    assert read(files, name) == content


@pytest.mark.parametrize(
    ("links", "name"),
    [
        ({"lib": "usr/lib"}, b"lib/a"),
        ({"lib": "/usr/lib"}, b"lib/a"),
        ({"lib": "./usr/../usr//lib"}, b"lib/a"),
        ({"lib": "../../usr/lib"}, b"lib/a"),
        ({"one": "two", "two": "usr"}, b"one/lib/a"),
        ({"usr/up": ".."}, b"usr/up/usr/lib/a"),
        ({"usr/lib/deep/top": "/"}, b"usr/lib/deep/top/usr/lib/a"),
        ({"usr/here": "."}, b"usr/here/here/here/lib/a"),
    ],
)
def test_a_symlink_in_a_parents_place_leads_to_where_it_does_inside_the_layer(
    files: Unpacked, tmp_path: Path, links: dict[str, str], name: bytes
) -> None:
    for path, target in links.items():
        (tmp_path / "diff" / path).symlink_to(target)
    for _ in range(2):
        assert read(files, name) == b"a"
        assert read(files, b"usr/lib/a") == b"a"


@pytest.mark.parametrize("target", ["..", "../..", "/..", "/../..", "usr/../../.."])
def test_no_symlink_leads_out(files: Unpacked, tmp_path: Path, target: str) -> None:
    (tmp_path / "diff/out").symlink_to(target)
    with pytest.raises(MalformedArchive, match="is missing"):
        files.open(b"out/secret")
    assert read(files, b"out/c") == b"c"


def test_an_absolute_symlink_means_the_layers_own_root(files: Unpacked, tmp_path: Path) -> None:
    (tmp_path / "diff/out").symlink_to(tmp_path)
    with pytest.raises(MalformedArchive, match="is missing"):
        files.open(b"out/secret")


def test_a_symlink_that_is_the_file_itself_is_refused(files: Unpacked, tmp_path: Path) -> None:
    (tmp_path / "diff/x").symlink_to("c")
    with pytest.raises(UnsafeFile):
        files.open(b"x")


@pytest.mark.parametrize("links", [{"a": "a"}, {"a": "b", "b": "a"}, {"a": "a/x"}])
def test_symlinks_that_do_not_end_are_refused(files: Unpacked, tmp_path: Path, links: dict[str, str]) -> None:
    for path, target in links.items():
        (tmp_path / "diff" / path).symlink_to(target)
    with pytest.raises(UnsafeFile, match="more than 40 links"):
        files.open(b"a/file")


@pytest.mark.parametrize(
    "name",
    [
        b"..",
        b"../secret",
        b"usr/../../secret",
        b"",
        b"/",
        b".",
        pytest.param(b"n/" * 3000 + b"x", id="long"),
        b"a\0b",
        b"n" * 256,
    ],
)
def test_a_name_that_leads_out_or_to_nothing_is_refused(files: Unpacked, name: bytes) -> None:
    with pytest.raises(UnsafeFile):
        files.open(name)


@pytest.mark.parametrize("name", [b"absent", b"absent/x", b"usr/absent/x/y"])
def test_a_file_that_is_missing_is_named(files: Unpacked, name: bytes) -> None:
    with pytest.raises(MalformedArchive) as caught:
        files.open(name)
    assert f"entry '{name.decode()}'" in caught.value.where


def test_a_file_in_a_parents_place_is_refused(files: Unpacked) -> None:
    with pytest.raises(ImageRefused):
        files.open(b"c/x")


def test_many_directories_do_not_stay_open(files: Unpacked, tmp_path: Path) -> None:
    deep = "/".join("d" * 40)
    (tmp_path / "diff" / deep).mkdir(parents=True)
    for number in range(200):
        (tmp_path / f"diff/d/{number}").mkdir(exist_ok=True)
        (tmp_path / f"diff/d/{number}/x").write_bytes(b"%d" % number)
    (tmp_path / "diff" / deep / "x").write_bytes(b"deep")
    before = len(os.listdir("/proc/self/fd"))
    for number in range(200):
        assert read(files, b"d/%d/x" % number) == b"%d" % number
        assert read(files, deep.encode() + b"/x") == b"deep"
    assert len(os.listdir("/proc/self/fd")) - before < 40
    files.close()
    assert len(os.listdir("/proc/self/fd")) <= before


def test_failures_leave_nothing_open(files: Unpacked, tmp_path: Path) -> None:
    (tmp_path / "diff/loop").symlink_to("loop")
    before = len(os.listdir("/proc/self/fd"))
    for name in (b"usr/lib/deep/absent/x", b"usr/lib/a/x", b"loop/x", b"usr/lib/deep", b"usr/lib/a/../deep"):
        for _ in range(3):
            with pytest.raises(ImageRefused):
                files.open(name)
    # Directories that were found on the way may be kept.
    assert len(os.listdir("/proc/self/fd")) - before <= 2
