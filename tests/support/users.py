"""Code run in a process of its own as an ordinary user, whoever runs the tests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

# Nobody: owns nothing, and is in no group that matters.
ORDINARY = 65534

_DROP = f"""
import os
if os.geteuid() == 0:
    os.setgroups([])
    os.setresgid({ORDINARY}, {ORDINARY}, {ORDINARY})
    os.setresuid({ORDINARY}, {ORDINARY}, {ORDINARY})
"""


def ids() -> tuple[int, int]:
    """The uid and gid that `run_as_user` runs with."""
    return (ORDINARY, ORDINARY) if os.geteuid() == 0 else (os.geteuid(), os.getegid())


def run_as_user(imports: str, code: str, *arguments: str | Path) -> str:
    """Run `imports` (as whoever may read them), then `code` as an ordinary user; return what it prints.

    `code` finds `arguments` in `sys.argv[1:]`.
    """
    ran = subprocess.run(
        [sys.executable, "-c", f"import sys\n{imports}\n{_DROP}\n{code}", *map(str, arguments)],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def open_to_users(path: Path) -> Path:
    """Let everybody reach `path`, a directory below the temporary directory, and return it."""
    for directory in (path, *path.parents):
        status = directory.stat()
        if status.st_uid == os.geteuid() and status.st_mode & 0o011 != 0o011:
            directory.chmod(status.st_mode | 0o011)
    return path
