"""From JSON to values: what is refused, what is left out, and what is said about that."""

from __future__ import annotations

from typing import Annotated

import msgspec
import pytest

from builder.errors import MalformedDocument
from builder.image.document import read_document
from builder.image.shape import LENIENT, Remarks, convert_document


class Inner(msgspec.Struct):
    size: int
    labels: dict[str, str] | None = None


class Step(msgspec.Struct):
    note: str | None = None
    count: Annotated[int, msgspec.Meta(ge=0)] | None = None
    done: bool | None = None


class Outer(msgspec.Struct):
    items: list[Inner]
    note: str | None = None
    words: list[str] | str | None = None
    odd: Annotated[dict[str, str] | None, LENIENT] = None
    steps: Annotated[list[Step] | None, LENIENT] = None


def convert(data: bytes) -> tuple[Outer, tuple[str, ...]]:
    remarks = Remarks()
    return convert_document(read_document(data, "the config"), Outer, "the config", remarks), remarks.texts()


def refusal(data: bytes) -> tuple[str, str, str]:
    with pytest.raises(MalformedDocument) as caught:
        convert(data)
    return caught.value.document, caught.value.path, caught.value.reason


@pytest.mark.parametrize(
    ("data", "path", "reason"),
    [
        (b"{}", "$.items", "is missing"),
        (b'{"items": null}', "$.items", "expected `array`, got `null`"),
        (b'{"items": [{}]}', "$.items[0].size", "is missing"),
        (b'{"items": [{"size": 1}, {"size": "2"}]}', "$.items[1].size", "expected `int`, got `str`"),
        (b'{"items": [{"size": true}]}', "$.items[0].size", "expected `int`, got `bool`"),
        (b'{"items": [{"size": 1.0}]}', "$.items[0].size", "expected `int`, got `float`"),
        (b'{"items": [], "note": 5}', "$.note", "expected `str | null`, got `int`"),
        (b'{"items": [], "note": "\\ud800"}', "$.note", "holds half of a surrogate pair, which is no"),
        (b'{"items": [{"size": 1, "labels": {"a b": "\\udc00"}}]}', '$.items[0].labels["a b"]', "holds half of"),
        (b'{"items": [{"size": 1, "labels": {"\\udc00": ""}}]}', '$.items[0].labels["\\udc00"]', "holds half"),
        (b'{"items": "\\ud800"}', "$", "holds half of a surrogate pair"),
        (b'{"items": [{"size": "\\ud800"}]}', "$", "holds half of a surrogate pair"),
        (b'{"items": [{"size": 1, "labels": {"a": {"\\ud800": 1}}}]}', "$.items[0].labels[...]", "expected `str`, got"),
        (b'{"items": [], "words": ["a", null]}', "$.words[1]", "expected `str`, got `null`"),
        (b'{"items": [], "words": {}}', "$.words", "expected `str | array | null`, got `object`"),
    ],
)
def test_what_breaks_the_types_is_refused_with_its_path(data: bytes, path: str, reason: str) -> None:
    document, where, why = refusal(data)
    assert (document, where) == ("the config", path)
    assert why.startswith(reason)
    assert "\n" not in why


@pytest.mark.parametrize(
    ("data", "path"),
    [
        (b'{"items": [], "items": []}', "$.items"),
        (b'{"items": [], "it\\u0065ms": []}', "$.items"),
        (b'{"items": [{"size": 1, "size": 1}]}', "$.items[0].size"),
        (b'{"items": [{"size": 1, "labels": {"k": "a", "k": "b"}}]}', "$.items[0].labels.k"),
        (b'{"items": [], "note": {"a": 1, "a": 2}, "note": "x"}', "$.note"),
    ],
)
def test_a_field_that_is_there_twice_is_refused(data: bytes, path: str) -> None:
    assert refusal(data) == ("the config", path, "the key is there more than once")


