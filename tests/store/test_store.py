"""What a store promises, in every kind of room."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from threading import Thread

import pytest
from support.image_stores import ROOMS, Parts, contents, describe, image, index, litter, put

from builder.errors import BlobMissing, DigestMismatch, MalformedDocument, SizeMismatch
from builder.image.descriptor import Descriptor
from builder.image.digest import Digest
from builder.image.media_types import OCI_MANIFEST
from builder.image.name import ImageName
from builder.store.store import Store, blob_path

BLOB = b"some content" * 100
BUSYBOX = ImageName.parse("docker.io/library/busybox:1")


@pytest.fixture(params=ROOMS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with closing(Store(ROOMS[request.param](tmp_path))) as store:
        yield store


def put_blob(store: Store, data: bytes, algorithm: str = "sha256") -> Digest:
    with store.lease() as lease:
        store.put(describe(data, algorithm=algorithm), [data[:5], data[5:]], lease)
    return Digest.of(data, algorithm)


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_what_was_put_is_there_under_its_digest(store: Store, algorithm: str) -> None:
    digest = put_blob(store, BLOB, algorithm)
    assert store.has(digest)
    file = store.open(digest)
    assert file is not None
    with file:
        assert file.read() == BLOB
    assert contents(store) == {str(digest): BLOB}
    assert litter(store) == []
    path = store.path(digest)
    assert path is None or Path(path).read_bytes() == BLOB


def test_nothing_is_made_by_looking(store: Store) -> None:
    digest = Digest.of(b"")
    assert not store.has(digest)
    assert store.open(digest) is None
    assert store.get_manifest(BUSYBOX) is None
    assert list(store.references()) == []
    store.lease().close()
    assert store.room.names("") == []


@pytest.mark.parametrize(("now", "error"), [(b"[ ]", DigestMismatch), (b"{}", SizeMismatch), (b"{ }!", SizeMismatch)])
def test_a_document_that_is_another_than_was_put_is_refused(store: Store, now: bytes, error: type[Exception]) -> None:
    document = describe(b"{ }")
    with store.lease() as lease:
        store.put(document, [b"{ }"], lease)
    assert store.read(document, "it") == b"{ }"
    held = store.room.create("tmp", "damage")
    held.append(now)
    store.room.rename(held.path, blob_path(document.digest))
    held.close()
    with pytest.raises(error):
        store.read(document, "it")


def test_an_empty_blob_is_a_blob(store: Store) -> None:
    with store.lease() as lease:
        store.put(describe(b""), [], lease)
    assert contents(store) == {str(Digest.of(b"")): b""}


@pytest.mark.parametrize("given", [BLOB[:-1] + b"?", b"", BLOB[:-1], BLOB + b"!"])
def test_what_is_not_its_digest_gets_no_name_and_leaves_nothing(store: Store, given: bytes) -> None:
    with store.lease() as lease:
        with pytest.raises(DigestMismatch if len(given) == len(BLOB) else SizeMismatch):
            store.put(describe(BLOB), [given], lease)
    assert contents(store) == {}
    assert litter(store) == []


def test_an_interrupted_transfer_is_taken_up_where_it_stopped(store: Store) -> None:
    with store.lease() as lease:
        with closing(store.receive(describe(BLOB), lease)) as first:
            assert first.there == 0
            first.write(BLOB[:500])
        assert len(store.room.names("tmp")) == 1
        with closing(store.receive(describe(BLOB), lease)) as second:
            assert second.there == 500
            assert b"".join(second.already()) == BLOB[:500]
            second.write(BLOB[500:])
            second.commit()
    assert contents(store) == {str(Digest.of(BLOB)): BLOB}
    assert litter(store) == []


def test_what_is_there_counts_though_nobody_read_it_back(store: Store) -> None:
    with store.lease() as lease:
        with closing(store.receive(describe(BLOB), lease)) as first:
            first.write(BLOB[:500])
        with closing(store.receive(describe(BLOB), lease)) as second:
            second.write(BLOB[500:])
            second.commit()
    assert contents(store) == {str(Digest.of(BLOB)): BLOB}


def test_what_was_left_can_be_forgotten(store: Store) -> None:
    with store.lease() as lease:
        with closing(store.receive(describe(BLOB), lease)) as first:
            first.write(b"wrong")
        with closing(store.receive(describe(BLOB), lease)) as second:
            second.restart()
            assert second.there == 0
            second.write(BLOB)
            second.commit()
    assert contents(store) == {str(Digest.of(BLOB)): BLOB}


def test_what_was_left_damaged_is_refused_and_the_next_transfer_begins_anew(store: Store) -> None:
    with store.lease() as lease:
        with closing(store.receive(describe(BLOB), lease)) as first:
            first.write(b"wrong")
        with closing(store.receive(describe(BLOB), lease)) as second:
            second.write(BLOB[5:])
            with pytest.raises(DigestMismatch):
                second.commit()
        with closing(store.receive(describe(BLOB), lease)) as third:
            assert third.there == 0


def test_what_was_left_too_long_is_forgotten(store: Store) -> None:
    with store.lease() as lease:
        with closing(store.receive(describe(BLOB), lease)) as first:
            first.write(BLOB[:500])
        short = Descriptor("", Digest.of(BLOB), 100)
        with closing(store.receive(short, lease)) as second:
            assert second.there == 0


def test_two_transfers_of_one_blob_share_no_temporary(store: Store) -> None:
    with store.lease() as lease:
        with (
            closing(store.receive(describe(BLOB), lease)) as first,
            closing(store.receive(describe(BLOB), lease)) as other,
        ):
            first.write(BLOB[:500])
            other.write(BLOB[:7])
            assert len(store.room.names("tmp")) == 2
            first.write(BLOB[500:])
            other.write(BLOB[7:])
            other.commit()
            first.commit()
    assert contents(store) == {str(Digest.of(BLOB)): BLOB}
    assert litter(store) == []


def test_many_threads_put_one_blob(store: Store) -> None:
    threads = [Thread(target=put_blob, args=(store, BLOB)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert contents(store) == {str(Digest.of(BLOB)): BLOB}
    assert litter(store) == []


def test_a_reference_gives_what_was_put_under_it(store: Store) -> None:
    one, other = image(b"one"), image(b"one", b"two")
    put(store, "docker.io/library/busybox:1", one)
    put(store, "localhost:5000/a/b", other)
    assert store.get_manifest(BUSYBOX) == one.document
    assert store.get_manifest(ImageName.parse("localhost:5000/a/b:latest")) == other.document
    assert store.get_manifest(ImageName.parse("localhost:5000/a/b:other")) is None
    assert dict(store.references()) == {
        BUSYBOX: one.document,
        ImageName.parse("localhost:5000/a/b:latest"): other.document,
    }
    assert store.read(one.document, "it") == one.data
    put(store, "docker.io/library/busybox:1", other)
    assert store.get_manifest(BUSYBOX) == other.document


def test_a_reference_with_a_digest_needs_no_tag(store: Store) -> None:
    one = image(b"one")
    put(store, f"example.com/x:1@{one.document.digest}", one)
    assert store.get_manifest(ImageName.parse(f"example.com/x@{one.document.digest}")) == one.document
    assert store.get_manifest(ImageName.parse(f"example.com/x:2@{one.document.digest}")) == one.document
    assert store.get_manifest(ImageName.parse("example.com/x:1")) is None


def test_a_reference_with_a_digest_is_only_for_what_has_it(store: Store) -> None:
    put(store, "localhost/x", image(b"layer"))
    parts = image(b"other")
    with pytest.raises(DigestMismatch):
        put(store, f"localhost/y@{Digest.of(b'')}", parts)
    assert [str(name) for name, _ in store.references()] == ["localhost/x:latest"]


def test_an_image_is_recorded_only_when_it_is_whole(store: Store) -> None:
    parts = image(b"one", b"two")
    for missing in parts.blobs:
        rest = {digest: data for digest, data in parts.blobs.items() if digest != missing}
        with pytest.raises(BlobMissing, match=str(missing)):
            put(Store(store.room), "example.com/x", Parts(rest, parts.document, parts.data))
        assert list(store.references()) == []
        with store.room.lock(exclusive=True):
            store.room.remove(f"blobs/sha256/{missing.hex}")
            for digest in rest:
                store.room.remove(f"blobs/sha256/{digest.hex}")


def test_of_an_index_one_whole_image_will_do(store: Store) -> None:
    images = {"linux/amd64": image(b"one"), "linux/arm64": image(b"two", platform="linux/arm64")}
    with pytest.raises(BlobMissing, match="every image"):
        put(store, "example.com/x", index(images, left_out=tuple(images)))
    parts = index(images, left_out=("linux/arm64",))
    put(store, "example.com/x", parts)
    assert store.get_manifest(ImageName.parse("example.com/x")) == parts.document


def test_a_document_that_is_no_manifest_is_not_recorded(store: Store) -> None:
    with store.lease() as lease, pytest.raises(MalformedDocument):
        store.put_manifest(BUSYBOX, describe(b"{}", OCI_MANIFEST), b"{}", lease)
    with store.lease() as lease, pytest.raises(DigestMismatch):
        store.put_manifest(BUSYBOX, describe(b"[]", OCI_MANIFEST), b"{}", lease)
    assert list(store.references()) == []


def test_what_is_removed_is_gone_and_the_rest_is_not(store: Store) -> None:
    put(store, "example.com/x:1", image(b"one"))
    put(store, "example.com/x:2", image(b"one"))
    assert store.remove(ImageName.parse("example.com/x:1"))
    assert not store.remove(ImageName.parse("example.com/x:1"))
    assert [str(name) for name, _ in store.references()] == ["example.com/x:2"]
    assert store.remove(ImageName.parse("example.com/x:2"))
    assert store.room.names("manifests") == []
