"""JSON for people and programs alike: it is read as it was meant, and nothing in it moves a cursor."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from builder.output.metadata import disk_digest, render_json


def test_json_holds_nothing_that_a_terminal_obeys_and_is_read_as_it_was_meant() -> None:
    document = {"name": "".join(map(chr, range(0x100))) + "é\udcff€", "other\x9b": [1]}
    rendered = render_json(document)
    assert json.loads(rendered) == document
    assert all(
        character.isprintable() or character == "\n"
        for character in rendered.decode().translate({0xA0: None, 0xAD: None})
    )
    assert "é".encode() in rendered


def test_holes_of_a_disk_are_hashed_as_the_zeros_they_read_as(tmp_path: Path) -> None:
    whole = bytes(70_000) + b"a" * 5000 + bytes(3 << 20) + b"b" + bytes(9000)
    for holes in (True, False):
        disk = tmp_path / f"disk-{holes}"
        with disk.open("wb") as file:
            if holes:
                for at, byte in ((70_000, b"a" * 5000), (75_000 + (3 << 20), b"b")):
                    file.seek(at)
                    file.write(byte)
                file.truncate(len(whole))
            else:
                file.write(whole)
        assert disk_digest(disk) == hashlib.sha256(whole).hexdigest()
