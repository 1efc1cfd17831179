"""Frames between a build and what fetches for it: neither side believes the other."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from builder.errors import (
    BlobMissing,
    BuilderError,
    DigestMismatch,
    InvalidDigest,
    MissingRequirement,
    SizeMismatch,
    SourceUnreadable,
    UnsupportedImage,
)
from builder.registry.failures import AccessDenied, GaveUp, NoTls, NotThere, Passing, Refused
from builder.registry.frames import (
    DATA,
    ERROR,
    RESULT,
    Broken,
    describe_error,
    frames,
    read_error,
    read_json,
    send_error,
    send_frame,
    send_json,
)
from builder.shortage import shortage


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with closing(ours), closing(theirs):
        yield ours, theirs


def test_frames_come_in_order_and_content_in_pieces(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = ends
    send_frame(theirs, DATA, b"content")
    send_frame(theirs, DATA, b"")
    send_json(theirs, RESULT, {"a": 1})
    theirs.close()
    assert list(frames(ours)) == [(DATA, b"content"), (RESULT, b'{"a": 1}')]


@pytest.mark.parametrize("sent", [b"X\1\0\0\0x", b"D\xff\xff\xff\xff"], ids=["kind", "length"])
def test_what_is_no_frame_is_not_read(ends: tuple[socket.socket, socket.socket], sent: bytes) -> None:
    ours, theirs = ends
    theirs.sendall(sent)
    theirs.close()
    with pytest.raises(Broken):
        list(frames(ours))


@pytest.mark.parametrize("sent", [b"", b"D\1", b"D\4\0\0\0abc", b"R\4\0\0\0{}"])
def test_a_frame_that_is_cut_ends_all(ends: tuple[socket.socket, socket.socket], sent: bytes) -> None:
    ours, theirs = ends
    theirs.sendall(sent)
    theirs.close()
    assert [kind for kind, _ in frames(ours) if kind != DATA] == []


def test_a_signal_in_the_middle_of_a_frame_cuts_nothing(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = ends
    theirs.sendall(b"R\4\0\0\0tr")

    def rest(_number: int, _frame: object) -> None:
        theirs.sendall(b"ue")
        theirs.close()

    before = signal.signal(signal.SIGALRM, rest)
    try:
        # In seconds: should it come too early, what it cuts is nothing, and the outcome the same.
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        assert list(frames(ours)) == [(RESULT, b"true")]
    finally:
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 100_000])
def test_what_is_no_json_is_not_read(content: bytes) -> None:
    with pytest.raises(Broken):
        read_json(content)


@pytest.mark.parametrize(
    "written",
    [
        None,
        [],
        {},
        {"kind": "SystemExit", "words": [1], "causes": []},
        {"kind": "BuilderError", "words": ["x"], "causes": []},
        {"kind": "Passing", "words": [], "causes": []},
        {"kind": "SourceUnreadable", "words": ["x", ["y"]], "causes": []},
        {"kind": ["NotThere"], "words": ["x"], "causes": []},
        {"status": 1, "words": [], "causes": []},
        {"status": 1, "words": ["x"], "causes": [["one"]]},
        {"status": 1, "words": ["x"], "causes": [["a\0b", "c"]]},
        {"status": 1, "words": ["x"]},
    ],
    ids=str,
)
def test_what_is_no_error_is_not_made_one(written: object) -> None:
    with pytest.raises(Broken):
        read_error(json.dumps(written).encode())


def test_a_kind_that_is_an_error_is_one() -> None:
    assert ERROR != RESULT
    assert str(read_error(b'{"status": 1, "words": ["x"], "causes": []}')) == "x"


@pytest.mark.parametrize(
    "error",
    [
        SourceUnreadable("here", "does not answer"),
        UnsupportedImage("this", "is too long"),
        InvalidDigest("sha1:0", "is no digest"),
        DigestMismatch("blob", "sha256:1", "sha256:2"),
        SizeMismatch("blob", 1, 2),
        BlobMissing("blob"),
        AccessDenied("here", "wants a log-in"),
        NotThere("answered 404"),
        Refused("here", "answered 418", 418),
        Passing("here", "answered 503", 2.5),
        Passing("here", "no connection", None, True),
        GaveUp("here", "answered 503; gave up"),
        NoTls("here", "speaks no TLS"),
        MissingRequirement("it takes more"),
        BuilderError("it failed"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_are_the_same_on_both_sides(error: Exception) -> None:
    error.__cause__ = ValueError("why")
    error.__cause__.__cause__ = OSError("and why that")
    read = read_error(json.dumps(describe_error(error)).encode())
    assert (type(read), str(read), vars(read)) == (type(error), str(error), vars(error))
    cause = read.__cause__
    assert cause is not None
    assert cause.__cause__ is not None
    assert [type(cause).__name__, str(cause), str(cause.__cause__)] == ["ValueError", "why", "and why that"]


def test_what_is_missing_and_what_nobody_foresaw_end_in_a_line_as_well() -> None:
    missing = read_error(json.dumps(describe_error(ImportError("No module named 'urllib3'"))).encode())
    assert isinstance(missing, MissingRequirement)
    assert str(missing) == "No module named 'urllib3'; install rootfs-builder again"
    unforeseen = read_error(json.dumps(describe_error(ZeroDivisionError("division by zero"))).encode())
    assert str(unforeseen) == "fetching failed: ZeroDivisionError: division by zero"


def test_an_error_that_there_is_no_memory_to_describe_is_one_of_memory(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    class Lost(Exception):
        def __str__(self) -> str:
            raise MemoryError

    send_error(ends[0], Lost())
    (kind, content) = next(frames(ends[1]))
    assert (kind, str(read_error(content))) == (ERROR, str(shortage(MemoryError())))
