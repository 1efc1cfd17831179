"""Where a user's images are, from storage.conf and the environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.containers_storage.conf import find_place
from builder.containers_storage.place import Place
from builder.errors import SourceUnreadable

HOME = "/home/user"


def conf(path: Path, text: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return str(path)


def test_the_defaults_are_podmans() -> None:
    assert find_place({"HOME": "/root"}, 0, ()) == Place("/var/lib/containers/storage", origin="the default")
    rootless = Place(f"{HOME}/.local/share/containers/storage", origin="the default")
    assert find_place({"HOME": HOME}, 1000, ()) == rootless
    assert find_place({"HOME": HOME, "XDG_DATA_HOME": "/data"}, 1000, ()).root == "/data/containers/storage"


def test_inside_podman_unshare_the_stores_are_the_users() -> None:
    environment = {"HOME": HOME, "_CONTAINERS_ROOTLESS_UID": "1000"}
    assert find_place(environment, 0, ()).root == f"{HOME}/.local/share/containers/storage"


def test_the_first_system_file_that_exists_counts(tmp_path: Path) -> None:
    system = [conf(tmp_path / name, f'[storage]\ngraphroot = "/{name}"\n') for name in ("etc", "usr")]
    files = (str(tmp_path / "absent"), *system)
    assert find_place({}, 0, files) == Place("/etc", origin=system[0])


def test_a_file_below_the_configuration_home_comes_before_the_systems(tmp_path: Path) -> None:
    system = conf(tmp_path / "etc", '[storage]\ngraphroot = "/etc"\n')
    conf(tmp_path / "home/containers/storage.conf", '[storage]\ngraphroot = "/own"\n')
    assert find_place({"XDG_CONFIG_HOME": str(tmp_path / "home")}, 0, (system,)).root == "/own"
    assert find_place({"XDG_CONFIG_HOME": str(tmp_path / "absent")}, 0, (system,)).root == "/etc"


@pytest.mark.parametrize("uid", [0, 1000])
def test_a_file_named_by_the_environment_is_the_only_one(tmp_path: Path, uid: int) -> None:
    system = conf(tmp_path / "etc", '[storage]\ngraphroot = "/etc"\ndriver = "vfs"\n')
    named = conf(tmp_path / "named", '[storage]\ngraphroot = "/named"\ndriver = "overlay2"\n')
    place = find_place({"HOME": HOME, "CONTAINERS_STORAGE_CONF": named}, uid, (system,))
    assert place == Place("/named", driver="overlay", origin=named)


def test_an_ordinary_user_does_not_get_roots_store(tmp_path: Path) -> None:
    system = conf(
        tmp_path / "etc",
        '[storage]\ngraphroot = "/etc"\n[storage.options]\nadditionalimagestores = ["/shared"]\n',
    )
    place = find_place({"HOME": HOME}, 1000, (system,))
    assert place == Place(f"{HOME}/.local/share/containers/storage", origin="the default")


def test_the_system_can_say_where_the_users_stores_are(tmp_path: Path) -> None:
    system = conf(tmp_path / "etc", '[storage]\nrootless_storage_path = "/stores/$USER-${LANG}-$UID/x"\n')
    place = find_place({"HOME": HOME, "USER": "me", "LANG": "C"}, 1000, (system,))
    assert place.root == "/stores/me-C-1000/x"


def test_the_users_own_file_comes_before_what_the_system_says(tmp_path: Path) -> None:
    system = conf(tmp_path / "etc", '[storage]\nrootless_storage_path = "/stores/$UID"\n')
    own = conf(
        tmp_path / ".config/containers/storage.conf",
        '[storage]\ngraphroot = "$HOME/images"\n[storage.options]\nadditionalimagestores = ["/shared"]\n',
    )
    place = find_place({"HOME": str(tmp_path)}, 1000, (system,))
    assert place == Place(f"{tmp_path}/images", ("/shared",), origin=own)
    conf(Path(own), "[storage]\n")
    assert find_place({"HOME": str(tmp_path)}, 1000, (system,)).root == "/stores/1000"


def test_additional_stores_may_be_named_for_all_drivers_or_for_overlay(tmp_path: Path) -> None:
    system = conf(
        tmp_path / "etc",
        '[storage]\ndriver = "overlay"\n[storage.options]\nadditionalimagestores = ["/a", "/b/"]\n'
        '[storage.options.overlay]\nadditionalimagestores = ["/b", "/c"]\n',
    )
    place = find_place({}, 0, (system,))
    assert place == Place("/var/lib/containers/storage", ("/a", "/b", "/c"), "overlay", system)


def test_a_separate_image_store_comes_first(tmp_path: Path) -> None:
    system = conf(tmp_path / "etc", '[storage]\ngraphroot = "/g"\nimagestore = "/i"\n')
    assert find_place({}, 0, (system,)) == Place("/i", ("/g",), origin=system)


def test_the_environment_overrides_driver_and_options(tmp_path: Path) -> None:
    system = conf(
        tmp_path / "etc",
        '[storage]\ndriver = "vfs"\ngraphroot = "/g"\n[storage.options]\nadditionalimagestores = ["/a"]\n',
    )
    environment = {"STORAGE_DRIVER": "overlay", "STORAGE_OPTS": "overlay.imagestore=/x,overlay.mountopt=nodev"}
    assert find_place(environment, 0, (system,)) == Place("/g", ("/x",), "overlay", system)


@pytest.mark.parametrize(
    "text",
    [
        "[storage",
        "[storage]\ngraphroot = 1\n",
        "storage = 3\n",
        "\xff",
        "n = " + "1" * 5000,
        "a = " + "[" * 5000,
        '[storage]\ngraphroot = "/a\\u0000b"\n',
        '[storage.options]\nadditionalimagestores = ["/a\\u0000b"]\n',
        "#" * (1 << 20) + '\n[storage]\ngraphroot = "/behind-the-end"\n',
    ],
    ids=lambda text: text[:40],
)
def test_a_file_that_is_no_storage_conf_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "storage.conf"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(SourceUnreadable) as caught:
        find_place({"CONTAINERS_STORAGE_CONF": str(path)}, 0, ())
    assert caught.value.where == str(path)
    assert "is no storage.conf" in caught.value.reason


def test_a_path_of_variables_that_are_not_set_is_no_path(tmp_path: Path) -> None:
    text = '[storage]\ngraphroot = "$ABSENT"\n[storage.options]\nadditionalimagestores = ["${ABSENT}", "/a"]\n'
    environment = {"CONTAINERS_STORAGE_CONF": conf(tmp_path / "c", text)}
    place = find_place(environment, 0, ())
    assert (place.root, place.additional) == ("/var/lib/containers/storage", ("/a",))


@pytest.mark.parametrize("text", ["me", "-1", " ", "1" * 5000])
def test_a_user_that_is_no_number_is_nobody(text: str) -> None:
    assert find_place({"_CONTAINERS_ROOTLESS_UID": text}, 0, ()).root == "/var/lib/containers/storage"


def test_what_else_is_in_the_file_says_nothing(tmp_path: Path) -> None:
    text = '[storage]\ngraphroot = "/g"\nrunroot = "/r"\n[storage.options]\nsize = ""\n[other]\na = 1\n'
    assert find_place({"CONTAINERS_STORAGE_CONF": conf(tmp_path / "c", text)}, 0, ()).root == "/g"
