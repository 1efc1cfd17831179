"""storage.conf's drop-ins, as podman 6 and buildah 1.44 read them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from builder.containers_storage.conf import find_place
from builder.containers_storage.place import Place
from builder.errors import MissingRequirement, SourceUnreadable


def machine(place: Path, files: Mapping[str, str]) -> tuple[str, ...]:
    """Write files below `place`, and give the main ones as the system's."""
    for name, text in files.items():
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"[storage]\n{text}\n")
    return tuple(str(place / directory / "storage.conf") for directory in ("etc", "usr"))


def find(place: Path, uid: int, files: Mapping[str, str], **environment: str) -> Place:
    return find_place({"HOME": str(place / "home"), **environment}, uid, machine(place, files))


def stores(*paths: str, more: str = "") -> str:
    listed = ", ".join([*map(repr, paths), *([f"{{append = {more}}}"] if more else [])])
    return f"[storage.options]\nadditionalimagestores = [{listed}]"


def test_a_drop_in_says_where_the_store_is_and_is_named(tmp_path: Path) -> None:
    files = {
        "etc/storage.conf": 'graphroot = "/main"\ndriver = "overlay"',
        "usr/storage.conf.d/1.conf": 'graphroot = "/in"',
    }
    place = find(tmp_path, 0, files)
    assert place == Place("/in", driver="overlay", origin=f"{tmp_path}/usr/storage.conf.d/1.conf")
    # What says nothing of the place is not what named it.
    place = find(tmp_path, 0, {"etc/storage.conf.d/9.conf": 'driver = "vfs"'})
    assert (place.driver, place.origin) == ("vfs", f"{tmp_path}/usr/storage.conf.d/1.conf")


def test_drop_ins_are_read_by_their_names_and_one_is_put_out_of_force_by_anothers_of_its_name(tmp_path: Path) -> None:
    files = {
        "usr/storage.conf.d/10.conf": 'graphroot = "/usr-10"',
        "etc/storage.conf.d/20.conf": 'graphroot = "/etc-20"',
        "home/.config/containers/storage.conf.d/30.conf": 'graphroot = "/home-30"',
        "usr/storage.conf.d/40.conf": 'graphroot = "/usr-40"',
        "usr/storage.conf.d/50.conf~": 'graphroot = "/left"',
    }
    assert find(tmp_path, 0, files).root == "/usr-40"
    assert find(tmp_path, 0, {"etc/storage.conf.d/40.conf": ""}).root == "/home-30"
    assert find(tmp_path, 0, {"home/.config/containers/storage.conf.d/30.conf": ""}).root == "/etc-20"


@pytest.mark.parametrize(("uid", "root"), [(0, "/rootful"), (1000, "/users/1000"), (99, "/of-99")])
def test_some_are_for_root_or_for_others_or_for_one_user(tmp_path: Path, uid: int, root: str) -> None:
    files = {
        "etc/storage.conf": 'graphroot = "/main"',
        "etc/storage.rootful.conf.d/1.conf": 'graphroot = "/rootful"',
        "etc/storage.rootless.conf.d/1.conf": 'graphroot = "/users/$UID"',
        "usr/storage.rootless.conf.d/99/2.conf": 'graphroot = "/of-99"',
    }
    assert find(tmp_path, uid, files).root == root


def test_a_list_replaces_others_or_adds_to_them(tmp_path: Path) -> None:
    files = {"etc/storage.conf": stores("/a"), "etc/storage.conf.d/1.conf": stores("/b")}
    assert find(tmp_path, 0, files).additional == ("/b",)
    assert find(tmp_path, 0, {"etc/storage.conf.d/1.conf": stores("/b", more="true")}).additional == ("/a", "/b")
    # A mark holds for the files that come after, too.
    assert find(tmp_path, 0, {"etc/storage.conf.d/2.conf": stores("/c")}).additional == ("/a", "/b", "/c")
    assert find(tmp_path, 0, {"etc/storage.conf.d/2.conf": stores("/c", more="false")}).additional == ("/c",)


def test_where_the_environment_names_a_file_there_are_no_drop_ins_and_one_more_counts_before_all(
    tmp_path: Path,
) -> None:
    files = {
        "named": 'driver = "overlay"',
        "etc/storage.conf.d/1.conf": 'graphroot = "/in"',
        "last": 'graphroot = "/last"',
    }
    named = {"CONTAINERS_STORAGE_CONF": f"{tmp_path}/named"}
    last = {"CONTAINERS_STORAGE_CONF_OVERRIDE": f"{tmp_path}/last"}
    assert find(tmp_path, 0, files, **named).root == "/var/lib/containers/storage"
    assert find(tmp_path, 0, files, **last).root == "/last"
    assert find(tmp_path, 0, files, **named, **last) == Place("/last", driver="overlay", origin=f"{tmp_path}/last")
    (tmp_path / "last").unlink()
    with pytest.raises(SourceUnreadable, match="last: cannot be read"):
        find_place({**last}, 0, ())


def test_a_drop_in_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceUnreadable, match=r"etc/storage.conf.d/1.conf: is no storage.conf"):
        find(tmp_path, 0, {"etc/storage.conf.d/1.conf": "graphroot = 1"})


def test_a_symlink_is_no_drop_in(tmp_path: Path) -> None:
    files = {"usr/storage.conf.d/1.conf": 'graphroot = "/in"', "else/1.conf": 'graphroot = "/else"'}
    machine(tmp_path, files)
    (tmp_path / "etc/storage.conf.d").mkdir(parents=True)
    (tmp_path / "etc/storage.conf.d/1.conf").symlink_to(tmp_path / "else/1.conf")
    assert find(tmp_path, 0, {}).root == "/in"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_this_user_may_not_look_at_is_not_there_and_what_it_may_not_read_is_named(tmp_path: Path) -> None:
    home = tmp_path / "home"
    own = "home/.config/containers/storage.conf.d/1.conf"
    files = {"usr/storage.conf.d/1.conf": 'graphroot = "/in"', "etc/storage.conf.d/2.conf": "", own: ""}
    machine(tmp_path, files)
    home.chmod(0)
    try:
        assert find(tmp_path, 0, {}).root == "/in"
    finally:
        home.chmod(0o700)
    (tmp_path / "etc/storage.conf.d/2.conf").chmod(0)
    with pytest.raises(MissingRequirement, match=r"2\.conf: Permission denied; let this user read it"):
        find(tmp_path, 1000, {})
