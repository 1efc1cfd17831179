"""Layers as they stream: what comes out, and that nothing unverified is believed."""

from __future__ import annotations

import gzip
import hashlib
import io
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import BinaryIO

import pytest
import zstandard
from support.images import COMPRESS, MEDIA_TYPES
from support.leaks import no_thread_left
from support.remote import listen_to
from support.tars import END, directory, file, raw, symlink, tar

from builder.archive.entry import Entry
from builder.errors import DigestMismatch, LayerRefused, LimitExceeded, SizeMismatch
from builder.events import Event, Progress, ignore
from builder.image.descriptor import Descriptor
from builder.image.digest import Digest
from builder.image.image import Layer
from builder.layers.account import Account
from builder.layers.estargz import TOC_ANNOTATION
from builder.layers.stream import open_layer
from builder.limits import Limits

TREE = tar(directory("etc"), file("etc/hosts", b"127.0.0.1 localhost\n" * 9000))


@dataclass
class Blob:
    """A source that holds one blob."""

    data: bytes

    def root(self) -> Descriptor:
        raise AssertionError("nobody asks a layer's source for its root")

    def open(self, descriptor: Descriptor) -> BinaryIO:
        return io.BytesIO(self.data)

    def expect(self, layers: Sequence[Descriptor]) -> None:
        pass

    def inputs(self) -> list[str]:
        return []

    def close(self) -> None:
        pass


def layer_of(blob: bytes, plain: bytes, compression: str, annotations: dict[str, str] | None = None) -> Layer:
    descriptor = Descriptor(MEDIA_TYPES[compression], Digest.of(blob), len(blob), annotations=annotations or {})
    return Layer(0, 1, descriptor, Digest.of(plain))


def names(blob: bytes, layer: Layer, limits: Limits | None = None) -> list[bytes]:
    with open_layer(Blob(blob), layer, Account(limits or Limits()), ignore) as stream:
        return [entry.path for entry in stream]


