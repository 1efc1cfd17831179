"""VMMs other than QEMU as programs to start, and how they are asked to end a guest: over a socket that speaks HTTP."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from builder.vm.machine import MachineOptions, Root

# The socket of the VMM, in the directory that is its own.
SOCKET = "api"
_PATIENCE = 5.0


@dataclass(frozen=True, slots=True)
class Runner:
    """How to start a VMM, and to ask it, by `stop_path` and the JSON `stop_body`, to ask its guest to end.

    `command` gives the command for a root, a machine, and a directory for its own files, which it writes; `shown` is
    shell that does the same without any. `drivers` are the kernel modules for its devices; `origin` says where the
    program comes from.
    """

    program: str
    origin: str
    drivers: tuple[str, ...]
    command: Callable[[Root, MachineOptions, Path], list[str]]
    shown: Callable[[Root, MachineOptions], str]
    stop_path: str
    stop_body: str

    def ask_to_stop(self, place: Path) -> None:
        """Have the VMM ask its guest to end. Raises OSError where it does not."""
        # Here, because nobody waits for it who only writes a configuration, or none.
        import socket

        body = self.stop_body.encode()
        head = f"PUT {self.stop_path} HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_PATIENCE)
            connection.connect(str(place / SOCKET))
            connection.sendall(head.encode() + body)
            answer = connection.recv(65536).split(b"\r\n")[0]
        if not answer.startswith((b"HTTP/1.1 2", b"HTTP/1.0 2")):
            raise OSError(f"it answered {answer.decode('ascii', 'replace')}")
