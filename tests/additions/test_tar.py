"""A tar of one's own is one more layer: the same reader, the same rules, the same limits."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.adding import add, refused
from support.images import COMPRESS
from support.tars import directory, fifo, file, hardlink, symlink, tar, whiteout

from builder import AddedTar, Addition
from builder.limits import Limits

CONTENT = tar(
    directory("./", mode=0o700, uid=3),
    directory("a", mode=0o2750, uid=1000, gid=1001, mtime="5"),
    file("a/f", b"x" * 5000, mode=0o4755, uid=5, xattrs={"user.kept": b"1"}),
    hardlink("a/h", "a/f"),
    symlink("/a/s", "/a/f"),
    fifo("a/p"),
)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("compression", COMPRESS)
def test_a_tar_is_applied_as_it_is_whatever_compresses_it(compression: str) -> None:
    Path("x.tar").write_bytes(COMPRESS[compression](CONTENT))
    for source in ("x.tar", Path("x.tar").read_bytes()):
        added = add(AddedTar(source))
        assert added.lines("a") == [
            "a/ 2750 1000:1001",
            "a/f 4755 5:0",
            "a/h 4755 5:0 = a/f",
            "a/p 644 0:0",
            "a/s 777 0:0 -> /a/f",
        ]
        assert added.content["a/f"] == b"x" * 5000
        nodes = dict(added.tree.walk())
        assert (nodes[b"a"].mtime_ns, dict(nodes[b"a/f"].xattrs)) == (5 * 10**9, {b"user.kept": b"1"})
        assert (added.tree.root.mode, added.tree.root.uid) == (0o700, 3)


def test_its_root_goes_to_its_target() -> None:
    added = add(AddedTar(CONTENT, "/lib/x"))
    assert added.lines("usr/lib/x/") == [
        "usr/lib/x/a/ 2750 1000:1001",
        "usr/lib/x/a/f 4755 5:0",
        "usr/lib/x/a/h 4755 5:0 = usr/lib/x/a/f",
        "usr/lib/x/a/p 644 0:0",
        "usr/lib/x/a/s 777 0:0 -> /a/f",
    ]
    assert "usr/lib/x/ 700 3:0" in added.lines("usr/lib/x")
    assert added.tree.root.mode == 0o755


def test_a_target_may_be_a_directory_behind_a_symlink() -> None:
    added = add(AddedTar(tar(file("f"), whiteout("libx")), "/lib"), tree=add(Addition(b"", "/lib/libx")).tree)
    assert added.lines("lib") == ["lib 777 0:0 -> usr/lib"]
    assert added.lines("usr/lib/") == ["usr/lib/f 644 0:0"]


def test_its_whiteouts_hide_what_was_there_before() -> None:
    assert add(AddedTar(tar(whiteout("etc/motd"), file("etc/new")))).lines("etc/") == ["etc/new 644 0:0"]
    assert add(AddedTar(tar(file(".wh..wh..opq"), file("new")), "/etc")).lines("etc") == [
        "etc/ 755 0:0",
        "etc/new 644 0:0",
    ]
    assert add(AddedTar(tar(file("etc/motd/x")), "/srv"), AddedTar(tar(whiteout("srv")))).lines("srv") == []


HOSTILE = {
    "traversal": (tar(file("../x")), "has a '..' component"),
    "traversal below a target": (tar(file("a/../../x")), "has a '..' component"),
    "a hardlink out": (tar(hardlink("h", "../../etc/motd")), "hardlink target has a '..' component"),
    "a hardlink to nothing": (tar(hardlink("h", "nope")), "whose target does not exist"),
    "a name too long": (tar(file("x" * 256)), "more than 255 bytes"),
    "a whiteout of nothing": (tar(file(".wh.")), "is a whiteout of nothing"),
    "no tar": (b"no tar at all" * 100, "checksum"),
    "a cut tar": (CONTENT[:3000], "the tar stream ends in a header"),
    "a cut gzip": (COMPRESS["gzip"](CONTENT)[:-9], ""),
    "a damaged zstd": (COMPRESS["zstd"](CONTENT)[:20] + b"\xff" * 30, ""),
}


@pytest.mark.parametrize("what", HOSTILE)
@pytest.mark.parametrize("target", ["/", "/srv"])
def test_what_no_layer_could_be_is_refused_as_that(what: str, target: str) -> None:
    data, reason = HOSTILE[what]
    Path("x.tar").write_bytes(data)
    text = refused(AddedTar("x.tar", target), status=3)
    assert text.startswith("--add-tar x.tar")
    assert reason in text


def test_a_target_that_is_no_directory_is_refused() -> None:
    assert "'/etc/motd' is no directory in the image" in refused(AddedTar(CONTENT, "/etc/motd"))
    assert "'/dangling' is a symlink to nothing" in refused(AddedTar(CONTENT, "/dangling"))


def test_an_empty_file_is_no_archive_and_an_archive_of_nothing_is_one() -> None:
    Path("x.tar").touch()
    assert refused(AddedTar("x.tar")).startswith("--add-tar x.tar: it is empty")
    assert add(AddedTar(tar())).lines() == add().lines()


def test_a_tar_counts_for_the_limits_of_an_image() -> None:
    for data in (CONTENT, COMPRESS["gzip"](CONTENT)):
        assert "raise --max-entries" in refused(AddedTar(data), limits=Limits(max_entries=5), status=3)
        assert "raise --max-size" in refused(AddedTar(data), limits=Limits(max_size=4000), status=3)
    bomb = COMPRESS["zstd"](tar(file("f", bytes(4 << 20))))
    assert "raise --max-ratio" in refused(AddedTar(bomb), limits=Limits(max_ratio=100), status=3)
    wordy = AddedTar(tar(file("f", pax={"comment": "c" * 9000})))
    assert "long headers" in refused(wordy, limits=Limits(max_metadata=5000), status=3)
    add(AddedTar(CONTENT), limits=Limits(max_entries=6, max_size=20_000))


def test_a_tar_that_changes_between_survey_and_build_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("x.tar").write_bytes(CONTENT)
    survey = add.__globals__["survey"]

    def surveyed(changes: object, limits: object) -> object:
        done = survey(changes, limits)
        # Behind the end of the archive, where no reader of tars looks.
        Path("x.tar").write_bytes(CONTENT + bytes(512))
        return done

    monkeypatch.setitem(add.__globals__, "survey", surveyed)
    assert "changed while it was read" in refused(AddedTar("x.tar"))
