"""Credential helpers: who is asked, for what, and what is made of every way to have nothing."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.command import run
from support.logins import auth, places, told, user, write
from support.odd import MADE, wants_token
from support.raw import RawRegistry, answer
from support.remote import listen_to, read_image

from builder.registry.credentials import Credentials, find_credentials, starts_and_writes_nothing
from builder.sandbox import seccomp
from builder.sources.access import Access, Means


@pytest.fixture(autouse=True)
def _home(home: Path) -> Path:
    return home


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


def test_a_helper_may_leave_an_agent_that_holds_its_streams_open(
    home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("builder.registry.helper._PATIENCE", 5)
    helper(home, monkeypatch, f"sleep 300 &\necho $! >{home}/agent\n{ANSWER % 'kept'}")
    try:
        assert user(write(tmp_path / "auth.json", credsStore="test")) == "kept"
    finally:
        os.kill(int((home / "agent").read_text()), signal.SIGKILL)


def test_a_helper_may_give_an_identity_token(home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    helper(home, monkeypatch, ANSWER % "<token>")
    file = write(tmp_path / "auth.json", credsStore="test")
    assert find_credentials(file, "registry.example", "app") == Credentials("", identity_token="hidden")


@pytest.mark.parametrize(
    "script",
    [
        "echo credentials not found in native keychain; exit 1",
        "echo Credentials Not Found >&2; exit 3",
        "echo The specified item could not be found in the keychain.; exit 1",
        "echo no credentials server URL; exit 1",
        "exit 0",
        "echo {}",
        """echo '{"ServerURL":"x","Username":"","Secret":""}'""",
    ],
)
def test_a_helper_that_has_none_is_no_failure(
    home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str
) -> None:
    helper(home, monkeypatch, script)
    notice = "docker-credential-test: has no credentials for registry.example; going on without it"
    assert told(write(tmp_path / "auth.json", credsStore="test")) == (None, [notice])


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("echo hidden; exit 1", "failed with status 1 for registry.example; try it: docker-credential-test get"),
        ("echo pass: command not found >&2; exit 127", "failed with status 127 for registry.example"),
        ("echo hidden", "gave an answer for registry.example that is none"),
        ("echo '[1]'", "gave an answer for registry.example that is none"),
        (r"""printf '{"Username":"hidden\377"}'""", "gave an answer for registry.example that is none"),
    ],
)
def test_a_helper_that_fails_is_named_and_the_next_place_is_asked(
    home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str, says: str
) -> None:
    helper(home, monkeypatch, script)
    file = write(
        tmp_path / "auth.json", credHelpers={"registry.example": "test"}, auths={"registry.example": auth("me")}
    )
    name, (notice,) = told(file)
    assert name == "me"
    assert notice.startswith(f"docker-credential-test: {says}")
    assert "hidden" not in notice


@pytest.mark.skipif(not seccomp.is_there(), reason="NOT RUN: needs a kernel with seccomp")
def test_a_helper_whose_answer_no_memory_may_hold_is_not_asked(
    home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As where a container's filter does not know memfd_create: a disk is no place for secrets."""
    helper(home, monkeypatch, "echo hidden")
    file = write(tmp_path / "auth.json", credsStore="test")
    with ThreadPoolExecutor(1) as thread:
        thread.submit(seccomp.refuse, {"memfd_create": (319, 279)}).result()
        name, (notice,) = thread.submit(told, file).result()
    why = "docker-credential-test: its answer cannot be kept in memory: Operation not permitted; going on without it"
    assert (name, notice) == (None, why)


