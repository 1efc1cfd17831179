"""A list of images as TOML: `[[image]]` tables with a reference and options, and `[defaults]` for all of them."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from typing import Any

from builder.batch.entries import KEYS, Entry, InvalidList, offer
from builder.errors import UsageError
from builder.words import quoted

# Its parser takes the square of the length for some of what it takes.
_MAX_SIZE = 4 << 20
_FIRST_TABLE = re.compile(r"(?:[ \t\r]*(?:#[^\n]*)?\n)*[ \t]*\[(?:\[[ \t]*image[ \t]*\]|[ \t]*defaults[ \t]*)\]")
# Its parser keeps every beginning of such a key: of a hundred thousand parts, those take tens of gigabytes.
_KEY = r"""(?:[A-Za-z0-9_-]++|"(?:[^"\\\n]|\\.)*+"|'[^'\n]*+')"""
_DEEP_KEY = re.compile(rf"^[ \t]*+\[{{0,2}}+[ \t]*+(?:{_KEY}[ \t]*+\.[ \t]*+){{16}}", re.MULTILINE)
_TOO_DEEP = "its values are nested too deep; an option is a text, a number or true"
_KNOWN = ("reference", "output", *KEYS)
# Numbers of more digits are no sizes, and cannot be written without more ado.
_LARGEST = 1 << 63


def is_toml(text: str, name: str) -> bool:
    """Tell whether a list is one of tables: by the suffix of its file, or because it begins with one."""
    return name.lower().endswith(".toml") or _FIRST_TABLE.match(text) is not None


def parse_tables(text: str, name: str) -> Iterator[Entry]:
    """Read the tables of a list, whose keys are `reference`, `output` and those of KEYS. Raises InvalidList."""
    document = _parse(text, name)
    if unknown := sorted(document.keys() - {"image", "defaults"}):
        raise InvalidList(name, "", f"{quoted(unknown[0])} is none of its tables; write [[image]] and [defaults]")
    tables, defaults = document.get("image", []), document.get("defaults", {})
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise InvalidList(name, "", "image is no list of tables; write [[image]] above each")
    if not isinstance(defaults, dict):
        raise InvalidList(name, "", "defaults is no table; write [defaults] above what is meant for all")
    common = _read(defaults, name, "[defaults]")
    for number, table in enumerate(tables, start=1):
        place = f"[[image]] {number}"
        reference, output = (_text(table.get(key), key, name, place) for key in ("reference", "output"))
        if not reference:
            raise InvalidList(name, place, 'it names no image; write reference = "oci:DIR:TAG" or the like')
        options = {key: value for key, value in table.items() if key not in ("reference", "output")}
        yield Entry(number, place, reference, output, common | _read(options, name, place))


def _parse(text: str, name: str) -> dict[str, Any]:
    if len(text) > _MAX_SIZE:
        raise InvalidList(name, "", f"it is larger than {_MAX_SIZE >> 20} MiB; split it")
    if _DEEP_KEY.search(text):
        raise InvalidList(name, "", _TOO_DEEP)
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise InvalidList(name, "", _TOO_DEEP) from error
    except ValueError as error:
        raise InvalidList(name, "", f"it is no TOML: {quoted(str(error), 200)}") from error


def _read(table: dict[str, Any], name: str, place: str) -> dict[str, Any]:
    """Read options; what several of them say together keeps the order of the file."""
    changes: dict[str, Any] = {}
    for key, value in table.items():
        if key not in KEYS:
            # What is one image's own is known, but not here.
            known = KEYS if key in _KNOWN else _KNOWN
            raise InvalidList(name, place, f"{quoted(key, 100)} is no option; {offer(key, known)}")
        option = KEYS[key]
        try:
            if option.repeats:
                values = value if isinstance(value, list) else [value]
                changes[option.first] = (*changes.get(option.first, ()), *(option.read(_word(each)) for each in values))
            else:
                changes[key] = option.read(_word(value))
        except UsageError as error:
            raise InvalidList(name, place, f"{key}: {error}") from error
    return changes


def _word(value: Any) -> str:
    """Write a value of TOML as a line of a list has it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and abs(value) < _LARGEST:
        return str(value)
    if isinstance(value, str) and "\0" not in value:
        return value
    raise UsageError("is no value of an option; write a text, a whole number, true or false")


def _text(value: Any, key: str, name: str, place: str) -> str | None:
    if value is None or (isinstance(value, str) and "\0" not in value):
        return value
    raise InvalidList(name, place, f"{key} is no text; write it in quotes")
