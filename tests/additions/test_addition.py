"""What is said of files of one's own: how it is written, and what cannot be meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder import AddedTar, Addition, Removal
from builder.additions.addition import Change, parse_addition, parse_tar, read_change, write_change
from builder.errors import UsageError

WRITTEN = {
    "app:/usr/bin/app": Addition("app", "/usr/bin/app"),
    "dir/:/": Addition("dir/", "/"),
    "app:/usr/bin/": Addition("app", "/usr/bin/"),
    "app:/x,mode=0755": Addition("app", "/x", mode=0o755),
    "app:/x,mode=4711,owner=0:4294967294": Addition("app", "/x", mode=0o4711, owner=(0, 2**32 - 2)),
    "app:/x,owner=1:2,mode=600": Addition("app", "/x", mode=0o600, owner=(1, 2)),
    # The last `:/` is where TARGET begins; of commas, only those before KEY=VALUE at the end say something.
    "a:b,c=d:/x": Addition("a:b,c=d", "/x"),
    "a:/b:/x": Addition("a:/b", "/x"),
    "https://x,mode=1:/x": Addition("https://x,mode=1", "/x"),
    "app:/a,b": Addition("app", "/a,b"),
    "app:/a,mode=1/b,mode=0644": Addition("app", "/a,mode=1/b", mode=0o644),
    "app:/a:b": Addition("app", "/a:b"),
    "a\nb:/c\nd": Addition("a\nb", "/c\nd"),
    "caf\udce9:/caf\udce9": Addition("caf\udce9", "/caf\udce9"),
}


@pytest.mark.parametrize("text", WRITTEN)
def test_an_addition_is_read_as_documented(text: str) -> None:
    assert parse_addition(text) == WRITTEN[text]


TARS = {
    "a.tar": AddedTar("a.tar"),
    "a:b.tar": AddedTar("a:b.tar"),
    "a.tar:/srv": AddedTar("a.tar", "/srv"),
    "a:/b.tar:/": AddedTar("a:/b.tar"),
}


@pytest.mark.parametrize("text", TARS)
def test_a_tar_is_read_as_documented(text: str) -> None:
    assert parse_tar(text) == TARS[text]


EVERY: list[Change] = [
    *WRITTEN.values(),
    *TARS.values(),
    Removal("/etc/motd"),
    Removal("/caf\udce9"),
    Addition(b"\0\xff", "/x:/y,mode=0644", mode=0, owner=(0, 0)),
    Addition(b"", "/x"),
    AddedTar(b"\x1f\x8b", "/x"),
]


@pytest.mark.parametrize("change", EVERY, ids=str)
def test_a_change_travels_whatever_is_in_it(change: Change) -> None:
    assert write_change(change).isascii()
    assert read_change(write_change(change)) == change


@pytest.mark.parametrize("text", ["", "3", "[]", "{}", '{"add": 3}', '{"add": "a", "target": "b"}', "[" * 9999])
def test_what_is_no_change_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"no addition of this version|write it from the root"):
        read_change(text)


def test_paths_of_pathlib_are_the_same_as_their_text() -> None:
    assert Addition(Path("a/b"), Path("/c")) == Addition("a/b", "/c")
    assert AddedTar(Path("a"), Path("/c")) == AddedTar("a", "/c")
    assert Removal(Path("/c")) == Removal("/c")


REFUSED = {
    "": "names no absolute TARGET",
    "app": "names no absolute TARGET",
    "app:usr/bin/app": "names no absolute TARGET",
    ":/x": "there is no SOURCE",
    "app:/../x": "has a '..' component",
    "app:/a/..": "has a '..' component",
    "app:/a\0b": "contains a NUL byte",
    "a\0b:/x": "contains a NUL byte",
    f"app:/{'x' * 256}": "more than 255 bytes",
    f"app:/{'x/' * 2100}": "longer than 4095 bytes",
    "app:/etc/.wh.motd": "a layer's mark",
    "app:/.wh.x/y": "a layer's mark",
    "app:/x,mode=": "'' is no mode",
    "app:/x,mode=9": "'9' is no mode",
    "app:/x,mode=10000": "'10000' is no mode",
    "app:/x,mode=rwx": "'rwx' is no mode",
    "app:/x,mode=0o755": "'0o755' is no mode",
    "app:/x,mode=\u0667\u0665\u0665": "is no mode",
    "app:/x,owner=me:us": "'me:us' is no owner",
    "app:/x,owner=1000": "'1000' is no owner",
    "app:/x,owner=-1:0": "'-1:0' is no owner",
    "app:/x,owner=4294967295:0": "not between 0 and 4294967294",
    "app:/x,mod=0755": "'mod' is no setting",
    "app:/x,mode=0755,mode=0644": "mode is said twice",
    "app:/x,mod=1,mode=0755": "'mod' is no setting",
}


@pytest.mark.parametrize("text", REFUSED)
def test_an_addition_that_cannot_be_meant_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_addition(text)
    assert REFUSED[text] in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", ":/x", "a.tar:/..", "a.tar:/srv,mode=0755", "a.tar:/.wh.x"])
def test_a_tar_that_cannot_be_meant_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_tar(text)


@pytest.mark.parametrize("path", ["", "/", "//.", "etc", "/etc/..", "/\0", "/.wh.x"])
def test_a_removal_that_cannot_be_meant_is_refused(path: str) -> None:
    with pytest.raises(UsageError):
        Removal(path)


def test_bytes_need_a_name() -> None:
    with pytest.raises(UsageError, match="no name of their own"):
        Addition(b"x", "/etc/")