def test_a_helper_is_asked_for_docker_hub_as_docker_and_as_podman_does(
    home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    only_podman = f'tail -1 "{home}/asked" | grep -q "get docker.io" || exit 1; {ANSWER % "me"}'
    asked = helper(home, monkeypatch, only_podman)
    assert told(write(tmp_path / "auth.json", credHelpers={"docker.io": "test"}), "docker.io") == ("me", [])
    assert asked.read_text() == "get https://index.docker.io/v1/ marked\nget docker.io marked\n"


def test_each_file_has_its_own_helpers(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helper(home, monkeypatch, ANSWER % "kept")
    write(places(home)["runtime"], credHelpers={"other.example": "test"})
    write(places(home)["config"], credsStore="absent")
    write(places(home)["docker"], credsStore="test")
    assert told(None, "other.example") == ("kept", [])
    notice = "docker-credential-absent: is not installed; going on without it"
    assert told(None) == ("kept", [notice])


def test_the_helpers_of_registries_conf_are_asked_in_its_order_and_the_files_where_they_come(
    home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As podman does, whose log-in puts a password there, too; of a file that was named no helper knows better."""
    only_one = f"grep -q a.example {home}/asked || exit 0\n{ANSWER % 'helper'}"
    asked = helper(home, monkeypatch, only_one)
    write(places(home)["runtime"], auths={"a.example": auth("file"), "b.example": auth("file")})

    def found(host: str, *helpers: str, authfile: Path | None = None) -> str | None:
        known = find_credentials(authfile, host, "app", helpers=helpers)
        return None if known is None else known.username

    files = "containers-auth.json"
    assert [found("b.example", "test", files), found("b.example", "test")] == ["file", None]
    assert [found("a.example", "test", files), found("a.example", files, "test")] == ["helper", "file"]
    asked.unlink()
    given = write(tmp_path / "auth.json", auths={"a.example": auth("given")})
    assert [found("a.example", "test", authfile=given), found("b.example", "test", authfile=given)] == ["given", None]
    assert not asked.exists()


def test_who_fetches_may_start_programs_only_where_one_might_be_asked(home: Path, tmp_path: Path) -> None:
    write(places(home)["runtime"], auths={"a.example": auth("file")})
    given = write(tmp_path / "auth.json", auths={"a.example": auth("given")})
    files = "containers-auth.json"
    assert all(starts_and_writes_nothing(None, helpers) for helpers in ((), (files,)))
    assert not any(starts_and_writes_nothing(None, helpers) for helpers in (("test",), (files, "test")))
    assert starts_and_writes_nothing(given, ("test",))
    write(places(home)["runtime"], credsStore="test")
    assert not starts_and_writes_nothing(None, (files,))


@pytest.mark.heavy
def test_the_process_that_fetches_asks_the_helpers_of_registries_conf(
    raw: RawRegistry, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And is left what it takes to start one."""
    asked = helper(home, monkeypatch, ANSWER % "me")
    (home / "registries.conf").write_text('credential-helpers = ["test"]\n')
    ordinary, wanted = raw.ordinary, auth("me", "hidden")["auth"].encode()
    refusal = answer(401, b"", 'WWW-Authenticate: Basic realm="x"')
    raw.odd["/v2/"] = lambda line: ordinary(line) if wanted in raw.heads[-1] else [refusal]
    environment = {**os.environ, "CONTAINERS_REGISTRIES_CONF": str(home / "registries.conf")}
    ran = run("-q", "inspect", f"docker://{raw.host}/image", "--platform", "linux/s390x", **environment)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert asked.read_text() == f"get {raw.host} marked\n"


def test_an_empty_name_stands_for_no_helper(tmp_path: Path) -> None:
    """As in Docker: it exempts a registry from the store of credentials."""
    file = write(tmp_path / "auth.json", credHelpers={"registry.example": ""}, auths={"registry.example": auth("me")})
    assert user(file) == "me"


def test_an_entry_that_is_null_is_none(tmp_path: Path) -> None:
    file = write(tmp_path / "auth.json", auths={"other.example": None, "registry.example": auth("me")})
    assert user(file) == "me"
    assert user(file, "other.example") is None


@pytest.mark.parametrize("path", [":/usr/bin", "./:/usr/bin"])
def test_a_helper_of_the_current_directory_is_none(
    home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, path: str
) -> None:
    asked = helper(home, monkeypatch, ANSWER % "me")
    monkeypatch.chdir(home / "bin")
    monkeypatch.setenv("PATH", path)
    notice = "docker-credential-test: is not installed; going on without it"
    assert told(write(tmp_path / "auth.json", credsStore="test")) == (None, [notice])
    assert not asked.exists()


@pytest.mark.parametrize("name", ["../x", "a/b", "-x", "a b", "x;y"])
def test_a_helpers_name_is_a_name(tmp_path: Path, name: str) -> None:
    file = write(tmp_path / "auth.json", credHelpers={"registry.example": name})
    notice = f"credential helper '{name}': is no name of a program docker-credential-NAME; going on without it"
    assert told(file) == (None, [notice])


def test_an_image_that_wants_no_password_is_read_without_the_helper_that_is_missing(
    raw: RawRegistry, home: Path
) -> None:
    """Docker Desktop's settings, copied to a machine that has no Docker Desktop."""
    write(home / ".docker" / "config.json", credsStore="desktop.exe")
    wants_token(raw, "t")
    heard: list[str] = []
    read = read_image(f"docker://{raw.host}/image", Access(keep=False), Means(listen=listen_to(heard)))
    assert read == list(MADE.layers)
    assert heard == ["docker-credential-desktop.exe: is not installed; going on without it"]
