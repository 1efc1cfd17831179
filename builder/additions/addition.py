"""What a user can say of files of one's own, and how it is written on the command line, in lists and in jobs."""

from __future__ import annotations

import base64
import json
import os
import re
from dataclasses import dataclass
from typing import Any

from builder.errors import UsageError
from builder.form import Form
from builder.linux import MAX_ID, MODE_BITS, WHITEOUT
from builder.tree.paths import Refusal, components
from builder.words import quoted

AnyPath = str | os.PathLike[str]

# Behind TARGET; what begins with a comma and looks otherwise belongs to TARGET.
_SETTING = re.compile(r"(.*),([A-Za-z_-]+)=([^,/]*)", re.DOTALL)
_FORM = "write SOURCE:TARGET[,mode=0755][,owner=UID:GID]"


@dataclass(frozen=True, slots=True)
class Addition:
    """A file, a directory with all that is in it, or a symlink as it is, to be put into the image.

    `source` is the path of it on this machine, or the content of a file as bytes; relative paths start in the current
    directory. `target` is absolute; a file goes into a directory under its own name where that ends in `/`. `mode`
    (octal 07777) is for files, and for directories with the right to enter for whoever may read; without, 0755 for
    directories and for what anybody may execute here, else 0644. `owner` are uid and gid, 0:0 without. Raises
    UsageError for what cannot be meant.
    """

    source: AnyPath | bytes
    target: AnyPath
    mode: int | None = None
    owner: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        _normalise(self, "source", "target")
        if not self.source and not isinstance(self.source, bytes):
            raise UsageError(f"there is no SOURCE before {quoted(self.at)}; {_FORM}")
        check_target(self.at)
        if isinstance(self.source, bytes) and self.at.endswith("/"):
            raise UsageError(f"bytes have no name of their own: name a file, not {quoted(self.at)}")
        if self.mode is not None and not 0 <= self.mode <= MODE_BITS:
            raise UsageError(f"mode {self.mode:o} is not between 0 and {MODE_BITS:o}, in octal")
        if self.owner is not None and not all(0 <= number <= MAX_ID for number in self.owner):
            raise UsageError(f"owner {self.owner[0]}:{self.owner[1]} is not between 0 and {MAX_ID}")

    @property
    def at(self) -> str:
        """The target as text."""
        return os.fspath(self.target)

    def __str__(self) -> str:
        return f"--add {_shown(self.source)}:{self.at}"


@dataclass(frozen=True, slots=True)
class AddedTar:
    """A tar, compressed or not, applied as one more layer, whiteouts included; its root goes to `target`.

    `source` is its path on this machine, or its bytes. Raises UsageError for what cannot be meant.
    """

    source: AnyPath | bytes
    target: AnyPath = "/"

    def __post_init__(self) -> None:
        _normalise(self, "source", "target")
        if not self.source:
            raise UsageError("there is no FILE; write FILE[:TARGET]")
        check_target(self.at)

    @property
    def at(self) -> str:
        """The target as text."""
        return os.fspath(self.target)

    def __str__(self) -> str:
        return f"--add-tar {_shown(self.source)}" + (f":{self.at}" if self.at != "/" else "")


@dataclass(frozen=True, slots=True)
class Removal:
    """Something to be taken out of the image, a directory with all that is in it. Raises UsageError."""

    path: AnyPath

    def __post_init__(self) -> None:
        _normalise(self, "path")
        if not check_target(self.at):
            raise UsageError("the root cannot be removed; name what is in it")

    @property
    def at(self) -> str:
        """The path as text."""
        return os.fspath(self.path)

    def __str__(self) -> str:
        return f"--remove {self.at}"


Change = Addition | AddedTar | Removal


def check_target(path: str) -> tuple[bytes, ...]:
    """Split an absolute path of the image into its components. Raises UsageError for what is none."""
    if not path.startswith("/"):
        raise UsageError(f"{quoted(path)} is no path of the image; write it from the root, as /etc/motd")
    try:
        parts = components(os.fsencode(path))
    except Refusal as refusal:
        raise UsageError(f"{quoted(path)} {refusal.reason}") from refusal
    if any(part.startswith(WHITEOUT) for part in parts):
        raise UsageError(f"{quoted(path)}: a name that begins with .wh. is a layer's mark that something is removed")
    return parts


