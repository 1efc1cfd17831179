"""What the process that fetches does: it serves one other, which it was forked from, until that is gone.

It changes no file and starts nothing but helpers for credentials, where some are configured: those are programs of the
user's, who need whatever they need. Whoever has asked may be taken over later: once that has given up the network, no
other repository is opened, and once it has said which blobs an image has, none but those are fetched.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import threading
import traceback
from collections.abc import Callable
from contextlib import closing, suppress
from importlib import import_module
from pathlib import Path
from typing import NoReturn

from builder.errors import BuilderError
from builder.events import Event, Notice
from builder.image.descriptor import Descriptor
from builder.image.digest import Digest
from builder.image.render import render_descriptor
from builder.registry import RegistryAccess
from builder.registry.frames import DATA, NOTICE, RESULT, send_error, send_frame, send_json
from builder.registry.origin import Origin
from builder.registry.questions import Nonsense, Question, parse_question
from builder.shortage import shortage
from builder.threads import Worker

# The exit status by which who is served learns that memory has run out: nothing else can be said then.
NO_MEMORY = 75

_LONGEST = 1 << 16
_LOOK_MILLISECONDS = 1000
_AFTER_SETTLING = ("has_blob", "blob")
_CLIENT = "builder.registry.direct"


class _Settled(BuilderError):
    """Something is asked for that the image has not."""


def become_fetcher(control: socket.socket) -> NoReturn:
    """Be the process that fetches, from the fork on, until nobody holds the other end of `control`."""
    status = 0
    try:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # Ctrl-C reaches whoever is served, too, and is heard of through that. Not SIG_IGN: helpers would have that.
            signal.signal(number, _pass_over)
        _keep_only(control.fileno())
        # Now, while the other process is at something else; if it fails, who opens a repository hears of it.
        with suppress(Exception):
            import_module(_CLIENT)
        # Who asks hears of it as of any other end.
        with suppress(Nonsense):
            _Service(control).serve()
    except BaseException as error:
        status = NO_MEMORY if isinstance(error, MemoryError) else 0
        # What this machine lacks, whoever is served has its own word for.
        if shortage(error) is None:
            traceback.print_exc()
    finally:
        # Nothing of what was copied is to be cleaned up here.
        os._exit(status)


def _pass_over(_number: int, _frame: object) -> None:
    pass


def _keep_only(fd: int) -> None:
    """Close all that is open but standard error and `fd`: others wait for the end of some of it."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1):
        os.dup2(nothing, number)
    for other in map(int, os.listdir("/proc/self/fd")):
        if other > 2 and other != fd:
            # The one of that list is closed already.
            with suppress(OSError):
                os.close(other)


class _Answer:
    """The socket of one question; it is closed when it is answered and the asker has hung up, whichever is last."""

    def __init__(self, to: socket.socket) -> None:
        self.to = to
        self.stop: Callable[[], None] = lambda: None
        self.worker: Worker | None = None
        self._lock = threading.Lock()
        self._ends = 0

    def end(self) -> None:
        """Take note that one of the two has happened."""
        with self._lock:
            self._ends += 1
            if self._ends == 2:
                self.to.close()
            else:
                with suppress(OSError):
                    self.to.shutdown(socket.SHUT_RDWR)


def _socket(fd: int) -> socket.socket:
    try:
        return socket.socket(fileno=fd)
    except OSError as error:
        raise Nonsense from error


def _send_whole(answer: _Answer, data: bytes) -> None:
    for start in range(0, len(data), _LONGEST):
        send_frame(answer.to, DATA, data[start : start + _LONGEST])


def _fail(answer: _Answer, error: Exception) -> None:
    with suppress(OSError):
        send_error(answer.to, error)
    answer.end()


