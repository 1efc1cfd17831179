"""What repetitions of the tests leave out is there, and touches nothing that differs from user to user."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from itertools import accumulate
from pathlib import Path

import pytest
from support.repeated import LIBRARIES, LOGIC, TESTS

# Owners, modes and special files; and what needs root, or is about who runs it.
OF_USERS = {
    *("chmod", "chown", "lchown", "fchmod", "fchown", "umask", "mkfifo", "mknod", "setxattr", "getxattr", "os.access"),
    *("geteuid", "getuid", "getegid", "getgid", "setuid", "seteuid", "setgid", "setgroups"),
    *("support.users", "support.mounts"),
}
# Programs of the release, and our own command and its actions, which run them.
OF_RELEASES = {
    *("subprocess", "builder.tool", "support.command", "support.disks"),
    *("builder.build", "builder.actions", "builder.disk.ext4.pack", "builder.disk.erofs.pack"),
}
# They start this very Python, or what a CI service would.
ALL_THE_SAME = (
    "artifact/test_pack.py",
    "ci/test_cost.py",
    "ci/test_fuzz.py",
    "ci/test_mutants.py",
    "ci/test_pipelines.py",
    "ci/test_wheel.py",
    "test_repeated.py",
    "test_structure.py",
)


def files(name: str) -> list[Path]:
    path = TESTS / name
    return [path] if path.is_file() else sorted(path.rglob("test_*.py"))


@cache
def named(path: Path) -> set[str]:
    """Every name, attribute and module that a file has, `os.access` as `access` too, and what is above a module."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Import():
                found.update(alias.name for alias in node.names)
            case ast.ImportFrom():
                found.update(f"{node.module}.{alias.name}" for alias in node.names)
            case ast.Attribute():
                found |= {node.attr, ast.unparse(node)}
    return found | {above for name in found for above in accumulate(name.split("."), "{}.{}".format)}


def test_what_is_left_out_touches_nothing_of_users() -> None:
    paths = {name: files(name) for name in (*LOGIC, *LIBRARIES)}
    assert [name for name, found in paths.items() if not found] == []
    of_users = {path: named(path) & OF_USERS for found in paths.values() for path in found}
    assert {str(path): found for path, found in of_users.items() if found} == {}


def test_what_is_left_out_on_another_release_runs_none_of_its_programs() -> None:
    paths = [path for name in LOGIC if name not in ALL_THE_SAME for path in files(name)]
    assert {str(path): found for path in paths if (found := named(path) & OF_RELEASES)} == {}


@pytest.mark.heavy
def test_everything_else_is_run_again() -> None:
    def collected(*words: str) -> set[str]:
        argv = [sys.executable, "-m", "pytest", "-q", "--collect-only", "-p", "no:cacheprovider", *words]
        places = [TESTS / "tree/test_tree.py", TESTS / "archive/test_index.py", TESTS / "archive/test_programs.py"]
        done = subprocess.run([*argv, *places], check=True, capture_output=True, text=True)
        return {line.partition("::")[0] for line in done.stdout.splitlines() if "::" in line}

    assert collected("--repeated", "user") == {"tests/archive/test_programs.py"}
    assert collected("--repeated", "release") == {"tests/archive/test_programs.py", "tests/archive/test_index.py"}
