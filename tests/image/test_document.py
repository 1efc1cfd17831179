from __future__ import annotations

import json

import msgspec
import pytest

from builder.errors import MalformedDocument
from builder.image.document import MAX_DOCUMENT_SIZE, convert_document, member, read_document


class Inner(msgspec.Struct):
    size: int
    labels: dict[str, str] | None = None


class Outer(msgspec.Struct):
    items: list[Inner]
    note: str | None = None


def refusal(data: bytes) -> tuple[str, str, str]:
    with pytest.raises(MalformedDocument) as caught:
        convert_document(read_document(data, "the config"), Outer, "the config")
    return caught.value.document, caught.value.path, caught.value.reason


@pytest.mark.parametrize(
    ("data", "path", "reason"),
    [
        (b"", "$", "is not valid JSON: Expecting value"),
        (b"[]", "$", "is not a JSON object"),
        (b"null", "$", "is not a JSON object"),
        (b'{"items": []} x', "$", "is not valid JSON: Extra data"),
        (b'{"items": []}\0', "$", "is not valid JSON: Extra data"),
        (b'{"items": [],}', "$", "is not valid JSON"),
        (b"{'items': []}", "$", "is not valid JSON"),
        (b'{"items": [NaN]}', "$", "is not valid JSON: NaN is no JSON number"),
        (b'{"items": [], "unknown": -Infinity}', "$", "is not valid JSON: -Infinity is no JSON number"),
        (b'{"items": [], "unknown": "\xff"}', "$", "is not UTF-8: byte 26 cannot be decoded"),
        (b'\xef\xbb\xbf{"items": []}', "$", "is not valid JSON: Unexpected UTF-8 BOM"),
        ('{"items": []}'.encode("utf-16"), "$", "is not UTF-8: byte 0 cannot be decoded"),
        (b'{"items": [], "unknown": ' + b"9" * 5000 + b"}", "$", "is not valid JSON"),
        (b'{"items": [], "unknown": ' + b"[" * 200_000 + b"]" * 200_000 + b"}", "$", "is nested too deeply"),
        (b'{"unknown":' * 100_000 + b"0" + b"}" * 100_000, "$", "is nested too deeply"),
        (b"{" + b" " * MAX_DOCUMENT_SIZE + b"}", "$", "is 4194306 bytes long; more than 4194304 are refused"),
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
        (b'{"items": [], "\\ud800": 5}', "$", "holds half of a surrogate pair"),
        (b'{"items": "\\ud800"}', "$", "holds half of a surrogate pair"),
        (b'{"items": [{"size": "\\ud800"}]}', "$", "holds half of a surrogate pair"),
        (b'{"items": [{"size": 1, "labels": {"a": {"\\ud800": 1}}}]}', "$.items[0].labels[...]", "expected `str`, got"),
    ],
)
def test_what_breaks_json_or_the_types_is_refused_with_its_path(data: bytes, path: str, reason: str) -> None:
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
        (b'{"items": [], "unknown": [0, {"a\\n": 1, "a\\n": 2}]}', '$.unknown[1]["a\\n"]'),
        # The inner repetition is in the value that the outer one drops, so only the outer has a path.
        (b'{"items": [], "note": {"a": 1, "a": 2}, "note": "x"}', "$.note"),
    ],
)
def test_a_key_that_repeats_is_refused_wherever_it_is(data: bytes, path: str) -> None:
    assert refusal(data) == ("the config", path, "the key is there more than once")


def test_a_repeated_key_far_down_among_many_objects_is_refused_in_few_words() -> None:
    long_key = json.dumps("k" * 1000).encode()
    many = b"[" + b"{}," * 400_000 + b'{"a": 1, "a": 2}]'
    data = (b"{" + long_key + b":") * 500 + many + b"}" * 500
    _, path, reason = refusal(data)
    assert reason == "the key is there more than once"
    assert len(path) < 2000


@pytest.mark.parametrize(
    ("data", "path", "field"),
    [
        (b'{"items": [], "Items": []}', "$.Items", "items"),
        (b'{"items": [], "NOTE": "x"}', "$.NOTE", "note"),
        (b'{"items": [{"size": 1, "Size": 2}]}', "$.items[0].Size", "size"),
        # Go folds the long s of Unicode too.
        ('{"items": [], "item\u017f": []}'.encode(), '$["item\\u017f"]', "items"),
    ],
)
def test_a_key_that_differs_from_a_field_only_in_case_is_refused(data: bytes, path: str, field: str) -> None:
    reason = f"differs from `{field}` only in case, so readers disagree on what it means"
    assert refusal(data) == ("the config", path, reason)


def test_keys_of_maps_may_differ_only_in_case_and_unknown_fields_are_ignored() -> None:
    data = b'{"items": [{"size": 1, "labels": {"size": "a", "Size": "b"}}], "other": {"x": 1, "X": 1e999}}'
    outer = convert_document(read_document(data, "the config"), Outer, "the config")
    assert outer == Outer(items=[Inner(size=1, labels={"size": "a", "Size": "b"})])


def test_a_json_path_stays_one_short_line() -> None:
    assert member("$.config", "Env") == "$.config.Env"
    assert member("$", "a.b") == '$["a.b"]'
    assert member("$", 'line\n"quoted"') == '$["line\\n\\"quoted\\""]'
    assert len(member("$", "k" * 10_000)) < 100
