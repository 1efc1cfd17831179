"""What a filter refuses that looks at arguments, each way in which it can be asked for."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.escaping import LIBC

from builder.sandbox import seccomp

NEEDS = "NOT RUN: needs a kernel with seccomp"
needs_kernel = pytest.mark.skipif(not seccomp.is_there(), reason=NEEDS)

OPENAT = {"x86_64": 257, "aarch64": 56}[platform.machine()]
HERE = -100  # AT_FDCWD


def called(number: int, *words: int | bytes) -> None:
    result = LIBC.syscall(ctypes.c_long(number), *(ctypes.c_long(w) if isinstance(w, int) else w for w in words))
    if result < 0:
        raise OSError(ctypes.get_errno(), "")


# Of a path.
MAKING: dict[str, Callable[[bytes], object]] = {
    "set-user-ID": lambda path: os.open(path, os.O_CREAT, 0o4755),
    "set-group-ID": lambda path: os.open(path, os.O_CREAT | os.O_WRONLY, 0o2755),
    "without a name": lambda path: os.open(os.path.dirname(path), os.O_TMPFILE | os.O_WRONLY, 0o4755),
    "mknod": lambda path: os.mknod(path, 0o104755),
    "openat2": lambda path: called(437, HERE, path, struct.pack("3Q", os.O_CREAT | os.O_WRONLY, 0o4755, 0), 24),
}
if platform.machine() == "x86_64":
    MAKING |= {
        "open, by number": lambda path: called(2, path, os.O_CREAT, 0o4755),
        "creat, by number": lambda path: called(85, path, 0o4755),
        "mknod, by number": lambda path: called(133, path, 0o104755, 0),
    }


@needs_kernel
@pytest.mark.parametrize("way", MAKING)
def test_no_file_is_made_that_runs_as_its_owner(tmp_path: Path, way: str) -> None:
    number = errno.ENOSYS if way == "openat2" else errno.EPERM
    with ThreadPoolExecutor(1) as thread:
        # What a thread is refused ends with it.
        thread.submit(seccomp.refuse, seccomp.SET_ID).result()
        with pytest.raises(OSError, match=rf"\[Errno {number}\]"):
            thread.submit(MAKING[way], os.fsencode(tmp_path / "file")).result()
    assert os.listdir(tmp_path) == []


@needs_kernel
def test_other_files_are_made_and_a_mode_that_nobody_heeds_is_nobodys_business(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with ThreadPoolExecutor(1) as thread:
        thread.submit(seccomp.refuse, seccomp.SET_ID).result()
        os.close(thread.submit(os.open, path, os.O_CREAT | os.O_WRONLY, 0o1777).result())
        # As C libraries call it for a file that is there: what they leave in the fourth register is anything.
        thread.submit(called, OPENAT, HERE, os.fsencode(path), os.O_RDONLY, 0o6755).result()
