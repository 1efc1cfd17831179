"""What is asked of a process that fetches, where that says what it should not, or is gone."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterable

import pytest

from builder.errors import SourceUnreadable
from builder.events import ignore
from builder.image.descriptor import Descriptor
from builder.image.digest import Digest
from builder.registry import RegistryAccess, fetcher_process
from builder.registry.fetched import FetchedOrigin
from builder.registry.fetcher import fetcher, running_fetcher
from builder.registry.frames import DATA, RESULT, send_frame, send_json
from builder.shortage import Shortage

BLOB = Descriptor("application/octet-stream", Digest.of(b"content"), 7)


class Says:
    """Answers each question as it is told to, and keeps what was asked."""

    def __init__(self, say: Callable[[socket.socket], None]) -> None:
        self._say = say
        self.asked: list[str] = []

    def question(self, what: str, **words: object) -> socket.socket:
        self.asked.append(json.dumps({"what": what, **words}))
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self._say(theirs)
            except OSError:
                ours.close()
                raise
        return ours

    def tell(self, what: str, **words: object) -> None:
        pass

    def settle(self, digests: Iterable[Digest]) -> None:
        pass

    def lacked_memory(self) -> bool:
        return False


def says(*chunks: bytes) -> Says:
    def say(to: socket.socket) -> None:
        for chunk in chunks:
            send_frame(to, DATA, chunk)
        send_json(to, RESULT, None)

    return Says(say)


def test_of_a_blob_no_more_is_taken_than_it_has() -> None:
    with pytest.raises(SourceUnreadable, match="says what it should not"):
        list(FetchedOrigin(says(b"cont", b"ent", b"more"), "here", ignore).download(BLOB).chunks(0))
    chunks = FetchedOrigin(says(b"ent", b"more"), "here", ignore).download(BLOB).chunks(4)
    assert next(chunks) == b"ent"
    with pytest.raises(SourceUnreadable):
        next(chunks)


def test_what_an_image_says_of_a_blob_makes_no_question_too_long() -> None:
    asked = says(b"content")
    blob = Descriptor("application/" + "x" * 1_000_000, BLOB.digest, BLOB.size)
    assert b"".join(FetchedOrigin(asked, "here", ignore).download(blob).chunks(0)) == b"content"
    assert max(map(len, asked.asked)) < 1000


class AnswersLate(Says):
    """Answers what was asked so far once there are four questions, or six."""

    def __init__(self) -> None:
        super().__init__(lambda _: None)
        self._waiting: list[tuple[socket.socket, bool]] = []

    def question(self, what: str, **words: object) -> socket.socket:
        self.asked.append(what)
        ours, theirs = socket.socketpair()
        # Who asks for one after another gets no answer.
        ours.settimeout(20)
        self._waiting.append((theirs, words["digest"] != str(BLOB.digest)))
        if len(self.asked) in (4, 6):
            for to, is_there in self._waiting:
                with to:
                    send_json(to, RESULT, is_there)
            self._waiting.clear()
        return ours


def test_several_blobs_are_asked_for_at_once_but_not_all_of_an_image() -> None:
    digests = [Digest.of(bytes([number])) for number in range(6)]
    asked = AnswersLate()
    assert FetchedOrigin(asked, "here", ignore).which_blobs(digests) == set(digests)
    assert asked.asked == ["has_blob"] * 6


def test_after_a_blob_that_is_missing_no_others_are_asked_for() -> None:
    digests = [Digest.of(bytes([number])) for number in range(5)]
    asked = AnswersLate()
    assert FetchedOrigin(asked, "here", ignore).which_blobs([digests[0], BLOB.digest, *digests[1:]]) == {digests[0]}
    assert asked.asked == ["has_blob"] * 4


@pytest.mark.parametrize("error", [BrokenPipeError, ConnectionResetError, ConnectionRefusedError])
def test_who_is_gone_however_the_system_says_so_is_gone(error: type[OSError]) -> None:
    def say(_: socket.socket) -> None:
        raise error

    with pytest.raises(SourceUnreadable, match="has ended"):
        FetchedOrigin(Says(say), "here", ignore).has_blob(BLOB.digest)


def test_one_that_has_ended_for_want_of_memory_is_no_source_that_cannot_be_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def lost(_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(fetcher_process._Service, "serve", lost)
    with fetcher():
        process = running_fetcher()
        assert process is not None
        with pytest.raises(Shortage, match="no more memory"):
            process.open("registry.example", "image", RegistryAccess(None, None, True), ignore)
