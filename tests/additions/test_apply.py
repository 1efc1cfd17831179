"""Files of one's own in the tree: where they go, what they are there, and what they may not do."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.adding import add, refused, write

from builder import Addition, Removal
from builder.tree.nodes import Directory


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("mode", "given"),
    [(0o600, 0o644), (0o664, 0o644), (0o444, 0o644), (0o700, 0o755), (0o645, 0o755), (0o6755, 0o755), (0o1644, 0o644)],
)
def test_without_a_mode_only_whether_anybody_may_execute_it_counts(mode: int, given: int) -> None:
    assert add(Addition(write("app", mode=mode), "/app")).lines("app") == [f"app {given:o} 0:0"]


def test_a_mode_and_an_owner_are_as_they_are_said() -> None:
    write("app")
    assert add(Addition("app", "/app", mode=0o4711, owner=(5, 6))).lines("app") == ["app 4711 5:6"]
    assert add(Addition("app", "/app", mode=0, owner=(0, 6))).lines("app") == ["app 0 0:6"]


def test_missing_parents_are_made_and_are_roots() -> None:
    added = add(Addition(write("app"), "/a/b/app", mode=0o600, owner=(5, 6)))
    assert added.lines("a/") == ["a/b/ 755 0:0", "a/b/app 600 5:6"]


def test_a_target_that_ends_in_a_slash_is_a_directory_for_files_and_symlinks() -> None:
    write("x/app")
    os.symlink("app", "x/link")
    added = add(Addition("x/app", "/usr/bin/"), Addition("x/app", "/new/"), Addition("x/link", "/"))
    assert added.lines("usr/bin/") == ["usr/bin/app 644 0:0"]
    assert added.lines("new/") == ["new/app 644 0:0"]
    assert added.lines("link") == ["link 777 0:0 -> app"]


@pytest.mark.parametrize("target", ["/srv", "/srv/"])
def test_what_is_in_a_directory_goes_to_its_target(target: str) -> None:
    write("site/a/index")
    assert add(Addition("site", target)).lines("srv") == ["srv/ 755 0:0", "srv/a/ 755 0:0", "srv/a/index 644 0:0"]


def test_symlinks_among_the_parents_are_resolved_in_the_tree() -> None:
    added = add(Addition(write("libx"), "/lib/x/libx"), Addition("libx", "/dangling/libx"))
    assert added.lines("usr/lib/x") == ["usr/lib/x/ 755 0:0", "usr/lib/x/libx 644 0:0"]
    assert added.lines("nowhere") == ["nowhere/ 755 0:0", "nowhere/libx 644 0:0"]
    assert added.lines("lib") == ["lib 777 0:0 -> usr/lib"]


def test_a_directory_is_merged_also_through_a_symlink() -> None:
    write("root/lib/libx")
    write("root/etc/new")
    added = add(Addition("root", "/"))
    assert added.lines("lib") == ["lib 777 0:0 -> usr/lib"]
    assert added.lines("usr/lib/") == ["usr/lib/libx 644 0:0"]
    assert added.lines("etc/") == ["etc/motd 644 0:0", "etc/new 644 0:0"]


def test_directories_that_are_there_keep_their_mode_and_owner() -> None:
    for name in ("tmp", "usr/bin"):
        os.makedirs(f"root/{name}", mode=0o700)
    added = add(Addition("root", "/"), Addition("root/tmp", "/tmp"), mtime_ns=7)
    assert added.lines("tmp") == ["tmp/ 1777 0:0"]
    assert added.lines("usr/bin") == ["usr/bin/ 751 7:8"]
    assert {node.mtime_ns for _, node in added.tree.walk()} == {0}
    # Also where something is said of what is added: only TARGET itself is meant.
    added = add(Addition("root", "/", mode=0o700, owner=(1, 2)))
    assert added.lines("usr/bin") == ["usr/bin/ 751 7:8"]
    assert (added.tree.root.mode, added.tree.root.uid, added.tree.root.gid) == (0o700, 1, 2)


def test_of_the_target_itself_what_is_said_is_set() -> None:
    os.makedirs("empty")
    write("d/f")
    assert add(Addition("empty", "/usr/bin", mode=0o700)).lines("usr/bin") == ["usr/bin/ 700 7:8"]
    assert add(Addition("d", "/usr/bin", owner=(0, 9))).lines("usr/bin") == ["usr/bin/ 751 0:9", "usr/bin/f 644 0:9"]
    assert add(Addition("empty", "/lib", owner=(1, 1))).lines("usr/lib") == ["usr/lib/ 755 1:1"]
    assert add(Addition("empty", "/data", mode=0o1770, owner=(1, 1))).lines("data") == ["data/ 1770 1:1"]


@pytest.mark.parametrize(("said", "of_directories"), [(0o644, 0o755), (0o640, 0o750), (0o600, 0o700), (0o4711, 0o4711)])
def test_who_may_read_a_directory_may_enter_it(said: int, of_directories: int) -> None:
    write("d/e/f")
    assert add(Addition("d", "/d", mode=said)).lines("d/") == [f"d/e/ {of_directories:o} 0:0", f"d/e/f {said:o} 0:0"]


def test_symlinks_are_added_as_they_are() -> None:
    os.symlink("/etc/motd", "absolute")
    os.makedirs("d")
    os.symlink("../../..", "d/up")
    added = add(Addition("absolute", "/a", mode=0o600, owner=(5, 6)), Addition("d", "/d"))
    assert added.lines("a") == ["a 777 5:6 -> /etc/motd"]
    assert added.lines("d/") == ["d/up 777 0:0 -> ../../.."]


def test_a_symlink_with_a_slash_behind_it_is_the_directory_that_it_leads_to() -> None:
    write("releases/42/f")
    os.symlink("releases/42", "current")
    assert add(Addition("current/", "/srv")).lines("srv/") == ["srv/f 644 0:0"]
    assert add(Addition("current", "/srv")).lines("srv") == ["srv 777 0:0 -> releases/42"]


def test_a_file_takes_the_place_of_a_file_or_a_symlink() -> None:
    write("new", "new")
    added = add(Addition("new", "/etc/motd"), Addition("new", "/dangling"))
    assert (added.content["etc/motd"], added.content["dangling"]) == (b"new", b"new")
    assert added.lines("nowhere") == []


def test_hardlinks_in_a_directory_are_kept() -> None:
    write("d/b", "x")
    os.makedirs("d/c")
    os.link("d/b", "d/c/a")
    os.link("d/b", "outside")
    assert add(Addition("d", "/lib")).lines("usr/lib/") == [
        "usr/lib/b 644 0:0",
        "usr/lib/c/ 755 0:0",
        "usr/lib/c/a 644 0:0 = usr/lib/b",
    ]


def test_bytes_become_a_file() -> None:
    added = add(Addition(b"port = 80\n", "/etc/app.conf", mode=0o600, owner=(5, 6)), Addition(b"", "/etc/empty"))
    assert added.lines("etc/app") == ["etc/app.conf 600 5:6"]
    assert added.lines("etc/e") == ["etc/empty 644 0:0"]
    assert (added.content["etc/app.conf"], added.content["etc/empty"]) == (b"port = 80\n", b"")


def test_changes_are_made_in_their_order() -> None:
    one, two = Addition(b"1", "/x"), Addition(b"2", "/x")
    assert add(one, Removal("/x"), two).content["x"] == b"2"
    assert add(two, Removal("/x"), one).content["x"] == b"1"
    assert "x" not in add(one, two, Removal("/x")).content
    assert "there is no '/x'" in refused(Removal("/x"), one)


def test_a_removed_directory_is_gone_with_all_that_is_in_it() -> None:
    assert add(Removal("/usr")).lines("usr") == []
    assert add(Removal("/etc/")).lines("etc") == []


def test_of_a_symlink_the_symlink_is_removed_and_behind_one_what_it_leads_to() -> None:
    assert add(Removal("/lib")).lines("lib") == []
    assert add(Removal("/lib")).lines("usr/lib") == ["usr/lib/ 755 0:0"]
    assert add(Addition(b"", "/lib/x"), Removal("/lib/x")).lines("usr/lib/") == []
    assert add(Removal("/dangling")).lines("dangling") == []


@pytest.mark.parametrize("path", ["/nope", "/etc/nope", "/nope/x", "/etc/motd/x", "/dangling/x", "/lib/nope"])
def test_removing_what_is_not_there_is_an_error_that_names_it(path: str) -> None:
    assert f"there is no '{path}' in the image" in refused(Removal(path))


def test_a_directory_is_never_lost_to_a_file() -> None:
    write("f")
    os.symlink("f", "s")
    write("d/lib")
    expected = "'/usr/bin' is a directory in the image; write '/usr/bin/' to put it in there"
    assert expected in refused(Addition("f", "/usr/bin"))
    assert expected in refused(Addition("s", "/usr/bin"))
    assert expected in refused(Addition(b"", "/usr/bin"))
    assert "'/lib' is a directory in the image" in refused(Addition("f", "/lib"))
    assert "'/lib' is a directory in the image; --remove it first" in refused(Addition("d", "/"))
    assert "'/' is a directory" in refused(Addition("f", "/."))


def test_a_directory_takes_the_place_of_nothing_else() -> None:
    os.makedirs("d/motd")
    assert "'/etc/motd' is no directory in the image; --remove it first" in refused(Addition("d", "/etc"))
    assert "'/etc/motd' is no directory in the image" in refused(Addition("d", "/etc/motd"))
    assert "'/dangling' is a symlink to nothing in the image" in refused(Addition("d", "/dangling"))
    assert "its parent is not a directory" in refused(Addition(b"", "/etc/motd/x"))
    assert add(Removal("/etc/motd"), Addition("d", "/etc")).lines("etc/") == ["etc/motd/ 755 0:0"]


def test_a_loop_of_symlinks_ends() -> None:
    os.symlink("/b", "a")
    os.symlink("/a", "b")
    loop = Addition("a", "/a"), Addition("b", "/b")
    for change in (Addition(b"", "/a/x"), Removal("/a/x"), Addition(b"", "/a")):
        assert "more than 40 symlinks" in refused(*loop, change)


def test_a_name_that_would_be_a_removal_is_refused() -> None:
    write("d/sub/.wh.motd")
    assert "'sub/.wh.motd' in it begins with .wh." in refused(Addition("d", "/etc"))
    write(".wh.x")
    assert "'.wh.x' in it begins with .wh." in refused(Addition(".wh.x", "/etc/"))


def test_names_and_paths_that_no_guest_could_open_are_refused() -> None:
    write("d/" + "y" * 200)
    target = "/" + "/".join(["x" * 250] * 16)
    assert "longer than 4095 bytes" in refused(Addition("d", target))


def test_times_are_the_builds_and_not_the_hosts() -> None:
    write("d/f")
    os.symlink("f", "d/s")
    tree = add(Addition("d", "/d"), Addition(b"", "/b"), mtime_ns=7).tree
    top = {name: node for name, node in tree.walk() if name[:1] in (b"b", b"d") and name != b"dangling"}
    assert {name: node.mtime_ns for name, node in top.items()} == dict.fromkeys((b"b", b"d", b"d/f", b"d/s"), 7)


def test_extended_attributes_of_the_host_stay_there() -> None:
    write("d/f")
    try:
        for path in ("d", "d/f"):
            os.setxattr(path, "user.host", b"x")
    except OSError:
        pytest.skip("the file system of temporary files keeps no extended attributes")
    tree = add(Addition("d", "/d")).tree
    assert [dict(node.xattrs) for path, node in tree.walk() if path.startswith(b"d/")] == [{}]


def test_directories_are_in_byte_order_whatever_the_host_says(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("b", "a", "\u00e9", "B"):
        write(f"d/{name}")
    listdir = os.listdir
    orders = []
    for order in (False, True):
        monkeypatch.setattr(os, "listdir", lambda fd, order=order: sorted(listdir(fd), reverse=order))
        directory = add(Addition("d", "/d")).tree.root.children[b"d"]
        assert isinstance(directory, Directory)
        orders.append(list(directory.children))
    assert orders == [[b"B", b"a", b"b", "\u00e9".encode()]] * 2
