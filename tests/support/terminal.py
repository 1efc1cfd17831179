"""A terminal that remembers what was to be seen on it, each time something was written."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

_TOKEN = re.compile(r"\x1b\[(?P<arguments>[?0-9;]*)(?P<command>[A-Za-z])|(?P<text>[^\x1b])")


@dataclass
class Terminal:
    """What programs write moves a cursor over lines of `columns` characters, which fold like those of real ones."""

    columns: int
    lines: list[str] = field(default_factory=lambda: [""])
    row: int = 0
    column: int = 0
    cursor_is_visible: bool = True
    screens: list[list[str]] = field(default_factory=list)

    def feed(self, written: str) -> None:
        for token in _TOKEN.finditer(written):
            if token["text"]:
                self._put(token["text"])
            else:
                self._obey(token["arguments"], token["command"])
        if not self.screens or self.screens[-1] != self.shown():
            self.screens.append(self.shown())

    def shown(self) -> list[str]:
        """The lines to be seen, without the empty ones behind them."""
        stripped = [line.rstrip() for line in self.lines]
        while stripped and not stripped[-1]:
            stripped.pop()
        return stripped

    def _put(self, character: str) -> None:
        if character == "\r":
            self.column = 0
            return
        if character == "\n" or self.column == self.columns:
            self.row += 1
            self.lines += [""] * (self.row + 1 - len(self.lines))
            self.column = 0 if character != "\n" else self.column
            if character == "\n":
                return
        line = self.lines[self.row].ljust(self.column)
        self.lines[self.row] = line[: self.column] + character + line[self.column + 1 :]
        self.column += 1

    def _obey(self, arguments: str, command: str) -> None:
        if (arguments, command) in (("?25", "l"), ("?25", "h")):
            self.cursor_is_visible = command == "h"
        elif command == "A":
            self.row = max(0, self.row - int(arguments or 1))
        elif command == "K":
            self.lines[self.row] = "" if arguments == "2" else self.lines[self.row][: self.column]
        else:
            assert command == "m", f"this terminal does not know {command!r}"


def run_on_terminal(command: Sequence[str], columns: int, environment: Mapping[str, str]) -> tuple[int, Terminal]:
    """Run a command on a terminal; return its status, and the terminal."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    terminal = Terminal(columns)
    # A size that is said in the environment would count before the terminal's own; readline puts one there.
    settings = {name: value for name, value in environment.items() if name not in ("COLUMNS", "LINES")}
    settings["TERM"] = "xterm-256color"
    with subprocess.Popen(command, env=settings, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        # OSError is how a terminal says that its last program has gone.
        with suppress(OSError):
            written = b""
            while data := os.read(ours, 65536):
                written += data
                whole = written.rfind(b"\x1b")
                # A sequence or character that is not all there waits for the rest.
                cut = whole if whole >= len(written) - 8 and not re.search(rb"[A-Za-z]", written[whole + 1 :]) else None
                with suppress(UnicodeDecodeError):
                    terminal.feed(written[:cut].decode())
                    written = b"" if cut is None else written[cut:]
    os.close(ours)
    return process.returncode, terminal
