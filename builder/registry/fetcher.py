"""The process that fetches: a copy of this one that alone keeps the network; this one asks it, and reads what comes.

It is forked when nothing of an image has been read, and no thread started, and ends with this one. Who was told which
blobs an image has asks it for no others: so one that was taken over by what it reads has no way out through it either.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress

from builder.events import Listener
from builder.image.digest import Digest
from builder.registry import RegistryAccess
from builder.registry.fetched import FetchedOrigin
from builder.signals import signals_held

# In seconds: how long its end is waited for, which comes at once unless somebody has stopped it.
_PATIENCE = 5.0
# In seconds: how long one that has hung up takes to end, unless it goes on.
_SOON = 1.0
# How many digests are told at once.
_AT_ONCE = 200

_running: Fetcher | None = None


def running_fetcher() -> Fetcher | None:
    """Give the process that fetches for this one, if there is one."""
    return _running


@contextmanager
def fetcher() -> Iterator[None]:
    """Have a process that fetches as long as the context lasts. Only where there is one thread. Raises OSError."""
    global _running
    with closing(_fork()) as _running:
        try:
            yield
        finally:
            _running = None


def _fork() -> Fetcher:
    # Here, because the import is not to be done by each of the two.
    from builder.registry.fetcher_process import become_fetcher

    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    # What is here now stays for good; looking through it would copy it.
    gc.freeze()
    with theirs, signals_held():
        try:
            pid = os.fork()
        except OSError:
            ours.close()
            raise
        if not pid:
            become_fetcher(theirs)
        return Fetcher(pid, ours)


def _here() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:
        # It is gone, and whoever was forked from us is in the same.
        return "."


class Fetcher:
    """The process `pid`, which is asked over `control`, and answers each question over a socket of its own."""

    def __init__(self, pid: int, control: socket.socket) -> None:
        self._pid = pid
        self._control = control

    def open(self, host: str, path: str, access: RegistryAccess, listen: Listener) -> FetchedOrigin:
        """Open a repository; nothing is sent before it is asked for something."""
        origin = FetchedOrigin(self, f"{host}/{path}", listen)
        origin.number = origin.ask(
            "open",
            int,
            host=host,
            path=path,
            # Names that are relative are meant as they would be here.
            directory=_here(),
            authfile=access.authfile and os.fspath(access.authfile),
            cert_dir=access.cert_dir and os.fspath(access.cert_dir),
            tls_verify=access.tls_verify,
            helpers=access.helpers,
        )
        return origin

    def settle(self, digests: Iterable[Digest]) -> None:
        """From now on have it fetch nothing but the blobs that have these digests, for ever."""
        known = [str(digest) for digest in digests]
        for start in range(0, len(known), _AT_ONCE):
            self.tell("allow", digests=known[start : start + _AT_ONCE])
        self.tell("settle")

    def question(self, what: str, **words: object) -> socket.socket:
        """Ask something; the answer comes over the socket. Raises OSError."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with theirs:
            try:
                socket.send_fds(self._control, [json.dumps({"what": what, **words}).encode()], [theirs.fileno()])
            except BaseException:
                ours.close()
                raise
        return ours

    def tell(self, what: str, **words: object) -> None:
        """Say something that has no answer."""
        # One that is gone has nothing to be told; who asks it something will hear.
        with suppress(BrokenPipeError, ConnectionResetError):
            self._control.sendall(json.dumps({"what": what, **words}).encode())

    def lacked_memory(self) -> bool:
        """Tell of one that has hung up whether it has ended for want of memory, as far as that shows soon."""
        # Here, because only who has forked it needs it.
        from builder.registry.fetcher_process import NO_MEMORY

        began = time.monotonic()
        with suppress(ChildProcessError):
            while time.monotonic() - began < _SOON:
                ended = os.waitid(os.P_PID, self._pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
                if ended is not None:
                    return (ended.si_code, ended.si_status) == (os.CLD_EXITED, NO_MEMORY)
                time.sleep(0.005)
        return False

    def close(self) -> None:
        """End it, and wait for that."""
        self._control.close()
        # Whoever started us may have left SIGCHLD ignored: then what has ended is not there to be waited for.
        with suppress(ChildProcessError):
            self._wait()

    def _wait(self) -> None:
        began, pause = time.monotonic(), 0.0005
        while not os.waitpid(self._pid, os.WNOHANG)[0]:
            if time.monotonic() - began > _PATIENCE:
                # Stopped by somebody; what is confined may not even do this, and it ends when it goes on.
                with suppress(PermissionError):
                    os.kill(self._pid, signal.SIGKILL)
                return
            time.sleep(pause)
            pause = min(2 * pause, 0.02)
