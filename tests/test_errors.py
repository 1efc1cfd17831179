from __future__ import annotations

from builder.errors import printable


def test_a_raw_name_is_one_line_and_no_longer_than_a_path() -> None:
    assert printable("é\n\x1b".encode() + b"\xff") == r"'é\n\x1b\xff'"
    assert printable(b"n" * 4096) == "'" + "n" * 4096 + "'"
    assert printable(b"n" * 1_000_000) == "'" + "n" * 4096 + "…'"
