"""Blobs on a way where everything goes wrong that can: each ends up whole, or in the one right error."""

from __future__ import annotations

from dataclasses import replace
from email.utils import formatdate
from pathlib import Path
from threading import Event

import pytest
from support.proxy import Answer, Fault, Proxy
from support.registry import Registry
from support.remote import BLOBS, IMAGE, NAME, files_in, listen_to, read_image

from builder import BuildOptions, build
from builder.actions.pull import pull
from builder.decoded.options import CacheOptions
from builder.errors import (
    DigestMismatch,
    SizeMismatch,
    SourceUnreadable,
)
from builder.registry import download, http, retry
from builder.sources.access import Access, Means


@pytest.fixture(scope="module", autouse=True)
def _image(registry: Registry) -> None:
    registry.push(NAME, IMAGE)


@pytest.mark.parametrize("position", [0, 1, 400_000])
@pytest.mark.parametrize("size_known", [True, False])
def test_a_connection_that_breaks_off_is_resumed(proxy: Proxy, access: Access, position: int, size_known: bool) -> None:
    def end_unmarked(answer: Answer) -> None:
        answer.set("Content-Length", None)
        answer.set("Connection", "close")

    proxy.faults.append(Fault(f"GET .*{BLOBS[1]}", 3, cut=position, change=None if size_known else end_unmarked))
    assert read_image(f"docker://{proxy.host}/faults", access) == BLOBS
    ranges = [each.headers.get("Range") for each in proxy.sent(f"GET .*{BLOBS[1]}")]
    assert len(ranges) == 4
    assert ranges[0] is None
    if position > 1:
        starts = [int(str(each).removeprefix("bytes=").removesuffix("-")) for each in ranges[1:]]
        assert starts == sorted(starts)
        assert starts[0] > 0


def _ignore_range(headers: dict[str, str]) -> None:
    headers.pop("Range", None)


def _another_range(answer: Answer) -> None:
    answer.set("Content-Range", f"bytes 7-{len(answer.body) + 6}/{len(answer.body) + 7}")


@pytest.mark.parametrize(
    "fault",
    [
        Fault("", before=_ignore_range),
        Fault("", 1, change=_another_range),
        Fault("", 1, answer=Answer(416, {}, b"")),
    ],
    ids=["ignores ranges", "sends another range", "has no such range"],
)
def test_a_registry_without_ranges_is_read_from_the_beginning(proxy: Proxy, access: Access, fault: Fault) -> None:
    proxy.faults.append(Fault(f"GET .*{BLOBS[1]}", 1, cut=1_000_000))
    proxy.faults.append(replace(fault, pattern=f"GET .*{BLOBS[1]}"))
    assert read_image(f"docker://{proxy.host}/faults", access) == BLOBS


@pytest.mark.parametrize("status", [400, 405, 501])
def test_a_registry_that_refuses_to_resume_is_read_from_the_beginning(
    proxy: Proxy, access: Access, status: int
) -> None:
    proxy.faults.append(Fault(f"GET .*{BLOBS[1]}", 1, cut=1_500_000))
    proxy.faults.append(Fault(f"GET .*{BLOBS[1]}", 1, answer=Answer(status, {}, b"")))
    assert read_image(f"docker://{proxy.host}/faults", access) == BLOBS
    ranges = [each.headers.get("Range") is None for each in proxy.sent(f"GET .*{BLOBS[1]}")]
    assert ranges == [True, False, True]


def test_an_interrupted_build_is_resumed_by_the_next(proxy: Proxy, tmp_path: Path) -> None:
    access = Access(store=str(tmp_path / "store"))
    proxy.faults.append(Fault(f"GET .*{BLOBS[1]}", 1, cut=1_500_000))
    proxy.faults.append(Fault(f"GET .*{BLOBS[1]}", answer=Answer(418, {}, b"")))
    with pytest.raises(SourceUnreadable):
        read_image(f"docker://{proxy.host}/faults", access)
    proxy.faults.clear()
    proxy.requests.clear()
    assert read_image(f"docker://{proxy.host}/faults", access) == BLOBS
    (request,) = proxy.sent(f"GET .*{BLOBS[1]}")
    assert int(request.headers["Range"].removeprefix("bytes=").removesuffix("-")) > 100_000
    assert files_in(tmp_path / "store" / "images" / "tmp") == []


