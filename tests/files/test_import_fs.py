"""PyFilesystem works with any setuptools and with none, and finds the openers that other packages bring."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support.images import Spec, layout_zip
from support.tars import file, tar

ROOT = Path(__file__).parents[2]
OPEN = "open_pyfilesystem({url!r}).open('index.json').read(1)"

# Each is run before PyFilesystem is imported: what `import pkg_resources` gives.
SETUPTOOLS = {
    "none": "sys.modules['pkg_resources'] = None",
    "its own": "import types; sys.modules['pkg_resources'] = types.ModuleType('real')",
    "not imported yet": "",
}


def run_python(*lines: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run Python with what it warns of on the screen, and `path` before all else to import from."""
    code = "\n".join(["import sys", "from builder.files.pyfilesystem import open_pyfilesystem", *lines])
    places = [str(ROOT), *([str(path)] if path else [])]
    environment = {"PYTHONPATH": ":".join(places)}
    argv = [sys.executable, "-W", "always", "-c", code]
    return subprocess.run(argv, env=environment, cwd="/", capture_output=True, text=True)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("zip") / "layout.zip"
    layout_zip(path, Spec((tar(file("content", b"content")),)))
    return f"zip://{path}"


@pytest.mark.parametrize("before", SETUPTOOLS.values(), ids=SETUPTOOLS)
def test_urls_open_whatever_setuptools_there_is_and_it_stays_as_it_was(url: str, before: str) -> None:
    ran = run_python(
        before,
        "was = sys.modules.get('pkg_resources', 'absent')",
        f"print({OPEN.format(url=url)})",
        "print(sys.modules.get('pkg_resources', 'absent') is was)",
    )
    assert (ran.stdout, ran.stderr) == ("b'{'\nTrue\n", "")


def opener(place: Path, imports: str = "") -> None:
    """Install, as pip would, a package that adds `fs.elsewhere` and its opener."""
    (place / "fs").mkdir()
    (place / "fs" / "elsewhere.py").write_text(
        "from fs.memoryfs import MemoryFS\n"
        "from fs.opener import Opener\n"
        "class ElsewhereOpener(Opener):\n"
        "    protocols = ['elsewhere']\n"
        "    def open_fs(self, *arguments):\n"
        f"        {imports or 'pass'}\n"
        "        filesystem = MemoryFS()\n"
        "        filesystem.writetext('index.json', 'elsewhere')\n"
        "        return filesystem\n"
    )
    information = place / "fs_elsewhere-1.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: fs-elsewhere\nVersion: 1\n")
    (information / "entry_points.txt").write_text("[fs.opener]\nelsewhere = fs.elsewhere:ElsewhereOpener\n")


def test_openers_of_other_packages_are_found_also_where_they_are_installed_into_fs(tmp_path: Path) -> None:
    opener(tmp_path)
    ran = run_python(
        SETUPTOOLS["none"],
        f"print({OPEN.format(url='elsewhere://')})",
        "from fs.opener import registry",
        "print('elsewhere' in registry.protocols, 'zip' in registry.protocols)",
        path=tmp_path,
    )
    assert (ran.stdout, ran.stderr) == ("b'e'\nTrue True\n", "")


def test_an_opener_that_lacks_what_it_imports_is_a_missing_requirement(tmp_path: Path) -> None:
    opener(tmp_path, "import nothing_of_that_name")
    ran = run_python(
        "from builder.errors import MissingRequirement",
        "from builder.store.rooms.pyfilesystem import open_room",
        "for act in (open_pyfilesystem, lambda url: open_room(url, 'below')):",
        "    try: act('elsewhere://')",
        "    except MissingRequirement as error: print(error)",
        path=tmp_path,
    )
    reason = (
        "elsewhere://: its opener cannot be loaded (No module named 'nothing_of_that_name'); install what is missing"
    )
    assert (ran.stdout.splitlines(), ran.stderr) == ([reason, reason], "")


def test_without_pyfilesystem_urls_say_what_to_install() -> None:
    ran = run_python(
        "sys.modules['fs'] = None",
        "from builder.errors import MissingRequirement",
        "try: open_pyfilesystem('mem://')",
        "except MissingRequirement as error: print(str(error).rpartition('; ')[2])",
        "print('pkg_resources' in sys.modules)",
    )
    assert (ran.stdout, ran.stderr) == ("URLs need it: pip install fs\nFalse\n", "")


def test_a_file_that_an_archive_could_not_open_is_closed_in_silence() -> None:
    """Python does so; from 3.13 on it prints what goes wrong there."""
    from fs.iotools import RawWrapper

    unopened = RawWrapper.__new__(RawWrapper)
    unopened.close()
    assert unopened.closed
