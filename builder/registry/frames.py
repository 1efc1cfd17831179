"""What a process that fetches answers: frames over a socket, with content, a notice, a result or an error in each.

Neither side believes the other: lengths and kinds are checked, and an error is made of a table's classes and of words.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Iterator
from typing import Any

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
from builder.shortage import shortage

DATA, NOTICE, RESULT, ERROR = b"D", b"N", b"R", b"E"

_HEAD = struct.Struct("=cI")
_LONGEST = 1 << 20
_READ_SIZE = 1 << 18
# Of the causes of an error: how many are told, and how much of each.
_CAUSES, _WORDS = 8, 2000

# By class, the attributes that it is made of.
_ERRORS: dict[type[Exception], tuple[str, ...]] = {
    SourceUnreadable: ("where", "reason"),
    UnsupportedImage: ("what", "reason"),
    InvalidDigest: ("text", "reason"),
    DigestMismatch: ("what", "expected", "actual"),
    SizeMismatch: ("what", "expected", "actual"),
    BlobMissing: ("what",),
    AccessDenied: ("where", "reason"),
    Refused: ("where", "how", "status"),
    Passing: ("where", "reason", "wait", "dialling"),
    GaveUp: ("where", "reason"),
    NoTls: ("where", "reason"),
}
_BY_NAME = {kind.__name__: kind for kind in _ERRORS}


class Broken(Exception):
    """What came is no frame, or no result."""


def send_frame(to: socket.socket, kind: bytes, content: bytes) -> None:
    """Send one frame. Raises OSError where nobody reads any more."""
    head = _HEAD.pack(kind, len(content))
    sent = to.sendmsg([head, content])
    # Of what is large nothing is copied for the rest of it.
    if sent < len(head):
        to.sendall(head[sent:])
    if sent < len(head) + len(content):
        to.sendall(memoryview(content)[max(sent - len(head), 0) :])


def send_json(to: socket.socket, kind: bytes, content: object) -> None:
    """Send a frame of JSON."""
    send_frame(to, kind, json.dumps(content).encode())


def send_error(to: socket.socket, error: Exception) -> None:
    """Send a frame of an error; where there is no memory for its words, of that. Raises OSError as send_frame."""
    try:
        content = json.dumps(describe_error(error)).encode()
    except MemoryError:
        content = _NO_MEMORY
    send_frame(to, ERROR, content)


def frames(come: socket.socket) -> Iterator[tuple[bytes, bytes]]:
    """Yield frames, those with content in pieces as they come, until there is nothing more. Raises Broken, OSError."""
    while len(head := _read(come, _HEAD.size)) == _HEAD.size:
        kind, left = _HEAD.unpack(head)
        if kind not in (DATA, NOTICE, RESULT, ERROR) or left > _LONGEST:
            raise Broken
        if kind == DATA:
            while left and (chunk := come.recv(min(left, _READ_SIZE))):
                left -= len(chunk)
                yield kind, chunk
        else:
            content = _read(come, left)
            left -= len(content)
            if not left:
                yield kind, content
        if left:
            return


def _read(come: socket.socket, size: int) -> bytes:
    """Read so much, or less at the end. A signal, or being stopped and going on, cuts short even what is to wait."""
    content = b""
    while len(content) < size and (more := come.recv(size - len(content), socket.MSG_WAITALL)):
        content += more
    return content


def read_json(content: bytes) -> Any:
    """Read the content of a frame of JSON. Raises Broken."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        raise Broken from None


def describe_error(error: Exception) -> dict[str, object]:
    """Write an error, and what caused it, for the other side; `read_error` makes it of that again."""
    causes: list[list[str]] = []
    cause = error.__cause__
    while cause is not None and len(causes) < _CAUSES:
        causes.append([type(cause).__name__, str(cause)[:_WORDS]])
        cause = cause.__cause__
    return {**_words(error), "causes": causes}


def _words(error: Exception) -> dict[str, object]:
    if isinstance(error, NotThere):
        return {"kind": "NotThere", "words": [str(error)]}
    attributes = _ERRORS.get(type(error))
    if attributes is not None:
        return {"kind": type(error).__name__, "words": [getattr(error, name) for name in attributes]}
    if isinstance(error, ImportError):
        return {"status": MissingRequirement.exit_status, "words": [f"{error}; install rootfs-builder again"]}
    known = error if isinstance(error, BuilderError) else shortage(error)
    if known is not None:
        return {"status": known.exit_status, "words": [str(known)]}
    return {"status": BuilderError.exit_status, "words": [f"fetching failed: {type(error).__name__}: {error}"]}


def read_error(content: bytes) -> Exception:
    """Make the error that the other side wrote. Raises Broken."""
    written = read_json(content)
    try:
        error = _made(written)
        error.__cause__ = _cause(written["causes"][:_CAUSES])
    except (KeyError, TypeError, ValueError, IndexError):
        raise Broken from None
    return error


def _made(written: dict[str, Any]) -> Exception:
    words = written["words"]
    if not all(word is None or isinstance(word, str | int | float) for word in words):
        raise Broken
    if written.get("kind") == "NotThere":
        return NotThere(*words)
    if "kind" in written:
        return _BY_NAME[written["kind"]](*words)
    kind = MissingRequirement if written["status"] == MissingRequirement.exit_status else BuilderError
    return kind(*words)


def _cause(causes: list[list[str]]) -> BaseException | None:
    """Chain causes that have the names and the words that they had over there."""
    made: BaseException | None = None
    for name, words in reversed(causes):
        cause = type(str(name), (Exception,), {})(str(words))
        cause.__cause__ = made
        made = cause
    return made


_NO_MEMORY = json.dumps(describe_error(MemoryError())).encode()