def leave_damaged(store: Path) -> Access:
    left = store / f"images/tmp/{BLOBS[1].replace(':', '-')}.{'0' * 16}"
    left.parent.mkdir(parents=True)
    left.write_bytes(bytes(1000))
    return Access(store=str(store))


def test_where_what_was_left_is_damaged_the_image_is_not_refused(proxy: Proxy, tmp_path: Path) -> None:
    """It is as good as ever; and what was left is gone."""
    options = BuildOptions(access=leave_damaged(tmp_path / "store"), cache=CacheOptions(keep=False))
    with pytest.raises(SourceUnreadable, match=r"what an interrupted transfer had left .* is removed: try again$"):
        build(f"docker://{proxy.host}/faults", tmp_path / "disk.ext4", options)
    build(f"docker://{proxy.host}/faults", tmp_path / "disk.ext4", options)


def test_a_pull_fetches_anew_what_was_left_damaged(proxy: Proxy, tmp_path: Path) -> None:
    access = leave_damaged(tmp_path / "store")
    pull(f"docker://{proxy.host}/faults", access)
    assert read_image(f"store:{proxy.host}/faults", access) == BLOBS
    assert files_in(tmp_path / "store" / "images" / "tmp") == []


def test_a_byte_that_changed_on_the_way_is_a_digest_mismatch_and_not_kept(proxy: Proxy, tmp_path: Path) -> None:
    def corrupt(answer: Answer) -> None:
        answer.body = answer.body[:1000] + bytes([answer.body[1000] ^ 1]) + answer.body[1001:]

    access = Access(store=str(tmp_path / "store"))
    proxy.faults.append(Fault(f"GET .*{BLOBS[0]}", change=corrupt))
    with pytest.raises(DigestMismatch) as caught:
        build(f"docker://{proxy.host}/faults", tmp_path / "disk.ext4", BuildOptions(access=access))
    assert caught.value.what.startswith("layer 1 of 4")
    assert caught.value.exit_status == 3
    assert not (tmp_path / "disk.ext4").exists()
    assert [name for name in files_in(tmp_path / "store") if BLOBS[0][7:] in name] == []


@pytest.mark.parametrize("longer", [True, False])
@pytest.mark.parametrize("told", [True, False])
def test_a_blob_of_another_size_is_refused(proxy: Proxy, access: Access, longer: bool, told: bool) -> None:
    def resize(answer: Answer) -> None:
        answer.body = answer.body + b"more" if longer else answer.body[:-4]
        answer.set("Content-Length", str(len(answer.body)) if told else None)
        if not told:
            answer.set("Connection", "close")
        if answer.header("Content-Range"):
            answer.set("Content-Range", None)
            answer.status = 416

    proxy.faults.append(Fault(f"GET .*{BLOBS[2]}", change=resize))
    with pytest.raises((SizeMismatch, SourceUnreadable)) as caught:
        read_image(f"docker://{proxy.host}/faults", access)
    if told or longer:
        assert isinstance(caught.value, SizeMismatch)


def test_a_length_that_is_no_length_is_overlooked(proxy: Proxy, access: Access) -> None:
    def lengthen(answer: Answer) -> None:
        answer.set("Content-Length", "9" * 5000)
        answer.set("Connection", "close")

    proxy.faults.append(Fault(f"GET .*{BLOBS[2]}", change=lengthen))
    assert read_image(f"docker://{proxy.host}/faults", access) == BLOBS


def test_what_came_of_a_blob_of_another_size_is_not_gone_on_with(proxy: Proxy, tmp_path: Path) -> None:
    def replace_it(answer: Answer) -> None:
        answer.body = b"w" * (len(answer.body) + 500_000)
        answer.set("Content-Length", None)
        answer.set("Connection", "close")

    access = Access(store=str(tmp_path / "store"))
    # In parts, so that some of it is kept before it is too much.
    proxy.faults.append(Fault(f"GET .*{BLOBS[1]}", 1, change=replace_it))
    with pytest.raises(SizeMismatch):
        read_image(f"docker://{proxy.host}/faults", access)
    assert [name for name in files_in(tmp_path / "store") if BLOBS[1][7:] in name] == []
    assert read_image(f"docker://{proxy.host}/faults", access) == BLOBS


