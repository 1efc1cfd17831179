"""One image, one process: whatever a build does to its process, the others do not notice.

The processes of one batch are forked from one that has imported what they need (ready.py). Nothing but this program's
own place and the interpreter's decides what they run: no current directory, which may be anybody's, and no variable of
the environment.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import BinaryIO

from builder.batch.messages import is_event
from builder.errors import BuilderError
from builder.exact import write_next

# The folder, or zip file, that holds this very package.
_PLACE = Path(__file__).parents[2]
# Finds the package there and nowhere else, installed or not; what it needs, where the interpreter has it, and after
# that where this process found it.
_START = """
import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
place, idle, *path = sys.argv[1:]
sys.path += path
spec = PathFinder.find_spec("builder", [place])
sys.modules["builder"] = module_from_spec(spec)
spec.loader.exec_module(sys.modules["builder"])
from builder.batch.ready import main
main(float(idle))
"""
# What becomes of a build's process: that it has begun, then its status; or that there is none, and an error number.
BEGUN, FAILED = "begun", "failed"
# How often a process that is ready to build may end before it has begun to: by itself, or by somebody's hand.
_ATTEMPTS = 3
_IDLE_SECONDS = 60.0


class BuildLost(BuilderError):
    """A build ended without an answer; `how` in words."""

    def __init__(self, how: str) -> None:
        super().__init__(f"{how}; build this image alone to see why")
        self.how = how


class Builders:
    """Processes that build, each forked from one that is ready to; that one is started when it is needed.

    For the threads of the process that made it, which closes it. What is ready ends by itself when it has had nothing
    to do for `idle` seconds: where no end is foreseen, and where processes that this one forked hold its socket.
    """

    def __init__(self, *, idle: float = _IDLE_SECONDS) -> None:
        self._idle = idle
        self._lock = Lock()
        self._ready: _Ready | None = None

    def build(self, message: str, lifeline: str, hear: Callable[[str], None]) -> str:
        """Build a disk in a process of its own; return its outcome as JSON. `message` is the job as JSON.

        The process gives up, and cleans up, when this one ends or when nobody holds a lock on the file `lifeline` any
        more. `hear` is given what it says meanwhile, an event a line. Raises BuildLost, and OSError where no more
        processes are to be had.
        """
        begun = time.monotonic()
        for _ in range(_ATTEMPTS):
            ready = self._made_ready()
            outcome, said = _build(ready, message, lifeline, begun, hear)
            if outcome is not None:
                return outcome
            if said[:1] == [FAILED]:
                raise OSError(int(said[1]), os.strerror(int(said[1])))
            if said:
                raise BuildLost(f"its build process {_how(*said[1:])} without an answer")
            self._end(ready)
        raise BuildLost(f"the process for its build {_how(ready.process.returncode)} before it began")

    def close(self) -> None:
        """End the process that is ready to build, if there is one; builds that run go on."""
        with self._lock:
            ready = self._ready
        if ready is not None:
            self._end(ready)

    def _made_ready(self) -> _Ready:
        with self._lock:
            if self._ready is None:
                self._ready = _start(self._idle)
            return self._ready

    def _end(self, ready: _Ready) -> None:
        with self._lock:
            ready.end()
            if self._ready is ready:
                self._ready = None


# Of the batches that this very process runs, by its number and their lifeline.
_KEPT: dict[tuple[int, str], Builders] = {}


@contextmanager
def builders_kept(lifeline: str) -> Iterator[None]:
    """Build in processes that are forked from one, as long as the context lasts, for all who have the lifeline.

    That is, in this process; in others that an executor may have, each build has one of its own.
    """
    key = os.getpid(), lifeline
    with closing(Builders()) as _KEPT[key]:
        try:
            yield
        finally:
            del _KEPT[key]


def build_in_process(message: str, lifeline: str, hear: Callable[[str], None]) -> str:
    """Build a disk in a process of its own; see Builders.build."""
    kept = _KEPT.get((os.getpid(), lifeline))
    if kept is not None:
        return kept.build(message, lifeline, hear)
    with closing(Builders()) as builders:
        return builders.build(message, lifeline, hear)


@dataclass(frozen=True, slots=True)
class _Ready:
    """A process that is ready to build, and the socket over which it is asked to."""

    process: subprocess.Popen[bytes]
    asked: socket.socket

    def ask(self, lifeline: str, begun: float, pipes: Sequence[BinaryIO]) -> bool:
        """Ask for a build with these as its own ends of pipes, which are closed here; return whether that was heard."""
        try:
            socket.send_fds(self.asked, [json.dumps([lifeline, begun]).encode()], [pipe.fileno() for pipe in pipes])
        except OSError:
            return False
        for pipe in pipes:
            pipe.close()
        return True

    def end(self) -> None:
        """End it, if it has not ended; it holds nothing that would have to be cleaned up."""
        self.asked.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


def _build(
    ready: _Ready, message: str, lifeline: str, begun: float, hear: Callable[[str], None]
) -> tuple[str | None, list[str]]:
    """Have a disk built; return the outcome, if there is one, and what was said of its process."""
    outcome = None
    with _pipe() as (ended, its_end):
        try:
            with _pipe() as (its_input, job), _pipe() as (answers, its_output):
                if ready.ask(lifeline, begun, (its_input, its_output, its_end)):
                    with suppress(BrokenPipeError):
                        write_next(job.fileno(), message.encode() + b"\n")
                    # Standard input stays open until the end, as the process's other lifeline.
                    outcome = _outcome(answers, hear)
        finally:
            # Whatever came between, nothing builds any more when this returns.
            its_end.close()
            said = ended.read().decode().split()
    return outcome, said


def _outcome(answers: BinaryIO, hear: Callable[[str], None]) -> str | None:
    outcome = None
    for line in answers:
        if not line.endswith(b"\n"):
            break  # cut short, with its process
        text = line.decode("ascii")
        if is_event(text):
            hear(text)
        else:
            outcome = text
    return outcome


def _how(status: str | int | None = None) -> str:
    """Say how a process ended, as far as that is known."""
    if status is None:
        return "ended"
    return f"was killed by signal {-int(status)}" if int(status) < 0 else f"ended with status {status}"


@contextmanager
def _pipe() -> Iterator[tuple[BinaryIO, BinaryIO]]:
    reading, writing = os.pipe()
    # What a process that was ended early did not read must not come up again when the pipe is closed.
    with open(reading, "rb") as far, open(writing, "wb", 0) as near:
        yield far, near


def _start(idle: float) -> _Ready:
    asked, its_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with its_end:
        process = subprocess.Popen(
            [
                # -I: neither the current directory nor PYTHONPATH, PYTHONHOME, PYTHONSTARTUP or a user's site-packages.
                *(sys.executable, "-I", "-X", f"utf8={sys.flags.utf8_mode}", "-c", _START),
                *(str(_PLACE), str(idle), *_path()),
            ],
            stdin=its_end.fileno(),
            stdout=subprocess.DEVNULL,
            # Its builds go where their jobs say, and it is in nobody's way.
            cwd="/",
            start_new_session=True,
        )
    return _Ready(process, asked)


def _path() -> list[str]:
    """Tell where this process imports from, without what depends on where it stands."""
    here = os.getcwd()
    return [entry for entry in sys.path if os.path.isabs(entry) and os.path.realpath(entry) != os.path.realpath(here)]
