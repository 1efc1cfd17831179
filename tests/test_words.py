"""What images call things reaches people legibly, and terminals as nothing but text."""

from __future__ import annotations

import os

import pytest

from builder.errors import BlobMissing, BuilderError, InvalidReference, PlatformNotFound
from builder.words import legible, listed, quoted, without_password

DANGEROUS = {
    "an escape sequence": ("\x1b[2Jgone", r"\x1b[2Jgone"),
    "a C1 control": ("\x9b2J", r"\x9b2J"),
    "a line end": ("a\nb\r\x0b\x85\u2028c", r"a\nb\r\x0b\x85\u2028c"),
    "a turn of direction": ("exe\u202egpj", r"exe\u202egpj"),
    "an isolate": ("\u2066a\u2069\u200f", r"\u2066a\u2069\u200f"),
    "a surrogate": ("\ud800", r"\ud800"),
    "a byte that is no UTF-8": (os.fsdecode(b"\xff\x9b"), r"\xff\x9b"),
    "a private character": ("\ue000\U000e0001", r"\ue000\U000e0001"),
}


@pytest.mark.parametrize("kind", DANGEROUS)
def test_what_is_not_to_be_printed_is_escaped(kind: str) -> None:
    words, shown = DANGEROUS[kind]
    assert legible(words) == shown
    assert legible(words.encode("utf-8", "surrogatepass" if words == "\ud800" else "surrogateescape")).isprintable()
    assert str(BuilderError(f"{words}: is wrong")) == f"{shown}: is wrong"


def test_what_is_to_be_printed_stays() -> None:
    assert legible("Grüße, 世界: 'a' \\ b") == "Grüße, 世界: 'a' \\ b"
    assert quoted("é\n\x1b".encode() + b"\xff") == r"'é\n\x1b\xff'"


def test_what_has_no_end_is_cut() -> None:
    assert quoted(b"n" * 4096) == "'" + "n" * 4096 + "'"
    assert quoted(b"n" * 1_000_000) == "'" + "n" * 4096 + "…'"
    assert quoted("name", 2) == "'na…'"


def test_of_many_names_the_first_are_told_and_how_many_there_are() -> None:
    names = [f"linux/{number}" for number in range(30_000)]
    twenty = ", ".join(names[:20])
    assert listed(names) == f"{twenty} and 29980 more"
    assert str(PlatformNotFound("app", "linux/arm", names)).endswith(f"available: {twenty} and 29980 more")
    assert str(BlobMissing("layer 1", names)).endswith(f"but by {twenty} and 29980 more")


def test_passwords_stay_out_of_messages() -> None:
    assert without_password("ftp://me:secret@host/dir") == "ftp://me@host/dir"
    assert without_password("ftp://me:sec@ret@host/dir") == "ftp://me@host/dir"
    assert without_password("docker://app:1.0@sha256:0") == "docker://app:1.0@sha256:0"
    assert without_password("zip://a.zip!/b@c:d") == "zip://a.zip!/b@c:d"
    assert without_password("docker://host:5000/app@sha256:0") == "docker://host:5000/app@sha256:0"
    assert "secret" not in str(InvalidReference("https://me:secret@host/app", "is none of ours"))
