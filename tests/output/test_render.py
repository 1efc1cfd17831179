"""JSON for people and programs alike: it is read as it was meant, and nothing in it moves a cursor."""

from __future__ import annotations

import json

from builder.output.render import render_json


def test_json_holds_nothing_that_a_terminal_obeys_and_is_read_as_it_was_meant() -> None:
    document = {"name": "".join(map(chr, range(0x100))) + "é\udcff€", "other\x9b": [1]}
    rendered = render_json(document)
    assert json.loads(rendered) == document
    assert all(
        character.isprintable() or character == "\n"
        for character in rendered.decode().translate({0xA0: None, 0xAD: None})
    )
    assert "é".encode() in rendered
