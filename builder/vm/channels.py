"""What goes between a guest and us: four virtio ports and the console, each a socket that a thread serves."""

from __future__ import annotations

import errno
import os
import re
import signal
import socket
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from threading import Thread

from builder.exact import write_next
from builder.vm.expectation import Expectation
from builder.words import legible

# As init calls its ports (guest/init/ports.c).
IN, OUT, ERR, CONTROL = "rb.in", "rb.out", "rb.err", "rb.control"

_INIT = "rootfs-builder init: "

# What dm-verity says of a block that is not what the root hash vouches for; `metadata` is the hash tree.
_CORRUPT = re.compile(rb"device-mapper: verity: \S+ ((?:meta)?data block \d+) is corrupted")

# As init says it; of more digits, which a guest may say, Python makes no number.
_STATUS = re.compile(rb"status (\d{1,3})")

# What Linux says last. No machine ends when it halts, and not each when it restarts, as it does after a panic, too.
HALTED = re.compile(
    rb"\[ *\d+\.\d{6}\] (?:reboot: (?:System halted|Restarting system)|sysrq: Resetting|Kernel panic - not syncing)"
)

_READ_SIZE = 65536
_LOOK_SECONDS = 0.2
_KEPT_LINES = 40


class Channels:
    """Sockets for QEMU, and threads that carry bytes between them and this process's own streams.

    `status` is what the guest said its process ended with; `expected` whether its standard output or error has had the
    text to `expect`; `halted` when (time.monotonic) its kernel said that it goes no further; `last_words` are the
    console's last lines until then, and `corrupt` is the first block that dm-verity found to be another than was built.
    """

    def __init__(self, stdin: int, stdout: int, stderr: int, show_console: bool, expect: str | None = None) -> None:
        self.status: int | None = None
        self.corrupt: str | None = None
        self.lost: OSError | None = None
        self.halted: float | None = None
        self._expectations = {name: Expectation(expect) for name in (OUT, ERR)}
        self._gone = False
        self._said = b""
        self._words: deque[bytes] = deque(maxlen=_KEPT_LINES)
        self._line = b""
        self._threads: list[Thread] = []
        self._ends: dict[str, socket.socket] = {}
        ours: dict[str, socket.socket] = {}
        for name in (IN, OUT, ERR, CONTROL, "console"):
            ours[name], self._ends[name] = socket.socketpair()
        self._input, self._control = ours[IN], ours[CONTROL]
        self._start(lambda: _send(stdin, self._input), wait=False)
        self._start(lambda: _receive(ours[OUT], lambda data: self._show(data, stdout)))
        self._start(lambda: _receive(ours[ERR], lambda data: self._complain(data, stderr)))
        self._start(lambda: _receive(self._control, self._read_status))
        shown = stderr if show_console else None
        self._start(lambda: _receive(ours["console"], lambda data: self._keep(data, shown)))

    @property
    def expected(self) -> bool:
        """Whether the process has printed what was to be expected."""
        return any(expectation.met for expectation in self._expectations.values())

    @property
    def ports(self) -> dict[str, int]:
        """Descriptors for QEMU, by the ports' names."""
        return {name: end.fileno() for name, end in self._ends.items() if name != "console"}

    @property
    def descriptors(self) -> list[int]:
        """All that QEMU has to inherit."""
        return [end.fileno() for end in self._ends.values()]

    @property
    def console(self) -> int:
        """The descriptor for the guest's serial console."""
        return self._ends["console"].fileno()

    def handed_over(self) -> None:
        """Close QEMU's ends here, once it has them: then its end is the end of every stream."""
        for end in self._ends.values():
            end.close()

    def ask_to_stop(self) -> None:
        """Have init send the process its stop signal."""
        with suppress(OSError):
            self._control.sendall(b"stop\n")

    def finish(self) -> None:
        """Wait until everything that the guest wrote is written."""
        for thread in self._threads:
            thread.join()
        self.end_input()

    def end_input(self) -> None:
        """Take nothing more from standard input: the machine has ended, however."""
        self._input.close()

    @property
    def last_words(self) -> list[str]:
        """What the console said last, a line each, without what a terminal would act on."""
        lines = [*self._words, self._line]
        return [legible(line.strip(b"\r")) for line in lines if line.strip()]

    @property
    def init_words(self) -> tuple[str, ...]:
        """What init said on the console, without its name."""
        found = [line.partition(_INIT) for line in self.last_words]
        return tuple(words for _, name, words in found if name)

    def _start(self, work: Callable[[], None], wait: bool = True) -> None:
        thread = Thread(target=work, daemon=True)
        thread.start()
        if wait:
            self._threads.append(thread)

    def _read_status(self, data: bytes) -> None:
        *lines, self._said = (self._said + data)[-_READ_SIZE:].split(b"\n")
        for line in lines:
            if said := _STATUS.fullmatch(line):
                self.status = int(said[1]) & 0xFF

    def _show(self, data: bytes, stdout: int) -> None:
        if not self._gone and (error := _write(stdout, data)):
            # Nobody reads any more, as behind `| head -1`: the process is asked to end, and the rest is dropped.
            self._gone = True
            self.lost = None if isinstance(error, BrokenPipeError) else error
            self.ask_to_stop()
        self._expectations[OUT].see(data)

    def _complain(self, data: bytes, stderr: int) -> None:
        _write(stderr, data)
        self._expectations[ERR].see(data)

    def _keep(self, data: bytes, shown: int | None) -> None:
        if shown is not None:
            _write(shown, data)
        *lines, self._line = (self._line + data).split(b"\n")
        for line in lines:
            if self.corrupt is None and (found := _CORRUPT.search(line)):
                self.corrupt = found[1].decode("ascii")
            if self.halted is not None:
                continue  # behind a panic comes its trace, which may be longer than all that is kept
            self._words.append(line[-4096:])
            if HALTED.match(line):
                self.halted = time.monotonic()
        self._line = self._line[-4096:]


def _receive(source: socket.socket, take: Callable[[bytes], object]) -> None:
    with suppress(OSError), source:
        while data := source.recv(_READ_SIZE):
            take(data)


def _send(source: int, target: socket.socket) -> None:
    # Unless this is blocked, reading a terminal from the background stops the whole process.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTIN})
    with suppress(OSError):
        while data := _read(source):
            target.sendall(data)
        # The end of standard input, for the process. QEMU would drop what it has not read yet of a closed socket.
        target.shutdown(socket.SHUT_WR)


def _read(source: int) -> bytes:
    """Read what comes next; of a terminal, as soon as this process is in its foreground."""
    while True:
        try:
            return os.read(source, _READ_SIZE)
        except OSError as error:
            if error.errno != errno.EIO or not os.isatty(source):
                raise
        time.sleep(_LOOK_SECONDS)


def _write(fd: int, data: bytes) -> OSError | None:
    """Write it all; gives what stands against that."""
    try:
        write_next(fd, data)
    except OSError as error:
        return error
    return None
