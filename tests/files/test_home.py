"""Where the user's home is, and that nobody is given one called `~`."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from builder.files.home import config_directories, expand_home, home_directory


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user whom the system does not know, as in a container that runs under some number."""

    def unknown(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)


@pytest.mark.usefixtures("nobody")
@pytest.mark.parametrize("home", [None, "", "relative", "~"])
def test_who_has_no_home_has_none(monkeypatch: pytest.MonkeyPatch, home: str | None) -> None:
    if home is not None:
        monkeypatch.setenv("HOME", home)
    assert home_directory() is None
    assert config_directories() == []
    assert [expand_home(path) for path in ("~", "~/x", "/x", "x/~")] == [None, None, "/x", "x/~"]


@pytest.mark.parametrize("home", [None, ""])
def test_the_system_knows_the_home_of_who_says_none(monkeypatch: pytest.MonkeyPatch, home: str | None) -> None:
    monkeypatch.delenv("HOME", raising=False)
    if home is not None:
        monkeypatch.setenv("HOME", home)
    assert home_directory() == Path(pwd.getpwuid(os.getuid()).pw_dir)


def test_a_tilde_is_the_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    assert [expand_home(path) for path in ("~", "~/x")] == ["/home/me", "/home/me/x"]
    assert expand_home("~root/x") == f"{pwd.getpwnam('root').pw_dir}/x"
    assert expand_home("~nobody-of-this-name/x") is None
    assert config_directories() == [Path("/home/me/.config")]
