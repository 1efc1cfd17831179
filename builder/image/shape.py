"""From JSON to typed values: strict about what a disk depends on, tolerant about all else, and Go's decoder the judge.

Most of the container world reads these documents with Go, which ignores the case of keys, takes null for nothing, and
the last of two equal keys. So a key in another case is taken for the field that it can only mean; but where two keys of
an object mean one field, readers disagree on what the image is, and it is refused. What is marked LENIENT decides
nothing about a disk: what does not fit there is left out, and a remark says so.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

from builder.errors import MalformedDocument
from builder.image.document import Repeating, member

# Marks the type of a field, as in Annotated[dict[str, str] | None, LENIENT].
LENIENT = msgspec.Meta(extra={"lenient": True})

# Of one document, in all of its lists and maps together. So many do not fit into one if they are real; of what is none,
# it could hold millions, and each is looked at by itself.
_MOST_ITEMS = 1 << 17
_LEFT_OUT = object()
_HALF_PAIR = "holds half of a surrogate pair, which is no character"
_Shape = TypeVar("_Shape", bound=msgspec.Struct)


class Remarks:
    """What was overlooked while one document was read, by JSON path; and how many items its lists and maps have."""

    def __init__(self) -> None:
        self.left_out: list[str] = []
        self.folded: list[str] = []
        self._items = 0

    def count(self, items: int, name: str, path: str) -> None:
        """Count the items of a list or a map at `path`; raises MalformedDocument for more than any document has."""
        self._items += items
        if self._items > _MOST_ITEMS:
            reason = f"with what is there, lists and maps have more than {_MOST_ITEMS} items, which are refused"
            raise MalformedDocument(name, path, reason)

    def texts(self) -> tuple[str, ...]:
        """Give one sentence for each kind of remark, with a count and the first of them."""
        texts = []
        if self.left_out:
            values = "1 value is" if len(self.left_out) == 1 else f"{len(self.left_out)} values are"
            texts.append(f"{values} left out, as no disk depends on it: {_first(self.left_out)}")
        if self.folded:
            texts.append(f"letter case is ignored, as Docker does, in {_first(self.folded)}")
        return tuple(texts)


def convert_document(value: Any, shape: type[_Shape], name: str, remarks: Remarks | None = None) -> _Shape:
    """Turn what read_document gave into `shape`, ignoring unknown fields; raises MalformedDocument."""
    return convert_part(value, shape, name, "$", remarks or Remarks())


def convert_part(value: Any, shape: type[_Shape], name: str, path: str, remarks: Remarks) -> _Shape:
    """Turn the part of a document at the JSON path `path` into `shape`; raises MalformedDocument."""
    fitted = _Fitting(name, remarks).fit(value, _type_info(shape), path, False)
    try:
        return msgspec.convert(fitted, shape, strict=True)
    except msgspec.ValidationError as error:
        raise _malformed(name, path, str(error)) from error
    except UnicodeEncodeError as error:
        # A text where something else must be; msgspec does not say which.
        raise MalformedDocument(name, path, _HALF_PAIR) from error


class _Fitting:
    """One document's way into its shape. A shape never nests in itself, so that the walk is as deep as that."""

    def __init__(self, name: str, remarks: Remarks) -> None:
        self._name = name
        self._remarks = remarks

    def fit(self, value: Any, kind: inspect.Type, path: str, lenient: bool) -> Any:
        """Give the value with the fields' own keys; what does not fit a lenient field is _LEFT_OUT, else msgspec's."""
        while isinstance(kind, inspect.Metadata):
            lenient = lenient or bool((kind.extra or {}).get("lenient"))
            kind = kind.type
        for each in kind.types if isinstance(kind, inspect.UnionType) else (kind,):
            if isinstance(each, inspect.StructType) and isinstance(value, dict):
                return self._struct(value, each, path, lenient)
            if isinstance(each, inspect.DictType) and isinstance(value, dict):
                return self._map(value, each, path, lenient)
            if isinstance(each, inspect.ListType) and isinstance(value, list):
                self._remarks.count(len(value), self._name, path)
                items = [self.fit(item, each.item_type, f"{path}[{i}]", lenient) for i, item in enumerate(value)]
                return [item for item in items if item is not _LEFT_OUT]
            if isinstance(each, inspect.StrType) and isinstance(value, str):
                return self._text(value, path, lenient)
            if lenient and _fits(value, each):
                return value
        if not lenient:
            return value
        self._remarks.left_out.append(path)
        return _LEFT_OUT

    def _struct(self, value: dict[str, Any], kind: inspect.StructType, path: str, lenient: bool) -> dict[str, Any]:
        names = {field.encode_name.casefold(): field for field in kind.fields}
        read: dict[str, str] = {}
        fitted: dict[str, Any] = {}
        for key, item in value.items():
            field = names.get(key.casefold())
            if field is None:
                continue
            known = field.encode_name
            if known in read:
                self._twice(key, read[known], path, lenient)
            elif isinstance(value, Repeating) and key in value.repeated:
                self._twice(key, key, path, lenient)
            read[known] = key
            if key != known:
                self._remarks.folded.append(member(path, key))
            fitted[known] = self.fit(item, field.type, member(path, known), lenient)
        return {key: item for key, item in fitted.items() if item is not _LEFT_OUT}

    def _map(self, value: dict[str, Any], kind: inspect.DictType, path: str, lenient: bool) -> dict[str, Any]:
        self._remarks.count(len(value), self._name, path)
        fitted: dict[str, Any] = {}
        for key, item in value.items():
            where = member(path, key)
            if isinstance(value, Repeating) and key in value.repeated:
                self._twice(key, key, path, lenient)
            # Go's null is the empty text.
            item = "" if item is None and lenient and isinstance(kind.value_type, inspect.StrType) else item
            fitted[self._text(key, where, lenient)] = self.fit(item, kind.value_type, where, lenient)
        return {key: item for key, item in fitted.items() if item is not _LEFT_OUT}

    def _text(self, text: str, path: str, lenient: bool) -> str:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            if lenient:
                # As Go does.
                return re.sub("[\ud800-\udfff]", "\ufffd", text)
            raise MalformedDocument(self._name, path, _HALF_PAIR) from error
        return text

    def _twice(self, key: str, other: str, path: str, lenient: bool) -> None:
        if lenient:
            self._remarks.left_out.append(member(path, key))
            return
        reason = "the key is there more than once"
        if key != other:
            reason = f"differs from `{other}` only in case, so readers disagree on what it means"
        raise MalformedDocument(self._name, member(path, key), reason)


def _fits(value: Any, kind: inspect.Type) -> bool:
    if isinstance(kind, inspect.NoneType):
        return value is None
    if isinstance(kind, inspect.BoolType):
        return isinstance(value, bool)
    if isinstance(kind, inspect.IntType):
        low, high = kind.ge or 0, kind.le or (1 << 63) - 1
        return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
    return False


@cache
def _type_info(shape: type[msgspec.Struct]) -> inspect.Type:
    return inspect.type_info(shape)


def _first(paths: list[str]) -> str:
    return paths[0] if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more"


def _malformed(name: str, base: str, message: str) -> MalformedDocument:
    """Translate msgspec's "Reason - at `$.path`", where the path of a missing field is that of its object."""
    reason, _, path = message.partition(" - at `")
    path = base + path.removesuffix("`").removeprefix("$")
    if missing := re.fullmatch(r"Object missing required field `(.+)`", reason):
        return MalformedDocument(name, member(path, missing[1]), "is missing")
    return MalformedDocument(name, path, reason[:1].lower() + reason[1:])
