"""Trees of any depth and mode are removed, and only they."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from support.users import open_to_users, run_as_user

from builder.errors import OutputError
from builder.files.removal import empty_directory, remove_tree

IMPORTS = "import os\nfrom pathlib import Path\nfrom builder.files.removal import remove_tree"


def test_everything_below_goes_and_nothing_else(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("mine")
    tree = tmp_path / "tree"
    (tree / "a/b").mkdir(parents=True)
    (tree / "a/b/file").write_text("x")
    (tree / "a/to-directory").symlink_to(outside)
    (tree / "to-file").symlink_to(outside / "kept")
    os.link(outside / "kept", tree / "hardlink")
    os.mkfifo(tree / "fifo")
    (tree / os.fsdecode(b"\xff\n")).write_text("x")
    remove_tree(tree)
    assert sorted(os.listdir(tmp_path)) == ["outside"]
    assert (outside / "kept").read_text() == "mine"


def test_an_open_directory_is_emptied_wherever_its_reading_stands(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).touch()
    fd = os.open(tmp_path, os.O_RDONLY)
    # All names have been read, though one is taken; and on btrfs what comes now is not among those that will be.
    with os.scandir(fd) as names:
        next(names)
        (tmp_path / "c").touch()
        empty_directory(fd)
    os.close(fd)
    assert os.listdir(tmp_path) == []


def test_what_is_not_there_needs_no_removal(tmp_path: Path) -> None:
    remove_tree(tmp_path / "none")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("kind", ["file", "symlink"])
def test_a_single_file_or_symlink_is_removed_itself(tmp_path: Path, kind: str) -> None:
    (tmp_path / "kept").mkdir()
    if kind == "file":
        (tmp_path / "x").write_text("x")
    else:
        (tmp_path / "x").symlink_to("kept")
    remove_tree(tmp_path / "x")
    assert os.listdir(tmp_path) == ["kept"]


def test_depth_does_not_matter(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    for name in ["tree"] + ["n" * 200] * 1500:
        os.mkdir(name, dir_fd=fd)
        below = os.open(name, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)
    remove_tree(tmp_path / "tree")
    assert os.listdir(tmp_path) == []


CLOSED = """
top = Path(sys.argv[1], "tree")
(top / "a/b").mkdir(parents=True)
(top / "a/b/file").write_text("x")
for path, mode in ((top / "a/b", 0o000), (top / "a", 0o400), (top, 0o100)):
    path.chmod(mode)
remove_tree(top)
assert not top.exists()
"""


def test_closed_directories_of_ones_own_are_opened(tmp_path: Path) -> None:
    open_to_users(tmp_path).chmod(0o777)
    run_as_user(IMPORTS, CLOSED, tmp_path)
    assert os.listdir(tmp_path) == []


@pytest.mark.root
def test_what_is_somebody_elses_is_reported(tmp_path: Path) -> None:
    (open_to_users(tmp_path) / "tree").mkdir()
    (tmp_path / "tree/file").write_text("x")
    code = (
        "try:\n    remove_tree(Path(sys.argv[1]))\nexcept Exception as error:\n    print(type(error).__name__, error)"
    )
    said = run_as_user(IMPORTS, code, tmp_path / "tree")
    assert said == f"OutputError {tmp_path}/tree: cannot remove 'file': Permission denied\n"
    assert (tmp_path / "tree/file").read_text() == "x"


@pytest.mark.root
def test_a_mounted_file_system_is_not_emptied(tmp_path: Path) -> None:
    mountpoint = tmp_path / "tree/mounted"
    mountpoint.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", mountpoint], check=True)
    try:
        (mountpoint / "kept").write_text("mine")
        with pytest.raises(OutputError, match="cannot remove 'mounted': another file system is mounted there"):
            remove_tree(tmp_path / "tree")
        assert (mountpoint / "kept").read_text() == "mine"
    finally:
        subprocess.run(["umount", mountpoint], check=True)
