"""A list of images as lines: a reference, and words of options behind it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any

from builder.batch.entries import KEYS, Entry, InvalidList, offer
from builder.errors import UsageError
from builder.words import quoted

# What is quoted, which stays; or a comment, which may hold quotes of its own.
_QUOTED_OR_COMMENT = re.compile(r"""('[^']*'|"(?:\\.|[^"\\])*+"|\\.)|(?:^|\s)#.*""")
_KNOWN = ("output", *KEYS)
# In characters, as Linux lets an argument of a command be long; what takes lines apart takes the square of more.
_LONGEST = 1 << 17


def parse_lines(text: str, name: str) -> Iterator[Entry]:
    """Read lines `REFERENCE [KEY=VALUE ...]`, words quoted as in a shell; from a # that begins a word on is a comment.

    Raises InvalidList.
    """
    # Not splitlines(): a name may hold what only Unicode takes for the end of a line.
    for number, line in enumerate(text.split("\n"), start=1):
        place = f"line {number}"
        if "\0" in line:
            raise InvalidList(name, place, "this is no text; name a list of images")
        line = _QUOTED_OR_COMMENT.sub(r"\1", line)
        if len(line) > _LONGEST:
            raise InvalidList(name, place, f"it is longer than {_LONGEST >> 10} KiB; name a list of images")
        try:
            words = shlex.split(line)
        except ValueError as error:
            raise InvalidList(name, place, f"{error}; quote words as in a shell") from error
        if words:
            try:
                yield _entry(number, words)
            except UsageError as error:
                raise InvalidList(name, place, str(error)) from error


def _entry(number: int, words: list[str]) -> Entry:
    output: str | None = None
    changes: dict[str, Any] = {}
    for word in words[1:]:
        key, equals, value = word.partition("=")
        if key not in _KNOWN:
            raise UsageError(f"{quoted(word)} is no option; write KEY=VALUE ({offer(key, _KNOWN)})")
        if not equals:
            raise UsageError(f"{key} has no value; write {key}=VALUE")
        repeats = key in KEYS and KEYS[key].repeats
        if (key in changes and not repeats) or (key == "output" and output is not None):
            raise UsageError(f"{key} is given twice")
        if key == "output":
            output = value
        elif repeats:
            # Under one name for all that share an order.
            first = KEYS[key].first
            changes[first] = (*changes.get(first, ()), KEYS[key].read(value))
        else:
            changes[key] = KEYS[key].read(value)
    return Entry(number, f"line {number}", words[0], output, changes)
