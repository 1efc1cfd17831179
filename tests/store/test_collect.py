"""Garbage collection: what is needed stays, everything else goes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from support.image_stores import ROOMS, Parts, contents, describe, image, index, litter, put

from builder.errors import StoreCorrupt
from builder.image.descriptor import Descriptor
from builder.image.digest import Digest
from builder.image.media_types import OCI_LAYER, OCI_MANIFEST
from builder.image.name import ImageName
from builder.store.collect import Collected, collect
from builder.store.rooms.directory import LocalRoom
from builder.store.store import Store

ONE = image(b"shared" * 100, b"one" * 100)
OTHER = image(b"shared" * 100, b"other" * 100)


@pytest.fixture(params=ROOMS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with closing(Store(ROOMS[request.param](tmp_path))) as store:
        yield store


def blobs(*images: Parts) -> set[str]:
    return {str(digest) for parts in images for digest in (parts.document.digest, *parts.blobs)}


def test_a_store_that_is_not_there_has_no_garbage_and_is_not_made(store: Store) -> None:
    assert collect(store) == Collected(0, 0, 0, 0)
    assert store.room.names("") == []


def test_what_only_a_removed_image_needed_goes(store: Store) -> None:
    put(store, "localhost/one", ONE)
    put(store, "localhost/other", OTHER)
    store.remove(ImageName.parse("localhost/one"))
    gone = blobs(ONE) - blobs(OTHER)
    size = sum(len(contents(store)[each]) for each in gone)
    assert collect(store, dry_run=True) == Collected(3, 0, 0, size)
    assert contents(store).keys() == blobs(ONE, OTHER)
    assert collect(store) == Collected(3, 0, 0, size)
    assert contents(store).keys() == blobs(OTHER)
    assert collect(store) == Collected(0, 0, 0, 0)


def test_every_image_of_an_index_stays(store: Store) -> None:
    parts = index({"linux/amd64": ONE, "linux/arm64": image(b"arm", platform="linux/arm64")}, ("linux/arm64",))
    put(store, "localhost/x", parts)
    nested = index({"linux/amd64": ONE})
    put(store, "localhost/nested", nested)
    before = contents(store)
    collect(store)
    assert contents(store) == before


@pytest.mark.parametrize("name", ["localhost/a", "localhost/z"])
@pytest.mark.parametrize("media_type", ["", OCI_LAYER])
def test_what_one_image_calls_a_layer_may_be_anothers_manifest(store: Store, name: str, media_type: str) -> None:
    put(store, "localhost/one", ONE)
    entries = [{"mediaType": media_type, "digest": str(ONE.document.digest), "size": ONE.document.size}]
    hostile = json.dumps({**json.loads(OTHER.data), "annotations": {}, "more": entries}).encode()
    parts = Parts({**OTHER.blobs}, describe(hostile, OCI_MANIFEST), hostile)
    put(store, name, parts)
    collect(store)
    assert contents(store).keys() == blobs(ONE, parts)


def test_what_a_living_process_needs_stays_and_all_that_it_leads_to(store: Store) -> None:
    put(store, "localhost/one", ONE)
    store.remove(ImageName.parse("localhost/one"))
    with store.lease() as lease:
        lease.add(ONE.document)
        assert collect(store).blobs == 0
        assert contents(store).keys() == blobs(ONE)
    assert collect(store).blobs == 4
    assert contents(store) == {}


def test_what_was_leased_as_a_layer_can_be_leased_as_a_document(store: Store) -> None:
    put(store, "localhost/one", ONE)
    store.remove(ImageName.parse("localhost/one"))
    with store.lease() as lease:
        lease.add(Descriptor(OCI_LAYER, ONE.document.digest, ONE.document.size))
        lease.add(ONE.document)
        collect(store)
        assert contents(store).keys() == blobs(ONE)


def test_one_leased_blob_keeps_no_other(store: Store) -> None:
    put(store, "localhost/one", ONE)
    store.remove(ImageName.parse("localhost/one"))
    layer = ONE.descriptors()[-1]
    with store.lease() as lease:
        lease.add(layer)
        collect(store)
        assert contents(store).keys() == {str(layer.digest)}


def test_a_media_type_that_is_no_word_keeps_its_blob_and_no_more(store: Store) -> None:
    put(store, "localhost/one", ONE)
    store.remove(ImageName.parse("localhost/one"))
    layer, other = ONE.descriptors()[-1], ONE.descriptors()[-2]
    with store.lease() as lease:
        lease.add(Descriptor(f"evil\n{other.digest} x", layer.digest, layer.size))
        collect(store)
        assert contents(store).keys() == {str(layer.digest)}


def test_temporaries_of_the_living_stay_and_those_of_the_dead_go(store: Store) -> None:
    with store.lease() as lease:
        with closing(store.receive(describe(b"x" * 100), lease)) as dead:
            dead.write(b"x" * 60)
        # Needed by a process that lives: it may go on with it.
        assert collect(store).temporaries == 0
    with store.lease() as lease, closing(store.receive(describe(b"y" * 100), lease)) as living:
        living.write(b"y" * 50)
        assert collect(store) == Collected(0, 1, 0, 60)
        living.write(b"y" * 50)
        living.commit()
    assert contents(store).keys() == {str(Digest.of(b"y" * 100))}
    assert litter(store) == []


def test_what_does_not_belong_to_the_store_is_left_alone(tmp_path: Path) -> None:
    store = Store(LocalRoom(str(tmp_path)))
    put(store, "localhost/one", ONE)
    others = ("blobs/sha256/README", "blobs/other/x", "notes", "tmp/photo.jpg", "leases/contract.pdf")
    for name in others:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("mine")
    collect(store)
    assert [name for name in others if not (tmp_path / name).exists()] == []


@pytest.mark.parametrize("content", [b"", b"{", ONE.data[:-1] + b" "])
def test_a_document_that_does_not_say_what_it_needs_stops_everything(tmp_path: Path, content: bytes) -> None:
    store = Store(LocalRoom(str(tmp_path)))
    put(store, "localhost/one", ONE)
    put(store, "localhost/other", OTHER)
    store.remove(ImageName.parse("localhost/other"))
    Path(store.path(ONE.document.digest) or "").write_bytes(content)
    before = contents(store).keys()
    with pytest.raises(StoreCorrupt) as caught:
        collect(store)
    assert caught.value.exit_status == 3
    assert "store verify --quarantine" in str(caught.value)
    assert contents(store).keys() == before


def test_a_reference_that_cannot_be_read_stops_everything(tmp_path: Path) -> None:
    store = Store(LocalRoom(str(tmp_path)))
    put(store, "localhost/one", ONE)
    (tmp_path / "manifests/localhost+one/latest.json").write_text('{"name": "localhost/other"}')
    with pytest.raises(StoreCorrupt):
        collect(store)
    assert contents(store).keys() == blobs(ONE)


@pytest.mark.parametrize("content", [b"not json", b"\xff", b"[" * 100_000])
def test_a_manifest_that_never_was_json_needs_nothing_and_stops_nobody(store: Store, content: bytes) -> None:
    """Its digest is right, so no quarantine takes it; one image of an index could keep all garbage for good."""
    odd = describe(content, OCI_MANIFEST)
    parts = index({"linux/amd64": ONE, "linux/s390x": Parts({}, odd, content)})
    put(store, "localhost/odd", parts)
    put(store, "localhost/other", OTHER)
    store.remove(ImageName.parse("localhost/other"))
    before = blobs(parts)
    assert str(odd.digest) in before
    assert collect(store).blobs == 3
    assert contents(store).keys() == before