def parse_addition(text: str) -> Addition:
    """Read `SOURCE:TARGET[,mode=0755][,owner=UID:GID]`: the last `:/` is where TARGET begins. Raises UsageError."""
    source, colon, rest = text.rpartition(":/")
    if not colon:
        raise UsageError(f"{quoted(text)} names no absolute TARGET; {_FORM}, as app:/usr/bin/app")
    target, said = "/" + rest, dict[str, Any]()
    readers = {"mode": _parse_mode, "owner": parse_owner}
    while match := _SETTING.fullmatch(target):
        target, key, value = match.groups()
        if key not in readers:
            raise UsageError(f"{quoted(key)} is no setting of {quoted(text)}; there are mode= and owner=")
        if key in said:
            raise UsageError(f"{key} is said twice in {quoted(text)}")
        said[key] = readers[key](value)
    return Addition(source, target, **said)


def parse_tar(text: str) -> AddedTar:
    """Read `FILE[:TARGET]`: the last `:/` is where TARGET begins. Raises UsageError."""
    source, colon, rest = text.rpartition(":/")
    if not colon:
        return AddedTar(text)
    if _SETTING.fullmatch(rest):
        raise UsageError(f"{quoted(text)}: modes and owners are those of the tar's entries; leave {quoted(rest)} alone")
    return AddedTar(source, "/" + rest)


def write_change(change: Change) -> str:
    """Write any of the three as JSON, which `read_change` reads."""
    if isinstance(change, Removal):
        return json.dumps({"remove": change.at})
    source = change.source
    written: dict[str, Any] = {
        "add" if isinstance(change, Addition) else "addTar": None if isinstance(source, bytes) else source,
        "target": change.at,
    }
    if isinstance(source, bytes):
        written["bytes"] = base64.b64encode(source).decode()
    if isinstance(change, Addition):
        written |= {"mode": change.mode, "owner": change.owner}
    return json.dumps(written)


def read_change(text: str) -> Change:
    """Read what `write_change` wrote. Raises UsageError."""
    try:
        written = json.loads(text)
        if "remove" in written:
            return Removal(written["remove"])
        kind = "add" if "add" in written else "addTar"
        source = base64.b64decode(written["bytes"]) if "bytes" in written else written[kind]
        if kind == "addTar":
            return AddedTar(source, written["target"])
        owner = written["owner"]
        return Addition(source, written["target"], written["mode"], owner and (owner[0], owner[1]))
    except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        raise UsageError(f"{quoted(text, 100)} is no addition of this version") from error


def _normalise(change: Change, *names: str) -> None:
    """Keep paths as text: a pathlib's path and the same text are the same addition."""
    for name in names:
        value = getattr(change, name)
        if not isinstance(value, bytes):
            value = os.fspath(value)
            if "\0" in value:
                raise UsageError(f"{quoted(value)} contains a NUL byte")
            object.__setattr__(change, name, value)


def _shown(source: AnyPath | bytes) -> str:
    return f"({len(source)} bytes)" if isinstance(source, bytes) else os.fspath(source)


def _parse_mode(text: str) -> int:
    if not re.fullmatch("0?[0-7]{3,4}", text, re.ASCII):
        raise UsageError(f"{quoted(text)} is no mode; write it in octal, as mode=0755")
    return int(text, 8)


def parse_owner(text: str) -> tuple[int, int]:
    """Read `UID:GID`. Raises UsageError."""
    match = re.fullmatch(r"([0-9]{1,10}):([0-9]{1,10})", text, re.ASCII)
    if match is None:
        raise UsageError(f"{quoted(text)} is no owner; write two numbers, as owner=1000:1000")
    return int(match[1]), int(match[2])


ADD = Form("SOURCE:TARGET", parse_addition, write_change, read_change)
ADD_TAR = Form("FILE[:TARGET]", parse_tar, write_change, read_change)
REMOVE = Form("PATH", Removal, write_change, read_change)
