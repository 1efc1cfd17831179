"""Where credentials are looked for, and which of several are meant (containers-auth.json(5))."""

from __future__ import annotations

import json
from base64 import b64encode
from contextlib import suppress
from pathlib import Path

import pytest

from builder.errors import SourceUnreadable, ToolMissing
from builder.registry.credentials import Credentials, find_credentials


def auth(user: str, password: str = "secret") -> dict[str, str]:
    return {"auth": b64encode(f"{user}:{password}".encode()).decode()}


def write(path: Path, **content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def user(authfile: Path | None, host: str = "registry.example", path: str = "team/app") -> str | None:
    found = find_credentials(authfile, host, path)
    return None if found is None else found.username


@pytest.fixture(autouse=True)
def _home(home: Path) -> Path:
    return home


def places(home: Path) -> dict[str, Path]:
    return {
        "runtime": home / "run" / "containers" / "auth.json",
        "config": home / ".config" / "containers" / "auth.json",
        "docker": home / ".docker" / "config.json",
    }


def test_without_any_file_there_are_none() -> None:
    assert user(None) is None


def test_files_are_looked_into_in_podmans_order(home: Path) -> None:
    for name, path in reversed(places(home).items()):
        write(path, auths={"registry.example": auth(name)})
        assert user(None) == name


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
        ("https://registry.example/v2/", "registry.example"),
        ("http://registry.example", "registry.example"),
    ],
)
def test_keys_of_older_versions_are_understood(tmp_path: Path, key: str, host: str) -> None:
    assert user(write(tmp_path / "auth.json", auths={key: auth("me")}), host) == "me"


def test_passwords_may_hold_colons(tmp_path: Path) -> None:
    file = write(tmp_path / "auth.json", auths={"registry.example": auth("me", "a:b:c")})
    assert find_credentials(file, "registry.example", "app") == Credentials("me", "a:b:c")


def test_identity_tokens(tmp_path: Path) -> None:
    file = write(tmp_path / "auth.json", auths={"registry.example": {**auth("me"), "identitytoken": "token"}})
    assert find_credentials(file, "registry.example", "app") == Credentials("me", identity_token="token")


def test_secrets_are_not_part_of_what_is_printed() -> None:
    assert "secret" not in repr(Credentials("me", "secret", "secret"))


@pytest.mark.parametrize("content", ["{", '{"auths": []}', '{"auths": {"registry.example": {"auth": 1}}}', "[]"])
def test_a_file_that_is_none_is_said_with_its_name(tmp_path: Path, content: str) -> None:
    (tmp_path / "auth.json").write_text(content)
    with pytest.raises(SourceUnreadable, match="is no file of credentials") as caught:
        user(tmp_path / "auth.json")
    assert caught.value.where == str(tmp_path / "auth.json")


@pytest.mark.parametrize("encoded", ["???", "c2VjcmV0", "/////w=="])
def test_a_secret_that_is_no_base64_is_refused_and_not_repeated(tmp_path: Path, encoded: str) -> None:
    file = write(tmp_path / "auth.json", auths={"registry.example": {"auth": encoded}})
    with pytest.raises(SourceUnreadable, match="not base64 of user:password") as caught:
        user(file)
    assert encoded not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_file_that_was_asked_for_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(SourceUnreadable, match="there is no such file of credentials"):
        user(tmp_path / "absent")


def helper(home: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> Path:
    """Install docker-credential-test; it notes what it is asked."""
    program = home / "bin" / "docker-credential-test"
    program.parent.mkdir(exist_ok=True)
    program.write_text(f'#!/bin/sh\necho "$1 $(cat) $MARK" >>"{home}/asked"\n{script}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    monkeypatch.setenv("MARK", "marked")
    return home / "asked"


ANSWER = """echo '{"ServerURL":"x","Username":"%s","Secret":"hidden"}'"""


@pytest.mark.parametrize(
    ("host", "server"), [("registry.example", "registry.example"), ("docker.io", "https://index.docker.io/v1/")]
)
def test_helpers_are_asked_for_their_registry_in_the_users_environment(
    home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, host: str, server: str
) -> None:
    asked = helper(home, monkeypatch, ANSWER % "me")
    file = write(tmp_path / "auth.json", credHelpers={host: "test"}, auths={host: auth("not me")})
    assert find_credentials(file, host, "app") == Credentials("me", "hidden")
    assert asked.read_text() == f"get {server} marked\n"
    assert user(file, "other.example") is None


def test_a_store_of_credentials_is_asked_for_what_the_file_has_not(
    home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    helper(home, monkeypatch, ANSWER % "kept")
    file = write(tmp_path / "auth.json", credsStore="test", auths={"registry.example": {}, "b.example": auth("b")})
    assert user(file) == "kept"
    assert user(file, "b.example") == "b"


def test_a_helper_may_give_an_identity_token(home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    helper(home, monkeypatch, ANSWER % "<token>")
    file = write(tmp_path / "auth.json", credsStore="test")
    assert find_credentials(file, "registry.example", "app") == Credentials("", identity_token="hidden")


def test_a_helper_that_has_none_is_no_failure(home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    helper(home, monkeypatch, "echo credentials not found in native keychain; exit 1")
    assert user(write(tmp_path / "auth.json", credsStore="test")) is None


@pytest.mark.parametrize(
    "script",
    [
        "echo hidden; exit 1",
        "echo hidden",
        """echo '{"Username":"hidden"}'""",
        r"""printf '{"Username":"hidden\377"}'""",
    ],
)
def test_a_helper_that_fails_is_named_and_its_words_are_not_repeated(
    home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str
) -> None:
    helper(home, monkeypatch, script)
    with pytest.raises(SourceUnreadable) as caught:
        user(write(tmp_path / "auth.json", credsStore="test"))
    assert caught.value.where == "docker-credential-test"
    assert "hidden" not in f"{caught.value} {caught.value.__cause__} {caught.value.__context__}"


@pytest.mark.parametrize("path", [":/usr/bin", "./:/usr/bin"])
def test_no_helper_is_taken_from_the_current_directory(
    home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, path: str
) -> None:
    asked = helper(home, monkeypatch, ANSWER % "me")
    monkeypatch.chdir(home / "bin")
    monkeypatch.setenv("PATH", path)
    with suppress(ToolMissing):
        user(write(tmp_path / "auth.json", credsStore="test"))
    assert not asked.exists()


def test_an_empty_name_stands_for_no_helper(tmp_path: Path) -> None:
    """As in Docker: it exempts a registry from the store of credentials."""
    file = write(tmp_path / "auth.json", credHelpers={"registry.example": ""}, auths={"registry.example": auth("me")})
    assert user(file) == "me"


def test_an_entry_that_is_null_is_none(tmp_path: Path) -> None:
    file = write(tmp_path / "auth.json", auths={"other.example": None, "registry.example": auth("me")})
    assert user(file) == "me"
    assert user(file, "other.example") is None


def test_a_helper_that_is_not_installed_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ToolMissing) as caught:
        user(write(tmp_path / "auth.json", credsStore="absent"))
    assert caught.value.tool == "docker-credential-absent"
    assert caught.value.exit_status == 4


@pytest.mark.parametrize("name", ["../x", "a/b", "-x", "a b", "x;y"])
def test_a_helpers_name_is_a_name(tmp_path: Path, name: str) -> None:
    file = write(tmp_path / "auth.json", credHelpers={"registry.example": name})
    with pytest.raises(SourceUnreadable, match="is no name of a program"):
        user(file)