@pytest.mark.parametrize("resource", ["GET .*manifests/latest", "GET .*blobs"])
@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_busy_registry_is_asked_again(
    proxy: Proxy, access: Access, heard: list[str], resource: str, status: int
) -> None:
    proxy.faults.append(Fault(resource, 2, answer=Answer(status, {}, b'{"errors":[{"code":"TOOMANYREQUESTS"}]}')))
    assert read_image(f"docker://{proxy.host}/faults", access, Means(listen=listen_to(heard))) == BLOBS
    assert [each.partition(" ")[0] for each in heard] == [f"{proxy.host}:"] * 2
    assert f"answered {status}" in heard[0]
    assert "before trying again" in heard[0]


@pytest.mark.parametrize("date", [False, True])
def test_retry_after_is_waited_for(proxy: Proxy, access: Access, heard: list[str], date: bool) -> None:
    value = formatdate(usegmt=True) if date else "0"
    proxy.faults.append(Fault("GET .*blobs", 1, answer=Answer(429, {"Retry-After": value}, b"")))
    assert read_image(f"docker://{proxy.host}/faults", access, Means(listen=listen_to(heard))) == BLOBS
    assert len(heard) == 1
    assert "answered 429 Too Many Requests: waiting 0 s" in heard[0]


@pytest.mark.parametrize("value", ["86400", formatdate(4_000_000_000, usegmt=True)])
def test_who_is_asked_to_come_back_tomorrow_is_told_so(proxy: Proxy, access: Access, value: str) -> None:
    proxy.faults.append(Fault("GET .*manifests", answer=Answer(429, {"Retry-After": value}, b"")))
    expected = r"answered 429 Too Many Requests; it asks to come back in \d+ s: log in, or try again later$"
    with pytest.raises(SourceUnreadable, match=expected):
        read_image(f"docker://{proxy.host}/faults", access)
    assert len(proxy.sent("GET .*manifests")) == 1


@pytest.mark.parametrize("resource", ["manifests/latest", "GET .*blobs"])
@pytest.mark.parametrize(
    ("status", "what", "advice"),
    [(503, "Service Unavailable", "try again later"), (429, "Too Many Requests", "log in, or try again later")],
)
def test_attempts_come_to_an_end_with_advice(
    proxy: Proxy, access: Access, resource: str, status: int, what: str, advice: str
) -> None:
    proxy.faults.append(Fault(resource, answer=Answer(status, {}, b"")))
    with pytest.raises(SourceUnreadable) as caught:
        read_image(f"docker://{proxy.host}/faults", access)
    assert caught.value.reason == f"answered {status} {what}; gave up after {retry.ATTEMPTS} attempts: {advice}"
    assert caught.value.exit_status == 1


def test_a_registry_that_falls_silent_is_given_up(
    proxy: Proxy, access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "SILENCE_TIMEOUT", 0.2)
    never = Event()
    proxy.faults.append(Fault(f"GET .*{BLOBS[1]}", hold=never, hold_at=10))
    with pytest.raises(SourceUnreadable, match="no answer in time"):
        read_image(f"docker://{proxy.host}/faults", access)


def test_a_transfer_that_only_drips_is_begun_anew_and_given_up(
    proxy: Proxy, access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "SLOW", -1)
    proxy.faults.append(Fault(f"GET .*{BLOBS[1]}", hold=Event(), hold_at=10))
    with pytest.raises(SourceUnreadable, match="sends next to nothing; gave up after 6 attempts"):
        read_image(f"docker://{proxy.host}/faults", access)


def test_a_connection_that_falls_silent_is_resumed(
    proxy: Proxy, access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "SILENCE_TIMEOUT", 0.2)
    proxy.faults.append(Fault(f"GET .*{BLOBS[1]}", 1, hold=Event(), hold_at=300_000))
    assert read_image(f"docker://{proxy.host}/faults", access) == BLOBS
