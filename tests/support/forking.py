"""The command again and again, without the third of a second that its imports take.

What runs is a process of its own, with its own words, environment, directory and streams, from `builder.__main__.main`
to the interpreter's end. It is forked from one that has imported what the command may need, so only Python's own start
is shared. Tests of that (imports, signals from the first moment on, limits, Python's variables) start `argv` instead.
"""

from __future__ import annotations

import atexit
import json
import os
import selectors
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

# Variables that Python or a library reads when it starts.
_EARLY = ("PYTHON", "LC_", "LANG", "LD_", "LIBARCHIVE")


class Forks:
    """Starts the command by way of a process that is started once, and ends with this one."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._server: socket.socket | None = None

    def take(self, environment: Mapping[str, str]) -> bool:
        """Tell whether in this environment a forked process does what a new one does."""
        different = dict(set(environment.items()) ^ set(self._environment.items()))
        return not any(name.startswith(_EARLY) for name in different)

    def run(
        self, words: list[str], environment: Mapping[str, str], place: Path, stdin: str
    ) -> subprocess.CompletedProcess[str]:
        """Run `rootfs-builder WORDS` to its end."""
        umask = os.umask(0o022)
        os.umask(umask)
        request = {"words": words, "environment": environment, "umask": umask}
        directory = os.open(place, os.O_PATH | os.O_DIRECTORY)
        reads, writes = zip(*(os.pipe() for _ in ("status", "stdout", "stderr")), strict=True)
        asked = _memory(json.dumps(request).encode())
        given = _memory(stdin.encode()) if stdin else os.open(os.devnull, os.O_RDONLY)
        socket.send_fds(self._started(), [b"."], [asked, directory, given, *writes])
        for fd in (asked, directory, given, *writes):
            os.close(fd)
        status, out, err = _read_all(reads)
        return subprocess.CompletedProcess(words, int(status), out.decode(), err.decode())

    def _started(self) -> socket.socket:
        if self._server is None:
            self._server, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:
                argv = [sys.executable, "-P", __file__, str(theirs.fileno())]
                process = subprocess.Popen(argv, env=self._environment, pass_fds=[theirs.fileno()])
            atexit.register(process.wait)
            atexit.register(self._server.close)
        return self._server


def _memory(data: bytes) -> int:
    fd = os.memfd_create("memory")
    os.write(fd, data)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def _read_all(fds: tuple[int, ...]) -> list[bytes]:
    found = dict.fromkeys(fds, b"")
    with selectors.DefaultSelector() as selector:
        for fd in fds:
            selector.register(fd, selectors.EVENT_READ)
        while selector.get_map():
            for key, _ in selector.select():
                data = os.read(key.fd, 1 << 16)
                found[key.fd] += data
                if not data:
                    selector.unregister(key.fd)
                    os.close(key.fd)
    return list(found.values())


def _serve(requests: socket.socket) -> bool:
    """Fork for each request and tell how it ended; return True in a process that was forked, False at the end."""
    running: dict[int, tuple[int, int]] = {}  # by pidfd: the process, and where its status goes
    with selectors.DefaultSelector() as selector:
        selector.register(requests, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fd in running:
                    pid, status = running.pop(key.fd)
                    selector.unregister(key.fd)
                    os.write(status, b"%d" % os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
                    os.close(status)
                    os.close(key.fd)
                    continue
                _, fds, _, _ = socket.recv_fds(requests, 1, 6)
                if not fds:
                    return False
                if not (pid := os.fork()):
                    for pidfd, (_, status) in running.items():
                        os.close(pidfd)
                        os.close(status)
                    _become(*fds)
                    return True
                pidfd = os.pidfd_open(pid)
                running[pidfd] = pid, fds[3]
                selector.register(pidfd, selectors.EVENT_READ)
                for fd in (*fds[:3], *fds[4:]):
                    os.close(fd)


def _become(asked: int, directory: int, given: int, status: int, out: int, err: int) -> None:
    with open(asked, "rb") as file:
        request = json.load(file)
    os.fchdir(directory)
    for number, fd in enumerate((given, out, err)):
        os.dup2(fd, number)
        os.close(fd)
    os.close(directory)
    os.close(status)
    os.umask(request["umask"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv[1:] = request["words"]


def _import_what_commands_need() -> None:
    from builder.cli.main import COMMANDS

    list(COMMANDS.values())


if __name__ == "__main__":
    import gc

    from builder.__main__ import main

    _import_what_commands_need()
    gc.freeze()  # so that no forked process copies it all
    try:
        with socket.socket(fileno=int(sys.argv[1])) as requests:
            forked = _serve(requests)
    except KeyboardInterrupt:
        # Whoever has it serve is interrupted, too.
        sys.exit(130)
    if forked:
        main()
