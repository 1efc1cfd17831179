"""What a user can say of the machine that a disk becomes, in the words of the image config where it has some."""

from __future__ import annotations

import ipaddress
import json
import os
import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

from builder.errors import UsageError
from builder.form import DIRECTORY, FILE, Form
from builder.guest.stop_signal import parse_signal
from builder.option import GUEST, Option, option
from builder.words import quoted

AUTO, NONE = "auto", "none"

_HOST_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,62}[A-Za-z0-9])?", re.ASCII)


def parse_command(text: str) -> tuple[str, ...]:
    """Read a program and its arguments: a JSON array of strings, or words quoted as in a shell. Raises UsageError."""
    try:
        words = json.loads(text) if text.lstrip().startswith("[") else shlex.split(text)
    except (RecursionError, ValueError) as error:
        raise UsageError(f"{quoted(text, 200)} is neither a JSON array nor words as in a shell: {error}") from error
    if not all(isinstance(word, str) for word in words):
        raise UsageError(f"{quoted(text, 200)} is not an array of strings")
    return tuple(parse_text(word) for word in words)


def write_command(words: tuple[str, ...]) -> str:
    """Write a program and its arguments as `parse_command` reads them."""
    return json.dumps(words)


def parse_text(text: str) -> str:
    """Read what a program may be given: no NUL, and bytes that are no UTF-8 only as Python keeps them (PEP 383).

    Raises UsageError, also for further halves of characters, which JSON can write.
    """
    try:
        if b"\0" not in text.encode("utf-8", "surrogateescape"):
            return text
    except UnicodeEncodeError:
        raise UsageError(f"{quoted(text, 200)} is no text: it has one half of a character") from None
    raise UsageError(f"{quoted(text, 200)} has a NUL, which no program can be given")


def parse_variable(text: str) -> str:
    """Read `NAME=VALUE`, or `NAME` for the value that this process has. Raises UsageError."""
    name, equals, _ = parse_text(text).partition("=")
    if not name:
        raise UsageError(f"{quoted(text)} is no variable; write NAME=VALUE, or NAME for the value it has here")
    if equals:
        return text
    if name not in os.environ:
        raise UsageError(f"the variable {quoted(name)} is not set here; write NAME=VALUE")
    return f"{name}={os.environ[name]}"


def parse_host_name(text: str) -> str:
    """Read a host name (hostname(7)). Raises UsageError."""
    if not _HOST_NAME.fullmatch(text):
        raise UsageError(f"{quoted(text)} is no host name: letters, digits, dots and dashes, 64 at most")
    return text


def parse_address(text: str) -> str:
    """Read an IP address that another machine can have; the host's own resolver is none. Raises UsageError."""
    try:
        address = _address(text)
    except ValueError:
        raise UsageError(f"{quoted(text)} is no IP address") from None
    # 0.0.0.0 is this machine, too (resolv.conf(5)).
    real = getattr(address, "ipv4_mapped", None) or address
    if real.is_loopback or real.is_unspecified:
        raise UsageError(f"{text} is the loopback, where a guest finds no name server; name one that it can reach")
    return str(address)


def parse_host(text: str) -> str:
    """Read `NAME:ADDRESS`, as docker's and podman's --add-host; the address may be IPv6. Raises UsageError."""
    name, _, address = text.partition(":")
    parse_host_name(name)
    try:
        _address(match[1] if (match := re.fullmatch(r"\[(.*)\]", address)) else address)
    except ValueError:
        raise UsageError(f"{quoted(text)} is no NAME:ADDRESS") from None
    return text


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Read an IP address, whose scope ipaddress does not look at. Raises ValueError."""
    if not re.fullmatch(r"[0-9A-Fa-f:.]+(%[A-Za-z0-9_.-]+)?", text, re.ASCII):
        raise ValueError
    return ipaddress.ip_address(text)


def parse_stop_signal(text: str) -> str:
    """Read a signal, and keep it as it was written. Raises UsageError."""
    parse_signal(text)
    return text


def parse_init(text: str) -> str:
    """Read what is to be init. Raises UsageError for an empty name, which would be the current directory."""
    if not text:
        raise UsageError(f"an empty name names no program; write {AUTO}, {NONE} or a path")
    return text


COMMAND = Form("COMMAND", parse_command, write_command)
VARIABLE = Form("NAME[=VALUE]", parse_variable)
HOST_NAME = Form("NAME", parse_host_name)
ADDRESS = Form("ADDRESS", parse_address)
HOST = Form("NAME:ADDRESS", parse_host)
SIGNAL = Form("SIGNAL", parse_stop_signal)
USER = Form("USER[:GROUP]", parse_text)
PLACE = Form("PATH", parse_text)
INIT = Form(f"{AUTO}|{NONE}|PATH", parse_init)


@dataclass(frozen=True, slots=True)
class GuestOptions:
    """What runs in the guest; what is None, or an empty list of several, is left as the image says.

    `init` is `auto`, `none`, or the path of a program of the user's own; with `auto`, an image that names no program,
    or is of an architecture for which there is no init, gets none. `initrd` is a file to write an initramfs to, with
    init and the `modules` of a kernel; the disk is the image's tree alone then. An `entrypoint` takes the place of the
    image's Cmd, too, as in podman.
    """

    init: str = option(
        AUTO, INIT, GUEST, "Boot into the image's process (auto), into a program of your own, or have no init (none)."
    )
    initrd: Path | None = option(
        None, FILE, GUEST, "Write an initramfs with init here; the disk is the image's tree alone then.", decides=False
    )
    modules: Path | None = option(
        None, DIRECTORY, GUEST, "Kernel modules for --initrd, such as /lib/modules/VERSION.", decides=False
    )
    entrypoint: tuple[str, ...] | None = option(
        None, COMMAND, GUEST, "Words or a JSON array in the Entrypoint's place, and without Cmd."
    )
    cmd: tuple[str, ...] | None = option(None, COMMAND, GUEST, "Words or a JSON array in the Cmd's place.")
    env: tuple[str, ...] = option((), VARIABLE, GUEST, "Set a variable; without VALUE, as it is here.", repeats=True)
    user: str | None = option(None, USER, GUEST, "Run the process as this user.")
    working_dir: str | None = option(None, PLACE, GUEST, "Directory that the process starts in; made if it is missing.")
    stop_signal: str | None = option(None, SIGNAL, GUEST, "Signal that asks the process to end.")
    hostname: str | None = option(None, HOST_NAME, GUEST, "The machine's name.")
    dns: tuple[str, ...] = option((), ADDRESS, GUEST, "Name server of the guest.", repeats=True)
    add_host: tuple[str, ...] = option((), HOST, GUEST, "Line for the guest's /etc/hosts.", repeats=True)

    def check(self, outputs: Iterable[Path]) -> None:
        """Raise UsageError for a program of the user's own that would be written over."""
        if self.init in (AUTO, NONE):
            return
        for output in outputs:
            if os.path.realpath(output) == os.path.realpath(self.init):
                raise UsageError(f"{self.init}: is to be init, and would be written over; give the output another name")

    def decided(self) -> Self:
        """These options as the command line would have read them, whatever Python said. Raises UsageError."""
        said = {field.name: (field.metadata["options"][0], getattr(self, field.name)) for field in fields(self)}
        return replace(self, **{name: _reread(entry, value) for name, (entry, value) in said.items()})


def _reread(entry: Option, value: Any) -> Any:
    if value is None:
        return None
    if entry.repeats:
        return tuple(entry.form.parse(each) for each in value)
    return entry.form.parse(value if isinstance(value, str) else entry.form.write(value))
