"""Where credentials are looked for, and which of several are meant (containers-auth.json(5))."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.logins import auth, places, told, user, write

from builder.errors import SourceUnreadable
from builder.registry.credentials import Credentials, find_credentials


@pytest.fixture(autouse=True)
def _home(home: Path) -> Path:
    return home


def test_without_any_file_there_are_none() -> None:
    assert user(None) is None


def test_files_are_looked_into_in_podmans_order(home: Path) -> None:
    for name, path in reversed(places(home).items()):
        write(path, auths={"registry.example": auth(name)})
        assert user(None) == name


@pytest.mark.parametrize("key", ["registry.example", "https://registry.example/v1/"])
def test_the_file_of_old_docker_has_entries_alone_and_comes_last(home: Path, key: str) -> None:
    (home / ".dockercfg").write_text(json.dumps({key: auth("old") | {"email": "old@example.com"}}))
    assert user(None) == "old"
    write(places(home)["docker"], auths={"registry.example": auth("docker")})
    assert user(None) == "docker"


@pytest.mark.parametrize("content", ["", " \n", "null", "{}"])
def test_an_old_file_without_an_entry_has_none(home: Path, content: str) -> None:
    (home / ".dockercfg").write_text(content)
    assert user(None) is None


def test_a_file_without_an_entry_leaves_it_to_the_next(home: Path) -> None:
    write(places(home)["runtime"], auths={"other.example": auth("other"), "registry.example": {}})
    write(places(home)["docker"], auths={"registry.example": auth("docker")})
    assert user(None) == "docker"


def test_the_environment_names_one_file(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(places(home)["runtime"], auths={"registry.example": auth("runtime")})
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(write(tmp_path / "named", auths={"registry.example": auth("named")})))
    assert user(None) == "named"
    assert user(write(tmp_path / "given", auths={"registry.example": auth("given")})) == "given"
    assert user(write(tmp_path / "given", auths={})) is None


def test_what_ci_has_in_the_environment_counts_before_what_docker_has_in_files(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(places(home)["docker"], auths={"registry.example": auth("docker")})
    monkeypatch.setenv("DOCKER_AUTH_CONFIG", json.dumps({"auths": {"registry.example": auth("ci")}}))
    assert user(None) == "ci"
    assert user(None, host="other.example") is None
    write(places(home)["config"], auths={"registry.example": auth("podman")})
    assert user(None) == "podman"
    assert user(write(home / "given", auths={})) is None


def test_what_is_none_in_the_environment_is_said_and_not_repeated(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(places(home)["docker"], auths={"registry.example": auth("docker")})
    for odd in ("secret", "[]", "$DOCKER_AUTH_CONFIG"):
        monkeypatch.setenv("DOCKER_AUTH_CONFIG", odd)
        said = "$DOCKER_AUTH_CONFIG: is no file of credentials; going on without it"
        assert told(None) == ("docker", [said])
    monkeypatch.setenv("DOCKER_AUTH_CONFIG", "")
    assert told(None) == ("docker", [])


def test_docker_config_names_a_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "docker" / "config.json", auths={"registry.example": auth("docker")})
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    assert user(None) == "docker"


def test_the_most_specific_entry_counts(tmp_path: Path) -> None:
    keys = ["registry.example", "registry.example/team", "registry.example/team/app"]
    for count in (1, 2, 3):
        file = write(tmp_path / "auth.json", auths={key: auth(key) for key in keys[:count]})
        assert user(file) == keys[count - 1]
    assert user(file, path="team/apple") == "registry.example/team"
    assert user(file, path="teams/app") == "registry.example"
    assert user(file, host="registry.example:5000") is None


@pytest.mark.parametrize(
    ("key", "host"),
    [
        ("https://index.docker.io/v1/", "docker.io"),
        ("index.docker.io", "docker.io"),
        ("docker.io", "docker.io"),
        ("https://index.docker.io/v1/", "registry-1.docker.io"),
        ("https://registry.example/v2/", "registry.example"),
        ("http://registry.example", "registry.example"),
    ],
)
def test_keys_of_older_versions_are_understood(tmp_path: Path, key: str, host: str) -> None:
    assert user(write(tmp_path / "auth.json", auths={key: auth("me")}), host) == "me"


def test_passwords_may_hold_colons(tmp_path: Path) -> None:
    file = write(tmp_path / "auth.json", auths={"registry.example": auth("me", "a:b:c")})
    assert find_credentials(file, "registry.example", "app") == Credentials("me", "a:b:c")


def test_an_identity_token_comes_before_a_password(tmp_path: Path) -> None:
    file = write(tmp_path / "auth.json", auths={"registry.example": {**auth("me"), "identitytoken": "token"}})
    assert find_credentials(file, "registry.example", "app") == Credentials("me", identity_token="token")


def test_secrets_are_not_part_of_what_is_printed() -> None:
    assert "secret" not in repr(Credentials("me", "secret", "secret"))


@pytest.mark.parametrize("content", ["{", '{"auths": []}', "[]", "[" * 100_000, "\xff"])
def test_a_file_that_is_none_is_said_with_its_name(home: Path, tmp_path: Path, content: str) -> None:
    (tmp_path / "auth.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(SourceUnreadable, match="is no file of credentials") as caught:
        user(tmp_path / "auth.json")
    assert caught.value.where == str(tmp_path / "auth.json")
    # One that nobody asked for is passed over.
    docker = places(home)["docker"]
    write(docker)
    docker.write_bytes(content.encode("latin-1"))
    assert told(None) == (None, [f"{docker}: is no file of credentials; going on without it"])


def test_a_file_that_may_not_be_read_is_passed_over(home: Path) -> None:
    docker = places(home)["docker"]
    docker.mkdir(parents=True)
    assert told(None) == (None, [f"{docker}: the credentials cannot be read: Is a directory; going on without it"])


@pytest.mark.parametrize(
    "entry",
    [{"auth": "???"}, {"auth": "c2VjcmV0"}, {"auth": "/////w=="}, {"auth": "OnNlY3JldA=="}, {"auth": 1}, "c2Vj"],
)
def test_an_entry_that_is_none_is_said_and_not_repeated(tmp_path: Path, entry: object) -> None:
    file = write(tmp_path / "auth.json", auths={"registry.example/team": entry, "registry.example": auth("me")})
    name, (notice,) = told(file)
    assert name == "me"
    assert notice.startswith(f"{file}: the entry of registry.example/team is no")
    assert notice.endswith("; log in again to mend it; going on without it")
    assert "c2Vj" not in notice
    assert told(file, "other.example") == (None, [])


@pytest.mark.parametrize(
    ("encoded", "username", "password"),
    [
        ("bWU6c2Vj\ncmV0\n", "me", "secret"),
        ("bWU6\r\nc2VjcmV0\r\n", "me", "secret"),
        ("bWU6c2VjcmV0cw==", "me", "secrets"),
        ("bWU6c2VjcmV0cw", "me", "secrets"),
        ("bWU6c2VjcmV0AAA=", "me", "secret"),
        ("bWU6/w==", "me", "\udcff"),
        ("bWU6", "me", ""),
    ],
)
def test_base64_is_read_as_go_reads_it(tmp_path: Path, encoded: str, username: str, password: str) -> None:
    file = write(tmp_path / "auth.json", auths={"registry.example": {"auth": encoded}})
    assert find_credentials(file, "registry.example", "app") == Credentials(username, password)


def test_keys_are_read_in_any_letter_case(tmp_path: Path) -> None:
    file = write(tmp_path / "auth.json", Auths={"registry.example": {"Auth": auth("me")["auth"]}})
    assert user(file) == "me"


def test_a_file_that_was_asked_for_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(SourceUnreadable, match="there is no such file of credentials"):
        user(tmp_path / "absent")
