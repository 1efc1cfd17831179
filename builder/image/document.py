"""JSON documents of an image, read strictly: what every reader reads alike, or an error with its JSON path.

Go's decoder, which most of the container world uses, takes the last of two equal keys and ignores the case of
field names. A document that is only clear under such a rule could be one image to us and another to whoever
scanned or signed it, so both are refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any, NoReturn, TypeVar

import msgspec
from msgspec import inspect

from builder.errors import MalformedDocument

# Registries and the other tools stop at 4 MiB (bytes) too; the largest real documents have some 100 KiB.
MAX_DOCUMENT_SIZE = 4 << 20

_HALF_PAIR = "holds half of a surrogate pair, which is no character"

_Shape = TypeVar("_Shape", bound=msgspec.Struct)


def read_document(data: bytes, name: str) -> dict[str, Any]:
    """Read a JSON object (RFC 8259, UTF-8 without a mark); `name` says in errors which document it is.

    Raises MalformedDocument for anything else, for keys that repeat, and for more than MAX_DOCUMENT_SIZE
    bytes.
    """
    if len(data) > MAX_DOCUMENT_SIZE:
        raise MalformedDocument(name, "$", f"is {len(data)} bytes long; more than {MAX_DOCUMENT_SIZE} are refused")
    repeated: list[tuple[dict[str, Any], str]] = []

    def collect(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members = dict(pairs)
        if len(members) != len(pairs):
            repeated.append((members, _first_repeated(key for key, _ in pairs)))
        return members

    try:
        document = json.loads(data.decode(), object_pairs_hook=collect, parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise MalformedDocument(name, "$", f"is not UTF-8: byte {error.start} cannot be decoded") from error
    except RecursionError as error:
        raise MalformedDocument(name, "$", "is nested too deeply") from error
    except ValueError as error:
        raise MalformedDocument(name, "$", f"is not valid JSON: {error}") from error
    if repeated:
        # A repeated key further out may have dropped an inner object, but nothing dropped the last one.
        members, key = repeated[-1]
        raise MalformedDocument(name, member(_path_of(document, members), key), "the key is there more than once")
    if not isinstance(document, dict):
        raise MalformedDocument(name, "$", "is not a JSON object")
    return document


def convert_document(document: dict[str, Any], shape: type[_Shape], name: str) -> _Shape:
    """Turn what read_document gave into `shape`, ignoring unknown fields; raises MalformedDocument."""
    try:
        converted = msgspec.convert(document, shape, strict=True)
    except msgspec.ValidationError as error:
        raise _malformed(name, str(error)) from error
    except UnicodeEncodeError as error:
        # msgspec needs keys as UTF-8, and texts where it wants something else; it does not say which one this was.
        raise MalformedDocument(name, "$", _HALF_PAIR) from error
    except RecursionError as error:
        raise MalformedDocument(name, "$", "is nested too deeply") from error
    _check_names_and_texts(document, shape, name)
    return converted


def refuse_lookalikes(members: Iterable[str], fields: Iterable[str], path: str, name: str) -> None:
    """Refuse keys of an object that differ from one of `fields` only in case; raises MalformedDocument."""
    folded = {field.casefold(): field for field in fields}
    for key in members:
        field = folded.get(key.casefold(), key)
        if field != key:
            reason = f"differs from `{field}` only in case, so readers disagree on what it means"
            raise MalformedDocument(name, member(path, key), reason)


def member(path: str, key: str) -> str:
    """Write the JSON path of an object's member: `$.config`, or `$["a b"]` if the key is no plain word."""
    if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,63}", key):
        return f"{path}.{key}"
    return f"{path}[{json.dumps(key if len(key) <= 64 else key[:64] + '…')}]"


def shown(text: str) -> str:
    """Quote a text of the document for an error message: on one line, and cut where it is absurdly long."""
    return repr(text if len(text) <= 200 else text[:200] + "…")


def _check_names_and_texts(document: dict[str, Any], shape: type[msgspec.Struct], name: str) -> None:
    """Walk what `shape` describes, for two things that msgspec accepts: look-alike keys, lone surrogates."""
    pending: list[tuple[Any, inspect.Type, str]] = [(document, _type_info(shape), "$")]
    while pending:
        value, kind, path = pending.pop()
        if isinstance(kind, inspect.UnionType):  # always "something or null"
            kind = next(kind for kind in kind.types if not isinstance(kind, inspect.NoneType))
        if value is None:
            continue
        if isinstance(kind, inspect.StructType):
            fields = {field.encode_name: field.type for field in kind.fields}
            refuse_lookalikes(value, fields, path, name)
            pending += [(value[key], fields[key], member(path, key)) for key in fields if key in value]
        elif isinstance(kind, inspect.ListType):
            pending += [(item, kind.item_type, f"{path}[{index}]") for index, item in enumerate(value)]
        elif isinstance(kind, inspect.DictType):
            pending += [(key, kind.key_type, member(path, key)) for key in value]
            pending += [(item, kind.value_type, member(path, key)) for key, item in value.items()]
        elif isinstance(kind, inspect.StrType) and not _is_unicode(value):
            raise MalformedDocument(name, path, _HALF_PAIR)


@cache
def _type_info(shape: type[msgspec.Struct]) -> inspect.Type:
    return inspect.type_info(shape)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _malformed(name: str, message: str) -> MalformedDocument:
    """Translate msgspec's "Reason - at `$.path`", where the path of a missing field is that of its object."""
    reason, _, path = message.partition(" - at `")
    path = path.removesuffix("`") or "$"
    if missing := re.fullmatch(r"Object missing required field `(.+)`", reason):
        return MalformedDocument(name, member(path, missing[1]), "is missing")
    return MalformedDocument(name, path, reason[:1].lower() + reason[1:])


def _first_repeated(keys: Iterable[str]) -> str:
    seen: set[str] = set()
    for key in keys:
        if key in seen:
            return key
        seen.add(key)
    raise AssertionError("fewer members than keys, yet no key repeats")


def _path_of(document: Any, members: dict[str, Any]) -> str:
    """Find the JSON path of one particular object.

    Steps are linked rather than written out on the way: where the nesting is deep and the objects are many,
    all their paths together would be far larger than the document.
    """
    pending: list[tuple[Any, _Step | None]] = [(document, None)]
    while pending:
        value, step = pending.pop()
        if value is members:
            return _written(step)
        if isinstance(value, dict | list):
            items = value.items() if isinstance(value, dict) else enumerate(value)
            pending += [(item, _Step(step, key)) for key, item in items if isinstance(item, dict | list)]
    raise AssertionError("the object is not in its document")


@dataclass(frozen=True, slots=True)
class _Step:
    """The last step of a JSON path: into a member or an item, after `before`, which is None at the root."""

    before: _Step | None
    key: str | int


def _written(step: _Step | None) -> str:
    keys: list[str | int] = []
    while step is not None:
        keys.append(step.key)
        step = step.before
    path = "$"
    for depth, key in enumerate(reversed(keys)):
        if depth == 16:
            return f"{path}…"
        path = f"{path}[{key}]" if isinstance(key, int) else member(path, key)
    return path


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON number")