@pytest.fixture(autouse=True, params=[-1, 1 << 60], ids=["side by side", "one by one"])
def _steps_run(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Read each layer with threads, and without; none of them stays."""
    monkeypatch.setattr("builder.layers.stream._SMALL", request.param)
    with no_thread_left():
        yield


@pytest.mark.parametrize("over", [0, 1])
def test_a_small_layer_needs_no_thread(over: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*words: object) -> int:
        del words  # what a thread alone may hold on to
        raise MemoryError("no room for a thread")

    layer = layer_of(TREE, TREE, "none")
    monkeypatch.setattr("builder.layers.stream._SMALL", len(TREE) - over)
    monkeypatch.setattr("builder.threads.start_new_thread", refuse)
    with pytest.raises(MemoryError) if over else nullcontext():
        assert names(TREE, layer) == [b"etc/", b"etc/hosts"]


@pytest.mark.parametrize("compression", COMPRESS)
def test_entries_come_out_of_every_compression(compression: str) -> None:
    blob = COMPRESS[compression](TREE)
    assert names(blob, layer_of(blob, TREE, compression)) == [b"etc/", b"etc/hosts"]


@pytest.mark.parametrize("compression", COMPRESS)
@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_a_blob_of_another_digest_is_refused_as_that(compression: str, algorithm: str) -> None:
    blob = COMPRESS[compression](TREE)
    layer = layer_of(blob, TREE, compression)
    other = Digest.of(b"something else", algorithm)
    layer = replace(layer, descriptor=replace(layer.descriptor, digest=other))
    with pytest.raises(DigestMismatch) as caught:
        names(blob, layer)
    assert (caught.value.expected, caught.value.actual) == (str(other), str(Digest.of(blob, algorithm)))


@pytest.mark.parametrize("compression", COMPRESS)
@pytest.mark.parametrize("position", [0, 5, 30, -1])
def test_damage_is_reported_as_a_digest_mismatch_not_as_what_it_breaks(compression: str, position: int) -> None:
    blob = bytearray(COMPRESS[compression](TREE))
    layer = layer_of(bytes(blob), TREE, compression)
    blob[position] ^= 0x55
    with pytest.raises(DigestMismatch) as caught:
        names(bytes(blob), layer)
    assert caught.value.actual == "sha256:" + hashlib.sha256(blob).hexdigest()


@pytest.mark.parametrize("compression", COMPRESS)
def test_a_cut_blob_is_reported_by_its_size(compression: str) -> None:
    blob = COMPRESS[compression](TREE)
    with pytest.raises(SizeMismatch) as caught:
        names(blob[: len(blob) // 2], layer_of(blob, TREE, compression))
    assert (caught.value.expected, caught.value.actual) == (len(blob), len(blob) // 2)


@pytest.mark.parametrize("compression", COMPRESS)
def test_a_blob_that_goes_on_is_refused(compression: str) -> None:
    blob = COMPRESS[compression](TREE)
    with pytest.raises(SizeMismatch):
        names(blob + b"more", layer_of(blob, TREE, compression))


@pytest.mark.parametrize("compression", COMPRESS)
def test_another_diff_id_is_refused(compression: str) -> None:
    blob = COMPRESS[compression](TREE)
    layer = replace(layer_of(blob, TREE, compression), diff_id=Digest.of(b"another tar"))
    with pytest.raises(DigestMismatch, match="diff_id") as caught:
        names(blob, layer)
    assert caught.value.actual == str(Digest.of(TREE))


def test_bytes_after_the_end_of_the_archive_count_for_the_diff_id() -> None:
    plain = TREE + bytes(1 << 20) + b"trailing"
    blob = gzip.compress(plain)
    assert names(blob, layer_of(blob, plain, "gzip")) == [b"etc/", b"etc/hosts"]
    with pytest.raises(DigestMismatch, match="diff_id"):
        names(blob, layer_of(blob, TREE, "gzip"))


def test_a_layer_that_is_read_only_in_part_is_verified_whole() -> None:
    blob = gzip.compress(TREE)
    layer = replace(layer_of(blob, TREE, "gzip"), diff_id=Digest.of(b""))
    with pytest.raises(DigestMismatch), open_layer(Blob(blob), layer, Account(Limits()), ignore) as stream:
        assert next(iter(stream)).path == b"etc/"


def test_what_verifies_but_is_no_tar_is_refused_with_the_layer_named() -> None:
    plain = b"not a tar at all " * 100
    blob = gzip.compress(plain)
    with pytest.raises(LayerRefused, match=r"layer 1 of 1 \(sha256:"):
        names(blob, layer_of(blob, plain, "gzip"))


def test_what_verifies_but_does_not_inflate_is_refused_with_the_layer_named() -> None:
    blob = gzip.compress(TREE)[:-9]
    with pytest.raises(LayerRefused, match=r"layer 1 of 1 \(sha256:.*cut off; what .* is right: make the image, or"):
        names(blob, layer_of(blob, TREE, "gzip"))


@pytest.mark.parametrize("promised", COMPRESS)
@pytest.mark.parametrize("found", COMPRESS)
def test_compression_is_what_the_content_is_and_that_is_said(promised: str, found: str) -> None:
    blob = COMPRESS[found](TREE)
    layer = layer_of(blob, TREE, promised)
    heard: list[str] = []
    with open_layer(Blob(blob), layer, Account(Limits()), listen_to(heard)) as stream:
        assert [entry.path for entry in stream] == names(blob, layer_of(blob, TREE, found))
    said = f"{layer.name}: its media type says {promised}, its content is {found}; it is read as that"
    assert heard == ([] if promised == found else [said])


@pytest.mark.parametrize("promised", COMPRESS)
@pytest.mark.parametrize("found", COMPRESS)
def test_content_of_another_compression_is_verified_all_the_same(promised: str, found: str) -> None:
    blob = COMPRESS[found](TREE)
    with pytest.raises(DigestMismatch, match="diff_id"):
        names(blob, layer_of(blob, TREE + bytes(512), promised))
    other = layer_of(blob[:-1] + bytes([blob[-1] ^ 1]), TREE, promised)
    with pytest.raises(DigestMismatch, match="blob"):
        names(blob, other)


@pytest.mark.parametrize("promised", [each for each in COMPRESS if each != "none"])
@pytest.mark.parametrize("content", [b"", b"no tar, and nothing compressed", bytes(511)])
def test_what_is_nothing_that_is_known_is_refused_as_what_it_should_be(promised: str, content: bytes) -> None:
    with pytest.raises(LayerRefused):
        names(content, layer_of(content, content, promised))


def test_empty_layers_are_layers() -> None:
    for plain in (b"", END, bytes(10240)):
        assert names(plain, layer_of(plain, plain, "none")) == []
        blob = gzip.compress(plain)
        assert names(blob, layer_of(blob, plain, "gzip")) == []


def test_zstd_with_skippable_frames_is_the_tar_without_them() -> None:
    skippable = b"\x50\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"table"
    blob = zstandard.compress(TREE[:1024]) + skippable + zstandard.compress(TREE[1024:]) + skippable
    assert names(blob, layer_of(blob, TREE, "zstd")) == [b"etc/", b"etc/hosts"]


def estargz_footer(says: bytes) -> bytes:
    extra = b"SG" + len(says).to_bytes(2, "little") + says
    head = b"\x1f\x8b\x08\x04" + bytes(5) + b"\xff"
    return head + len(extra).to_bytes(2, "little") + extra + b"\1\0\0\xff\xff" + bytes(8)


@pytest.mark.parametrize("footer", [b"", estargz_footer(b"%016xSTARGZ" % 1234), estargz_footer(b"STARGZEXTERNALTOC")])
def test_estargz_bookkeeping_is_told_from_the_image(footer: bytes) -> None:
    """By its footer, or where that is missing, by an annotation of the layer."""
    plain = tar(file(".prefetch.landmark", b"\x0f"), file("etc/stargz.index.json"), file("stargz.index.json", b"{}"))
    blob = gzip.compress(plain) + footer
    layer = layer_of(blob, plain, "gzip", None if footer else {TOC_ANNOTATION: "sha256:0"})
    with open_layer(Blob(blob), layer, Account(Limits()), ignore) as stream:
        entries: list[Entry] = list(stream)
    assert [entry.path for entry in entries if not stream.is_bookkeeping(entry)] == [b"etc/stargz.index.json"]


def test_an_ordinary_layer_may_have_files_of_those_names() -> None:
    plain = tar(file("stargz.index.json", b"{}"))
    blob = gzip.compress(plain)
    with open_layer(Blob(blob), layer_of(blob, plain, "gzip"), Account(Limits()), ignore) as stream:
        entries = list(stream)
    assert [stream.is_bookkeeping(entry) for entry in entries] == [False]


def test_too_many_entries_are_refused() -> None:
    blob = gzip.compress(TREE)
    with pytest.raises(LimitExceeded, match="--max-entries"):
        names(blob, layer_of(blob, TREE, "gzip"), Limits(max_entries=1))


def test_an_entry_that_announces_too_much_is_refused_by_its_header() -> None:
    plain = raw("huge", b"0", size=1 << 40)  # not a byte of it follows
    blob = gzip.compress(plain)
    with pytest.raises(LimitExceeded, match="--max-size") as caught:
        names(blob, layer_of(blob, plain, "gzip"))
    assert caught.value.entry == b"huge"


def test_names_and_xattrs_that_would_fill_the_memory_are_refused() -> None:
    value = bytes(60_000)
    for members in (
        [file(f"f{i}", xattrs={"user.a": value}) for i in range(20)],
        [file("n" * 60_000) for _ in range(20)],
        [symlink("s", "t" * 60_000) for _ in range(20)],
    ):
        plain = tar(*members)
        blob = gzip.compress(plain)
        with pytest.raises(LimitExceeded, match="take more than 1000000 bytes"):
            names(blob, layer_of(blob, plain, "gzip"), Limits(max_metadata=1_000_000))
        assert len(names(blob, layer_of(blob, plain, "gzip"), Limits(max_metadata=2_000_000))) == 20


def test_long_headers_that_say_next_to_nothing_are_refused_together() -> None:
    plain, usual = (tar(*(file(f"f{i}", pax={"comment": "c" * size}) for i in range(20))) for size in (60_000, 900))
    blob = gzip.compress(plain)
    with pytest.raises(LimitExceeded, match="long headers so far take more than 1000000 bytes"):
        names(blob, layer_of(blob, plain, "gzip"), Limits(max_metadata=1_000_000))
    assert len(names(blob, layer_of(blob, plain, "gzip"), Limits(max_metadata=1_200_000))) == 20
    assert len(names(usual, layer_of(usual, usual, "none"), Limits(max_metadata=100))) == 20


@pytest.mark.heavy
def test_a_bomb_stops_at_the_ratio_wherever_it_hides() -> None:
    plain = END + bytes(64 << 20)  # after the end of the archive, where no entry announces it
    blob = gzip.compress(plain)
    with pytest.raises(LimitExceeded, match="--max-ratio"):
        names(blob, layer_of(blob, plain, "gzip"), Limits(max_ratio=100))
    with pytest.raises(LimitExceeded, match="--max-size"):
        names(blob, layer_of(blob, plain, "gzip"), Limits(max_size=1 << 20))


def test_limits_count_all_layers_of_an_image_together() -> None:
    blob = gzip.compress(TREE)
    account = Account(Limits(max_entries=3))
    with open_layer(Blob(blob), layer_of(blob, TREE, "gzip"), account, ignore) as stream:
        list(stream)
    with pytest.raises(LimitExceeded), open_layer(Blob(blob), layer_of(blob, TREE, "gzip"), account, ignore) as stream:
        list(stream)


def test_progress_counts_the_bytes_of_the_blob() -> None:
    blob = gzip.compress(TREE, compresslevel=0)
    events: list[Event] = []
    with open_layer(Blob(blob), layer_of(blob, TREE, "gzip"), Account(Limits()), events.append) as stream:
        list(stream)
    done = [event.done for event in events if isinstance(event, Progress)]
    assert done == sorted(done)
    assert done[-1] == len(blob)
