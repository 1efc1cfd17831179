"""The process that is ready to build: it has imported what builds need, and forks a process for each image.

That takes a fiftieth of the time of a process that begins anew, and no image finds what another left: neither memory,
nor descriptors, nor a directory. It is asked over the socket that is its standard input, a build a message: [lifeline,
when it was asked for], with three descriptors, of what is to be the build's standard input and output, and of a pipe
for what becomes of it.
"""

from __future__ import annotations

import errno
import gc
import importlib
import json
import os
import select
import signal
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from builder.batch import worker
from builder.batch.process import BEGUN, FAILED
from builder.exact import write_next

# What a build imports only when it comes to it; where it cannot, it says so itself.
_EARLY = (
    *("builder.actions.merge", "builder.layers.stream", "builder.tree.read"),
    *("builder.disk.ext4.fill", "builder.disk.erofs.restore", "builder.sources.docker.source"),
)


@dataclass(frozen=True, slots=True)
class _Child:
    """A build's process: its number, a pipe that it alone holds open, and the pipe for what becomes of it."""

    pid: int
    alive: int
    ended: int


def main(idle: float) -> None:
    """Fork a process for each build that is asked for, until nobody asks any more; or be such a process.

    It is over, too, when nothing has been asked for, and nothing built, for `idle` seconds.
    """
    # Who started the batch may not want to hear of its children. We do.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for name in _EARLY:
        # ImportError is the least of it: of libraries that are missing, or of another architecture.
        with suppress(Exception):
            importlib.import_module(name)
    # What is here now stays for good; looking through it would copy it for each process.
    gc.freeze()
    with socket.socket(fileno=os.dup(0)) as asked:
        build = _serve(asked, idle)
    if build is not None:
        lifeline, begun = json.loads(build)
        worker.main(lifeline, begun)
        # All is said. To take down what was imported takes as long as a small build, and copies all of it.
        os._exit(0)


def _serve(asked: socket.socket, idle: float) -> bytes | None:
    """Return a message in the process that is to build what it asks for, and None where nobody asks any more.

    This process has one thread, for others would not be in those that it forks.
    """
    children: dict[int, _Child] = {}
    poll = select.poll()
    poll.register(asked, select.POLLIN)
    while ready := poll.poll(None if children else idle * 1000):
        for fd, _ in ready:
            if fd in children:
                poll.unregister(fd)
                _bury(children.pop(fd))
                continue
            message, given, _, _ = socket.recv_fds(asked, 1 << 16, 3, socket.MSG_CMSG_CLOEXEC)
            if not message:
                return None
            child = _fork(given)
            if child is None:
                for other in children.values():
                    os.close(other.alive)
                    os.close(other.ended)
                return message
            if child.pid:
                children[child.alive] = child
                poll.register(child.alive, select.POLLIN)
    return None


def _fork(given: Sequence[int]) -> _Child | None:
    """Fork a process that builds; there, this returns None. Where there can be none, its number is 0."""
    alive = held = -1
    try:
        if len(given) != 3:
            raise OSError(errno.EMFILE, "")
        alive, held = os.pipe()
        pid = os.fork()
    except OSError as error:
        if len(given) == 3:
            _say(given[2], f"{FAILED} {error.errno or errno.EIO}")
        _close(*given, alive, held)
        return _Child(0, -1, -1)
    if pid:
        _close(*given[:2], held)
        _say(given[2], BEGUN)
        return _Child(pid, alive, given[2])
    # Ctrl-C reaches the batch, which then ends its builds; they must not each hear of it as well.
    os.setsid()
    for number, fd in enumerate(given[:2]):
        os.dup2(fd, number)
    # All but `held`, whose end is the end of this process.
    _close(*given, alive)
    return None


def _bury(child: _Child) -> None:
    """Wait for a process that has closed the pipe it holds for life, and tell whoever asked how it ended."""
    _, status = os.waitpid(child.pid, 0)
    _say(child.ended, str(os.waitstatus_to_exitcode(status)))
    _close(child.alive, child.ended)


def _say(fd: int, words: str) -> None:
    # Whoever asked may be gone.
    with suppress(BrokenPipeError):
        write_next(fd, words.encode() + b"\n")


def _close(*fds: int) -> None:
    for fd in fds:
        if fd >= 0:
            os.close(fd)
