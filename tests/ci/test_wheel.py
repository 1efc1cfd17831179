"""What is in the wheel and in the source distribution; ci/test-wheel installs and runs them."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest
from oldest import oldest
from programs import environment

from builder.version import VERSION

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NAME = f"rootfs_builder-{VERSION}"


def build(target: str, folder: Path, **environment: str) -> Path:
    argv = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)]
    subprocess.run(argv, cwd=ROOT, env={**os.environ, **environment}, check=True, capture_output=True)
    (made,) = folder.iterdir()
    return made


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        return Parser().parsestr(archive.read(f"{NAME}.dist-info/METADATA").decode())


@pytest.mark.heavy
def test_the_wheel_holds_the_package_its_licence_and_a_manual_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    package = {str(path.relative_to(ROOT)) for path in (ROOT / "builder").rglob("*") if path.is_file()}
    # A record of what init was compiled from is for the next compilation only.
    package = {name for name in package if not name.endswith((".pyc", "/made-of"))}
    assert {"builder/LICENSE", "builder/py.typed"} <= package
    manual = {name for name in names if name.startswith(f"{NAME}.data/data/share/man/man1/")}
    assert f"{NAME}.data/data/share/man/man1/rootfs-builder-store-pull.1" in manual
    records = ("METADATA", "WHEEL", "RECORD", "licenses/builder/LICENSE")
    command = f"{NAME}.data/scripts/rootfs-builder"
    assert names - package - manual == {command, *(f"{NAME}.dist-info/{record}" for record in records)}
    assert package - names == set()


def test_the_metadata_say_what_the_project_file_says(metadata: Message) -> None:
    assert metadata["Name"] == "rootfs-builder"
    assert metadata["Requires-Python"] == ">=3.11"
    assert (metadata["License-Expression"], metadata.get_all("License-File")) == ("Apache-2.0", ["builder/LICENSE"])
    assert metadata["Description-Content-Type"] == "text/markdown"
    needed = [each for each in metadata.get_all("Requires-Dist", []) if "extra ==" not in each]
    assert len(needed) == len(PROJECT["dependencies"])
    assert [each for each in needed if each.startswith("setuptools")] == []


def test_the_licence_is_the_whole_text() -> None:
    text = (ROOT / "builder" / "LICENSE").read_text()
    assert text.lstrip().startswith("Apache License\n")
    assert "END OF TERMS AND CONDITIONS" in text


@pytest.mark.heavy
def test_the_same_sources_make_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    assert build("wheel", tmp_path, TZ="Asia/Kathmandu", HOME="/").read_bytes() == wheel.read_bytes()


@pytest.mark.heavy
def test_the_source_distribution_holds_what_it_takes_to_build_and_to_test(tmp_path: Path) -> None:
    with tarfile.open(build("sdist", tmp_path)) as archive:
        names = {name.removeprefix(f"{NAME}/") for name in archive.getnames()}
    wanted = [path for part in ("builder", "tests", "fixtures", "ci") for path in (ROOT / part).rglob("*")]
    # What is compiled is compiled anew where the package is built.
    made = {"__pycache__", "programs"}
    wanted = [path for path in wanted if path.is_file() and made.isdisjoint(path.parts)]
    wanted += [ROOT / "pyproject.toml", ROOT / "README.md"]
    assert [path for path in wanted if str(path.relative_to(ROOT)) not in names] == []


def test_the_oldest_versions_are_the_lower_bounds() -> None:
    assert oldest("msgspec>=0.19,<1") == "msgspec==0.19"
    with pytest.raises(ValueError, match=r"pyproject\.toml: click<9 has no lower bound"):
        oldest("click<9")
    assert len([oldest(each) for each in PROJECT["dependencies"]]) == len(PROJECT["dependencies"])


@pytest.mark.parametrize("home", [None, "/proc/home"])
def test_the_compiler_of_init_has_a_place_also_where_its_user_has_no_home(
    monkeypatch: pytest.MonkeyPatch, home: str | None
) -> None:
    for name in ("HOME", "XDG_CACHE_HOME", "ZIG_GLOBAL_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    if home is not None:
        monkeypatch.setenv("HOME", home)
    with environment() as settings:
        assert Path(settings["ZIG_GLOBAL_CACHE_DIR"]).is_dir()


def test_the_compiler_of_init_keeps_the_libc_where_its_user_keeps_what_can_be_made_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("ZIG_GLOBAL_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with environment() as settings:
        assert "ZIG_GLOBAL_CACHE_DIR" not in settings
    assert (tmp_path / "zig").is_dir()
