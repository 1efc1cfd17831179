"""JSON documents of an image as they are written: an object, or an error that says what is wrong with the text."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any, NoReturn

from builder.errors import MalformedDocument

# Registries and the other tools stop at 4 MiB (bytes) too; the largest real documents have some 100 KiB.
MAX_DOCUMENT_SIZE = 4 << 20


class Repeating(dict[str, Any]):
    """A JSON object of which some keys are `repeated`; it has the last value of each."""

    repeated: frozenset[str] = frozenset()


def read_document(data: bytes, name: str) -> dict[str, Any]:
    """Read a JSON object (RFC 8259, UTF-8 without a mark); `name` says in errors which document it is.

    Raises MalformedDocument for anything else, and for more than MAX_DOCUMENT_SIZE bytes.
    """
    if len(data) > MAX_DOCUMENT_SIZE:
        raise MalformedDocument(name, "$", f"is {len(data)} bytes long; more than {MAX_DOCUMENT_SIZE} are refused")
    try:
        document = json.loads(data.decode(), object_pairs_hook=_collect, parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise MalformedDocument(name, "$", f"is not UTF-8: byte {error.start} cannot be decoded") from error
    except RecursionError as error:
        raise MalformedDocument(name, "$", "is nested too deeply") from error
    except ValueError as error:
        raise MalformedDocument(name, "$", f"is not valid JSON: {error}") from error
    if not isinstance(document, dict):
        raise MalformedDocument(name, "$", "is not a JSON object")
    return document


def member(path: str, key: str) -> str:
    """Write the JSON path of an object's member: `$.config`, or `$["a b"]` if the key is no plain word."""
    if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,63}", key):
        return f"{path}.{key}"
    return f"{path}[{json.dumps(key if len(key) <= 64 else key[:64] + '…')}]"


def _collect(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) == len(pairs):
        return members
    counts = Counter(key for key, _ in pairs)
    repeating = Repeating(members)
    repeating.repeated = frozenset(key for key, count in counts.items() if count > 1)
    return repeating


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON number")
