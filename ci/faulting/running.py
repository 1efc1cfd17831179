"""Run the command once, among circumstances: a process of its own, and all that it has started, to their end.

Most runs are forked from this process, which has imported the command already; those whose circumstances concern
Python's own start or end are not.
"""

from __future__ import annotations

import ctypes
import os
import resource
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from builder.__main__ import main
from builder.signals import end_on_signals
from faulting import shim

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 900.0  # seconds, on a busy machine; what takes so long never comes
_LEFT_PATIENCE = 20.0
# linux/prctl.h
_SET_DUMPABLE = 4
_SET_CHILD_SUBREAPER = 36
_TEXT = 1 << 20  # how much of what it says is looked at

# What stands in this process's own environment goes to what it starts; all else is said here.
_VARIABLES = ("PATH", "LD_PRELOAD", "FAULTS_PAGE", "FAULTS_UNDER")


@dataclass(frozen=True, slots=True)
class Around:
    """How one run's circumstances differ from those of a machine on which all is well.

    `words` come behind the command's own; `limits` are soft and hard; `streams` are paths of files for descriptors,
    "closed", or "broken" for a pipe that nobody reads; at so many seconds from its start, `then` is called with the
    process's number. `user` runs it. `real`: a process that starts Python anew. `counted`: the preloaded library takes
    part.
    """

    words: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[int, int] = field(default_factory=dict)
    streams: Mapping[int, str] = field(default_factory=dict)
    after: float | None = None
    then: Callable[[int], None] = lambda pid: None
    user: int | None = None
    real: bool = False
    counted: bool = False


WELL = Around()


@dataclass(frozen=True, slots=True)
class Ran:
    """How a run ended: its status, negative for a signal; what it said; what it left running; if it had to be ended."""

    status: int
    stdout: str
    stderr: str
    seconds: float
    left: tuple[str, ...]
    hung: bool


def run(words: Sequence[str], place: Path, around: Around = WELL) -> Ran:
    """Run `rootfs-builder WORDS` in a directory."""
    known = _children()
    outputs = [os.memfd_create(name) for name in ("stdout", "stderr")]
    ready, told = os.pipe()
    begun = time.monotonic()
    pid = os.fork()
    if not pid:
        _become(list(words) + list(around.words), place, around, outputs, told)
    os.close(told)
    os.read(ready, 1)
    os.close(ready)
    try:
        hung = _wait(pid, around)
    except BaseException:
        # Whoever ends the script has ended this, too.
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
        raise
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    seconds = time.monotonic() - begun
    left = _await_children(known)
    said = []
    for fd in outputs:
        said.append(os.pread(fd, _TEXT, 0).decode(errors="backslashreplace"))
        os.close(fd)
    return Ran(status, said[0], said[1], seconds, left, hung)


def _wait(pid: int, around: Around) -> bool:
    """Wait for a process's end, and do what is to be done meanwhile; True if it had to be ended."""
    handle = os.pidfd_open(pid)
    waiting = select.poll()
    waiting.register(handle, select.POLLIN)
    try:
        if around.after is not None and not waiting.poll(around.after * 1000):
            around.then(pid)
        if waiting.poll(PATIENCE * 1000):
            return False
        os.kill(pid, signal.SIGKILL)
        return True
    finally:
        os.close(handle)


def _become(words: list[str], place: Path, around: Around, outputs: list[int], told: int) -> NoReturn:
    status = 1
    try:
        os.setsid()
        _set_up(place, around, outputs)
        sys.argv[1:] = words
        end_on_signals()
        if around.real:
            _start_anew(words, around)
        os.write(told, b".")
        os.closerange(3, 4096)
        _limit(around)
        if around.counted:
            shim.begin()
        main()
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(OSError, AttributeError):
            sys.stderr.flush()
            sys.stdout.flush()
        os._exit(status)


def _start_anew(words: list[str], around: Around) -> NoReturn:
    # The pipe that tells of the start closes by that start.
    _limit(around)
    os.execve(sys.executable, [sys.executable, "-m", "builder", *words], os.environ)


def _set_up(place: Path, around: Around, outputs: list[int]) -> None:
    os.chdir(place)
    environment = {name: os.environ[name] for name in _VARIABLES if name in os.environ}
    directories = {"HOME": "home", "TMPDIR": "tmp", "XDG_CACHE_HOME": "cache", "XDG_RUNTIME_DIR": "run"}
    environment |= {name: str(place / value) for name, value in directories.items()}
    environment |= {"ROOTFS_BUILDER_STORE": str(place / "store"), "CONTAINERS_REGISTRIES_CONF": "/dev/null"}
    environment |= {"SSL_CERT_FILE": "/dev/null", "LC_ALL": "C.UTF-8", "PYTHONPATH": str(ROOT)}
    if around.counted:
        environment["FAULTS_FROM"] = "mkdir"
    os.environ.clear()
    os.environ.update({**environment, **around.environment})
    usual: list[str | int] = ["/dev/null", *outputs]
    for fd, path in enumerate(usual):
        _redirect(fd, around.streams.get(fd, path))
    if around.user is not None:
        os.setgroups([])
        os.setresgid(around.user, around.user, around.user)
        os.setresuid(around.user, around.user, around.user)
        _call("prctl", _SET_DUMPABLE, 1, 0, 0, 0)  # else what is below /proc stays root's


def _redirect(fd: int, to: str | int) -> None:
    if to == "closed":
        os.close(fd)
        return
    if to == "broken":
        reads, opened = os.pipe()
        os.close(reads)
    else:
        opened = os.open(to, os.O_RDWR) if isinstance(to, str) else to
    os.dup2(opened, fd)


def _limit(around: Around) -> None:
    for number, limit in around.limits.items():
        resource.setrlimit(number, (limit, limit))


def adopt_orphans() -> None:
    """Have what loses its parent come to this process, so that nothing that a run leaves goes unseen."""
    _call("prctl", _SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _call(name: str, *arguments: int) -> None:
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments):
        raise OSError(ctypes.get_errno(), name)


def _children() -> set[int]:
    found: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        # A thread may end meanwhile.
        with suppress(FileNotFoundError):
            found |= set(map(int, (task / "children").read_text().split()))
    return found


def _await_children(known: set[int]) -> tuple[str, ...]:
    """Wait for the end of what a run has left; what does not end is killed, and named."""
    end = time.monotonic() + _LEFT_PATIENCE
    while True:
        left = set()
        for pid in _children() - known:
            with suppress(ChildProcessError):
                if os.waitpid(pid, os.WNOHANG)[0] == 0:
                    left.add(pid)
        if not left:
            return ()
        if time.monotonic() > end:
            break
        time.sleep(0.005)
    names = []
    for pid in left:
        with suppress(OSError):
            names.append(Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
            os.kill(pid, signal.SIGKILL)
    return tuple(names)