class _Service:
    """Questions come over `control`, each with a socket for its answer; they are answered side by side."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._origins: list[Origin] = []
        self._allowed: set[str] = set()
        self._settled = False
        self._stays = False
        self._answers: dict[int, _Answer] = {}
        self._asked = threading.local()

    def serve(self) -> None:
        """Answer questions until nobody asks any more; raises Nonsense for what only who was taken over would ask."""
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        while True:
            for fd, _ in poll.poll(_LOOK_MILLISECONDS if self._answers else None) or self._look():
                if fd in self._answers:
                    poll.unregister(fd)
                    answer = self._answers.pop(fd)
                    answer.stop()
                    answer.end()
                    continue
                message, fds, _, _ = socket.recv_fds(self._control, _LONGEST, 1, socket.MSG_CMSG_CLOEXEC)
                if not message:
                    return
                for fd in fds:
                    self._answers[fd] = _Answer(_socket(fd))
                    # That the other end is closed is told without being asked for.
                    poll.register(fd, 0)
                asked = parse_question(message)
                if fds:
                    self._answer(asked, self._answers[fds[0]])
                else:
                    self._hear(asked)

    def _look(self) -> list[tuple[int, int]]:
        """Say so to who waits for a thread that has gone without a word, for want of memory."""
        for answer in self._answers.values():
            try:
                if answer.worker is not None:
                    answer.worker.check()
            except MemoryError as error:
                answer.worker = None
                _fail(answer, error)
        return []

    def _hear(self, told: Question) -> None:
        if told.what == "allow" and not self._settled:
            self._allowed.update(told.digests)
        elif told.what == "settle":
            self._settled = True
        elif told.what == "stay":
            self._stays = True
        elif told.what == "close" and 0 <= told.origin < len(self._origins):
            origin = self._origins[told.origin]
            origin.stop()
            origin.close()

    def _answer(self, asked: Question, answer: _Answer) -> None:
        if asked.what == "open":
            # Here, and not in a thread: threads have what the one has that starts them.
            self._run(asked, answer)
            return
        answer.worker = Worker(lambda: self._run(asked, answer))
        try:
            answer.worker.start()
        except (RuntimeError, MemoryError) as error:
            _fail(answer, error)

    def _run(self, asked: Question, answer: _Answer) -> None:
        self._asked.answer = answer
        # Whoever asked may not wait for it any more.
        with suppress(OSError):
            try:
                send_json(answer.to, RESULT, self._result(asked, answer))
            except (BrokenPipeError, ConnectionResetError):
                raise
            except Exception as error:
                send_error(answer.to, error)
        answer.end()

    def _result(self, asked: Question, answer: _Answer) -> object:
        what = asked.what
        if self._settled and (what not in _AFTER_SETTLING or asked.digest not in self._allowed):
            raise _Settled("fetching: this image has no such thing")
        if what == "open":
            if self._stays:
                raise _Settled("fetching: no other repository is opened any more")
            return self._open(asked)
        origin = self._origins[asked.origin]
        if what == "manifest":
            reference = asked.reference
            found = origin.manifest(Digest.parse(reference) if asked.by_digest else reference)
            _send_whole(answer, found.data)
            return {"digest": str(found.digest), "media_type": found.media_type}
        if what == "referrers":
            entries = origin.referrers(Digest.parse(asked.subject), asked.artifact_type)
            _send_whole(answer, json.dumps([render_descriptor(each) for each in entries]).encode())
            return {}
        if what == "tag_hint":
            hint = origin.tag_hint(asked.tag)
            return [] if hint is None else [str(hint[0]), hint[1]]
        if what == "tags":
            return origin.tags(asked.count)
        digest = Digest.parse(asked.digest)
        if what == "has_blob":
            return origin.has_blob(digest)
        transfer = origin.download(Descriptor(asked.media_type, digest, asked.size))
        answer.stop = transfer.stop
        with closing(transfer.chunks(asked.position)) as chunks:
            for chunk in chunks:
                send_frame(answer.to, DATA, chunk)
        return None

    def _open(self, asked: Question) -> int:
        # Here, where what is missing is said to who asks.
        from builder.registry.credentials import starts_and_writes_nothing
        from builder.registry.direct import DirectOrigin
        from builder.registry.repository import Repository

        with suppress(OSError):
            os.chdir(asked.directory)
        authfile, cert_dir = (Path(name) if name else None for name in (asked.authfile, asked.cert_dir))
        access = RegistryAccess(authfile, cert_dir, asked.tls_verify, tuple(asked.helpers))
        if not self._origins and starts_and_writes_nothing(authfile, access.helpers):
            from builder.sandbox.fetching import confine_fetching

            # A container may forbid it. Where that must not be, whoever is served finds out.
            with suppress(OSError):
                confine_fetching()
        repository = Repository(asked.host, asked.path, access, threading.Event(), self._listen)
        self._origins.append(DirectOrigin(repository))
        return len(self._origins) - 1

    def _listen(self, event: Event) -> None:
        """Pass on what is said while something is asked for, to who asked."""
        if isinstance(event, Notice):
            # A thread of urllib3's, if it had any, would have nobody to tell.
            answer = getattr(self._asked, "answer", None)
            if answer is not None:
                send_json(answer.to, NOTICE, event.text)
