"""What the process that fetches is asked by somebody who was taken over."""

from __future__ import annotations

import json
import os
import socket

import pytest

from builder.errors import SourceUnreadable
from builder.events import ignore
from builder.registry import RegistryAccess
from builder.registry.fetcher import fetcher, running_fetcher
from builder.registry.questions import Nonsense, parse_question

NONSENSE = {
    "no JSON": b"nonsense",
    "no text": b'"\xff"',
    "deep": b"[" * 60_000,
    "a long number": b"1" * 10_000,
    "no object": b"[]",
    "no question": b"{}",
    "a number": b'{"what": 7}',
    "a text in place of a number": b'{"what": "tags", "origin": 0, "count": "1&x=y"}',
    "less than nothing": b'{"what": "blob", "origin": 0, "position": -1}',
}


@pytest.mark.parametrize("reference", ["../../other/manifests/latest", "..", "a/b", "a?b", "a#b", "a b", "a\n", ""])
def test_no_tag_leads_out_of_its_repository(reference: str) -> None:
    for what, name in (("manifest", "reference"), ("tag_hint", "tag")):
        with pytest.raises(Nonsense):
            parse_question(json.dumps({"what": what, "origin": 0, name: reference}).encode())


@pytest.mark.parametrize("reference", ["latest", "1.0_a-B", f"sha512-{'0' * 128}.sig", f"sha256:{'0' * 64}"])
def test_tags_and_digests_are_taken(reference: str) -> None:
    asked = parse_question(json.dumps({"what": "manifest", "origin": 0, "reference": reference}).encode())
    assert asked.reference == reference


def test_names_of_files_need_not_be_text() -> None:
    name = os.fsdecode(b"/home/\xff")
    assert parse_question(json.dumps({"what": "open", "directory": name}).encode()).directory == name


@pytest.mark.parametrize("message", NONSENSE.values(), ids=list(NONSENSE))
def test_who_says_nonsense_is_served_no_more(message: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    with fetcher():
        process = running_fetcher()
        assert process is not None
        process._control.sendall(message)
        with pytest.raises(SourceUnreadable, match="has ended"):
            process.open("registry.example", "image", RegistryAccess(), ignore)
    assert capfd.readouterr().err == ""


def test_an_answer_goes_to_no_file(capfd: pytest.CaptureFixture[str]) -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    with fetcher():
        process = running_fetcher()
        assert process is not None
        socket.send_fds(process._control, [b'{"what": "tags", "origin": 0}'], [nothing])
        with pytest.raises(SourceUnreadable, match="has ended"):
            process.open("registry.example", "image", RegistryAccess(), ignore)
    os.close(nothing)
    assert capfd.readouterr().err == ""