@pytest.mark.parametrize(
    ("data", "path", "other"),
    [
        (b'{"items": [], "Items": []}', "$.Items", "items"),
        (b'{"Items": [], "items": []}', "$.items", "Items"),
        (b'{"items": [], "NOTE": "x", "Note": "y"}', "$.Note", "NOTE"),
        (b'{"items": [{"size": 1, "Size": 2}]}', "$.items[0].Size", "size"),
        # Go folds the long s of Unicode too.
        ('{"items": [], "item\u017f": []}'.encode(), '$["item\\u017f"]', "items"),
    ],
)
def test_two_keys_that_differ_only_in_case_are_refused(data: bytes, path: str, other: str) -> None:
    reason = f"differs from `{other}` only in case, so readers disagree on what it means"
    assert refusal(data) == ("the config", path, reason)


def test_a_key_in_another_case_is_taken_for_its_field_as_go_does_and_that_is_said() -> None:
    assert convert(b'{"Items": [{"SIZE": 1}, {"sizE": 2}]}') == (
        Outer([Inner(1), Inner(2)]),
        ("letter case is ignored, as Docker does, in $.Items and 2 more",),
    )


def test_keys_of_maps_may_differ_only_in_case_and_unknown_fields_are_ignored_with_all_that_is_in_them() -> None:
    data = b'{"items": [{"size": 1, "labels": {"size": "a", "Size": "b"}}], "o": {"x": 1, "x": 2, "X": "\\ud800"}}'
    assert convert(data) == (Outer(items=[Inner(size=1, labels={"size": "a", "Size": "b"})]), ())


LEFT_OUT = "left out, as no disk depends on it: "


@pytest.mark.parametrize(
    ("odd", "value", "remark"),
    [
        (b"5", None, f"1 value is {LEFT_OUT}$.odd"),
        (b"null", None, None),
        (b"[]", None, f"1 value is {LEFT_OUT}$.odd"),
        (b'{"a": null, "b": "c"}', {"a": "", "b": "c"}, None),
        (b'{"a": 1, "b": "c", "d": {}, "e": []}', {"b": "c"}, f"3 values are {LEFT_OUT}$.odd.a and 2 more"),
        (b'{"a": "\\ud800b", "\\udc00": ""}', {"a": "\ufffdb", "\ufffd": ""}, None),
        (b'{"a": "b", "a": "c"}', {"a": "c"}, f"1 value is {LEFT_OUT}$.odd.a"),
    ],
)
def test_what_is_odd_where_no_disk_depends_on_it_is_left_out_and_counted(
    odd: bytes, value: dict[str, str] | None, remark: str | None
) -> None:
    outer, remarks = convert(b'{"items": [], "odd": ' + odd + b"}")
    assert (outer.odd, remarks) == (value, () if remark is None else (remark,))


def test_only_the_odd_parts_of_a_lenient_list_are_left_out() -> None:
    odd = b'null, 5, {"note": 1, "count": 2}, {"count": -1, "done": "yes"}, {"count": true}'
    steps = b"[" + odd + b', {"note": "a", "done": true}]'
    outer, remarks = convert(b'{"items": [], "steps": ' + steps + b"}")
    assert outer.steps == [Step(count=2), Step(), Step(), Step("a", done=True)]
    assert remarks == (f"6 values are {LEFT_OUT}$.steps[0] and 5 more",)


@pytest.mark.parametrize(
    ("data", "path"),
    [
        (b'{"items": [%s0]}' % (b"0," * 131072), "$.items"),
        (b'{"items": [], "steps": [%s0]}' % (b"0," * 131072), "$.steps"),
        (b'{"items": [], "steps": [%s0], "odd": {"a": ""}}' % (b"0," * 131071), "$.odd"),
    ],
)
def test_a_document_of_more_items_than_real_ones_is_refused_before_each_is_looked_at(data: bytes, path: str) -> None:
    reason = "with what is there, lists and maps have more than 131072 items, which are refused"
    assert refusal(data) == ("the config", path, reason)
