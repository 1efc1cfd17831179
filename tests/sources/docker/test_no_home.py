"""Who has no home, or none that may be written: nothing is kept, which is said, and nothing is called `~`."""

from __future__ import annotations

import json
import pwd
from pathlib import Path

import pytest
from support.odd import MADE, reads
from support.raw import RawRegistry
from support.users import open_to_users, run_as_user

from builder.errors import InvalidReference, StoreDenied
from builder.sources.access import Access
from builder.store import open_store


@pytest.fixture
def homeless(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current directory, and no home."""

    def unknown(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.delenv("HOME")
    place = tmp_path / "here"
    place.mkdir()
    monkeypatch.chdir(place)
    return place


def test_without_a_home_nothing_is_kept_and_that_is_said(raw: RawRegistry, homeless: Path) -> None:
    notice = "nothing is kept for the next build: this user has no home directory; name a place with --store"
    assert reads(raw, Access()) == [notice]
    assert list(homeless.iterdir()) == []


def test_without_a_home_a_store_that_is_wanted_is_refused(homeless: Path) -> None:
    with pytest.raises(StoreDenied, match="this user has no home directory; name a place with --store"):
        open_store()
    with pytest.raises(StoreDenied, match="names a home directory that there is not"):
        open_store("~/store")
    with pytest.raises(InvalidReference, match="names a home directory that there is not"):
        open_store("osfs://~/store")
    assert list(homeless.iterdir()) == []


def test_a_tilde_that_no_shell_has_seen_is_the_home(home: Path, raw: RawRegistry) -> None:
    assert reads(raw, Access("~/kept")) == []
    assert (home / "kept" / "images").is_dir()


_READ = """
import json, os
os.chdir(sys.argv[1])
heard = []
found = read_image(sys.argv[2], Access(), Means(listen=listen_to(heard)))
print(json.dumps([found, heard, sorted(os.listdir("."))]))
"""
_IMPORTS = """
import os, pwd
import builder.sources.docker.source
from support.remote import listen_to, read_image
from builder.sources.access import Access, Means
os.setgroups([]); os.setresgid(12345, 12345, 12345); os.setresuid(12345, 12345, 12345)
os.environ.update({environment})
"""


@pytest.mark.root
@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({}, "this user has no home directory"),
        ({"HOME": "/"}, "this user may not write /"),
        ({"HOME": "/nonexistent"}, "this user may not write /"),
    ],
)
def test_an_unknown_user_reads_an_image(
    raw: RawRegistry, tmp_path: Path, environment: dict[str, str], reason: str
) -> None:
    """As under OpenShift, in CI's containers and for `docker run --user 12345`."""
    here = tmp_path / "here"
    here.mkdir()
    here.chmod(0o777)
    imports = _IMPORTS.replace("{environment}", repr({**environment, "CONTAINERS_REGISTRIES_CONF": "/dev/null"}))
    said = run_as_user(imports, _READ, open_to_users(here), f"docker://{raw.host}/image")
    notice = f"nothing is kept for the next build: {reason}; name a place with --store"
    assert json.loads(said) == [list(MADE.layers), [notice], []]
