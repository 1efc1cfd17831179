"""Another process that holds a lock, as podman's programs hold theirs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

# containers/storage, internal/rawfilelock: F_SETLKW with F_RDLCK or F_WRLCK on the whole file.
HOLD = """
import fcntl, sys
file = open(sys.argv[1], "r+")
fcntl.lockf(file, int(sys.argv[2]))
print("held", flush=True)
input()
"""


def hold(path: Path, kind: int) -> subprocess.Popen[str]:
    argv = [sys.executable, "-c", HOLD, str(path), str(kind)]
    other = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    assert other.stdout.readline() == "held\n"
    return other


def release(other: subprocess.Popen[str]) -> None:
    other.communicate("\n")
