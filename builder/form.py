"""How kinds of values are written: sizes, numbers, names of files and the like, on the command line and in lists."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

from builder.errors import UsageError
from builder.words import quoted

_UNITS = {"": 1, "B": 1}
for _power, _letter in enumerate("KMGT", start=1):
    _UNITS |= {_letter: 1024**_power, f"{_letter}IB": 1024**_power, f"{_letter}B": 1000**_power}
_MAX_SIZE = (1 << 63) - 1  # off_t
_TRUTHS = dict.fromkeys(("yes", "true", "t", "on", "1"), True)
_TRUTHS |= dict.fromkeys(("no", "false", "f", "off", "0"), False)


@dataclass(frozen=True, slots=True)
class Form:
    """How a kind of value is written: what stands for it in help, what reads and what writes it.

    `parse` raises UsageError. `reread` reads what `write` wrote, where that is not what people write.
    """

    shown: str
    parse: Callable[[str], Any]
    write: Callable[[Any], str] = str
    reread: Callable[[str], Any] | None = None


def parse_size(text: str) -> int:
    """Read a size in bytes: `4096`; `512M`, `1.5G` or `2GiB` (powers of 1024); `50MB` (powers of 1000)."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGT]?(?:i?B)?)", text.strip(), re.IGNORECASE | re.ASCII)
    if match is None or match[2].upper() not in _UNITS:
        raise UsageError(
            f"{quoted(text, 100)} is not a size; write it as 4096, 512M or 1.5G (powers of 1024), or as 50MB"
        )
    size = int(Decimal(match[1]) * _UNITS[match[2].upper()])
    if size > _MAX_SIZE:
        raise UsageError(f"{quoted(text, 100)} is more bytes than a file can have")
    return size


def write_size(size: int) -> str:
    """Write a size as `parse_size` reads it, in the largest unit of which it is a whole number."""
    for letter in "TGMK":
        if size and size % _UNITS[letter] == 0:
            return f"{size // _UNITS[letter]}{letter}"
    return str(size)


def parse_count(text: str) -> int:
    """Read a positive whole number."""
    if not re.fullmatch(r"\d{1,18}", text, re.ASCII) or int(text) == 0:
        raise UsageError(f"{quoted(text, 100)} is not a number above zero")
    return int(text)


def parse_times(text: str) -> int:
    """Read how often something may be done, from 0 to 999 times; more is a mistake."""
    if not re.fullmatch(r"[0-9]{1,3}", text):
        raise UsageError(f"{quoted(text, 100)} is not a number from 0 to 999")
    return int(text)


def parse_seconds(text: str) -> int:
    """Read a time in seconds since 1970; more than eighteen digits are no time that anything can hold."""
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise UsageError(f"{quoted(text, 100)} is no number of seconds since 1970")
    return int(text)


def parse_uuid(text: str) -> UUID:
    """Read a UUID in its usual form (RFC 9562, section 4)."""
    try:
        return UUID(text)
    except ValueError:
        raise UsageError(
            f"{quoted(text, 100)} is not a UUID; write it as 01234567-89ab-cdef-0123-456789abcdef"
        ) from None


def parse_file(text: str) -> Path:
    """Read the name of a file. Raises UsageError for an empty one, which would be the current directory; and for -."""
    if not text:
        raise UsageError("an empty name names no file")
    if text == "-":
        raise UsageError("'-' is no stream here; name a file, or ./- for one that is called so")
    return Path(text)


def as_path(said: Path | str | None) -> Path | None:
    """Return a path as it is; text, which callers from Python may pass, as `parse_file` reads it. Raises UsageError."""
    return parse_file(said) if isinstance(said, str) else said


def write_file(path: Path) -> str:
    """Write the name of a file as `parse_file` reads it."""
    return "./-" if str(path) == "-" else str(path)


def parse_directory(text: str) -> Path:
    """Read the name of a directory. Raises UsageError for an empty one, as `parse_file`."""
    if not text:
        raise UsageError("an empty name names no directory")
    return Path(text)


def parse_place(text: str) -> str:
    """Read a path or a URL of a directory. Raises UsageError for an empty one, as `parse_file`."""
    if not text:
        raise UsageError("an empty name names no place")
    return text


def parse_truth(text: str) -> bool:
    """Read yes or no, also as true or false."""
    if text.lower() not in _TRUTHS:
        raise UsageError(f"{quoted(text, 100)} is neither yes nor no")
    return _TRUTHS[text.lower()]


SIZE = Form("SIZE", parse_size, write_size)
COUNT = Form("NUMBER", parse_count)
TIMES = Form("NUMBER", parse_times)
SECONDS = Form("SECONDS", parse_seconds)
TEXT = Form("TEXT", str)
IDENTITY = Form("UUID", parse_uuid)
FILE = Form("FILE", parse_file, write_file)
DIRECTORY = Form("DIRECTORY", parse_directory)
PLACE = Form("DIRECTORY|URL", parse_place)
# On the command line a SWITCH takes no value (`--dedupe`, `--no-journal`), and a TRUTH does (`--tls-verify=no`).
SWITCH = Form("", parse_truth)
TRUTH = Form("yes|no", parse_truth, lambda truth: "yes" if truth else "no")
