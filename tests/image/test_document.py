"""JSON texts: an object, or a refusal."""

from __future__ import annotations

import pytest

from builder.errors import MalformedDocument
from builder.image.document import MAX_DOCUMENT_SIZE, Repeating, member, read_document


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
    ],
)
def test_what_is_no_json_object_is_refused(data: bytes, path: str, reason: str) -> None:
    with pytest.raises(MalformedDocument) as caught:
        read_document(data, "the config")
    assert (caught.value.document, caught.value.path) == ("the config", path)
    assert caught.value.reason.startswith(reason)
    assert "\n" not in caught.value.reason


def test_keys_that_repeat_are_told_and_the_last_value_kept() -> None:
    document = read_document(b'{"a": 1, "b": {"x": 1, "\\u0078": 2}, "a": 3}', "it")
    assert document == {"a": 3, "b": {"x": 2}}
    assert isinstance(document, Repeating)
    assert [document.repeated, document["b"].repeated] == [frozenset("a"), frozenset("x")]


def test_a_json_path_stays_one_short_line() -> None:
    assert member("$.config", "Env") == "$.config.Env"
    assert member("$", "a.b") == '$["a.b"]'
    assert member("$", 'line\n"quoted"') == '$["line\\n\\"quoted\\""]'
    assert len(member("$", "k" * 10_000)) < 100
