"""`store:`: which image a name means, and what happens to it while it is read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from support.image_stores import Parts, contents, image, index, litter, put

from builder.errors import BlobMissing, DigestMismatch, ImageNotFound, InvalidReference, StoreCorrupt, StoreDenied
from builder.image.name import ImageName
from builder.image.platform import Platform
from builder.sources import open_source
from builder.sources.access import Access
from builder.sources.resolve import resolve
from builder.sources.source import Source, expect
from builder.sources.store.source import StoreSource
from builder.store import open_store
from builder.store.collect import collect
from builder.store.lease import Lease
from builder.store.store import Store

ONE, OTHER = image(b"one"), image(b"other")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path))


@contextmanager
def opened(store: Store, reference: str) -> Iterator[Source]:
    with closing(open_source(reference, Access(store=store.place.removesuffix("/images")))) as source:
        yield source


def means(store: Store, reference: str) -> Parts:
    with opened(store, reference) as source:
        root = source.root()
    return next(parts for parts in (ONE, OTHER) if parts.document == root)


def test_a_short_name_is_looked_for_in_localhost_and_on_docker_hub(store: Store) -> None:
    put(store, "localhost/mine", ONE)
    put(store, "docker.io/library/busybox:1", OTHER)
    assert means(store, "store:mine") == ONE
    assert means(store, "store:mine:latest") == ONE
    assert means(store, "store:localhost/mine") == ONE
    assert means(store, "store:busybox:1") == OTHER
    assert means(store, "store:docker.io/busybox:1") == OTHER


def test_a_short_name_that_is_too_long_for_docker_hub_is_looked_for_in_localhost(store: Store) -> None:
    put(store, "localhost/" + "a" * 245, ONE)
    assert means(store, "store:" + "a" * 245) == ONE
    with opened(store, "store:" + "a" * 250) as source, pytest.raises(ImageNotFound):
        source.root()


def test_a_short_name_that_is_two_images_is_refused(store: Store) -> None:
    put(store, "localhost/x", ONE)
    put(store, "docker.io/library/x", OTHER)
    with opened(store, "store:x") as source, pytest.raises(InvalidReference) as caught:
        source.root()
    assert caught.value.reason == (
        "names several images; write store:localhost/x:latest or store:docker.io/library/x:latest"
    )
    put(store, "docker.io/library/x", ONE)
    assert means(store, "store:x") == ONE


def test_a_digest_comes_before_a_tag(store: Store) -> None:
    put(store, "localhost/x:1", ONE)
    put(store, "localhost/x:2", OTHER)
    assert means(store, f"store:x:1@{OTHER.document.digest}") == OTHER
    assert means(store, f"store:x@{ONE.document.digest}") == ONE


def test_a_digest_may_be_that_of_an_image_in_an_index(store: Store) -> None:
    put(store, "localhost/x", index({"linux/amd64": ONE}))
    put(store, "localhost/y", OTHER)
    assert means(store, f"store:x@{ONE.document.digest}") == ONE
    for digest in (OTHER.document.digest, next(iter(ONE.blobs))):
        with opened(store, f"store:x@{digest}") as source, pytest.raises(ImageNotFound):
            source.root()


def test_what_is_not_there_names_what_is(store: Store) -> None:
    with opened(store, "store:busybox") as source, pytest.raises(ImageNotFound) as empty:
        source.root()
    assert empty.value.reason == (
        f"there is no such image in the store {store.place}; it is empty; "
        "`rootfs-builder store pull IMAGE` puts one there"
    )
    assert not Path(store.place).exists()
    put(store, "docker.io/library/busybox:1.36", ONE)
    with opened(store, "store:busybox:1.37") as source, pytest.raises(ImageNotFound) as close:
        source.root()
    assert close.value.reason.endswith("; did you mean docker.io/library/busybox:1.36?")
    with opened(store, "store:qqq") as source, pytest.raises(ImageNotFound) as far:
        source.root()
    assert far.value.reason.endswith("; there are docker.io/library/busybox:1.36")


def test_a_name_that_is_none_is_wrong_usage(store: Store) -> None:
    with pytest.raises(InvalidReference) as caught, opened(store, "store:Not A Name"):
        pass
    assert caught.value.reference == "store:Not A Name"


def test_an_image_that_is_removed_while_it_is_open_stays_until_it_is_closed(store: Store) -> None:
    put(store, "localhost/x", ONE)
    with opened(store, "store:x") as source:
        source.root()
        store.remove(ImageName.parse("localhost/x"))
        collect(store)
        read = resolve(source, "store:x", None)
        with source.open(read.layers[0].descriptor) as blob:
            assert blob.read() == b"one"
    assert litter(store) == []
    collect(store)
    assert contents(store) == {}


class Unwritable(Store):
    """A store that this user may only read; what happens between two steps can be said."""

    def lease(self) -> Lease:
        return _NoLease(self.room)


class _NoLease(Lease):
    def add(self, *_descriptors: object) -> None:
        raise StoreDenied("the store", "this user may not use it")


def test_who_may_only_read_holds_the_layers_open(store: Store) -> None:
    put(store, "localhost/x", image(b"first", b"second"))
    with closing(StoreSource(Unwritable(store.room), "store:x", ImageName.parse("x"))) as source:
        layers = [layer.descriptor for layer in resolve(source, "store:x", None).layers]
        expect(source, layers)
        store.remove(ImageName.parse("localhost/x"))
        assert collect(store).blobs == 4
        for layer, content in zip(layers, (b"first", b"second"), strict=True):
            with source.open(layer) as blob:
                assert blob.read() == content
        with pytest.raises(BlobMissing):
            source.open(layers[0])


def test_an_image_that_is_replaced_before_it_could_be_leased_is_looked_up_again(store: Store) -> None:
    put(store, "localhost/x", ONE)

    class Late(Store):
        def lease(self) -> Lease:
            return LateLease(self.room)

    class LateLease(Lease):
        def add(self, *descriptors: object) -> None:
            if ONE.document in descriptors:
                put(store, "localhost/x", OTHER)
                collect(store)
            super().add(*descriptors)  # type: ignore[arg-type]

    with closing(StoreSource(Late(store.room), "store:x", ImageName.parse("x"))) as source:
        assert source.root() == OTHER.document


def test_a_blob_that_changed_is_not_believed(store: Store) -> None:
    put(store, "localhost/x", ONE)
    Path(store.path(ONE.document.digest) or "").write_bytes(ONE.data[:-1] + b" ")
    with opened(store, "store:x") as source, pytest.raises(DigestMismatch):
        resolve(source, "store:x", None)


def test_a_reference_that_is_none_is_said_and_what_to_do(store: Store) -> None:
    put(store, "localhost/x", ONE)
    (Path(store.place) / "manifests/localhost+x/latest.json").write_text("{}")
    with opened(store, "store:x") as source, pytest.raises(StoreCorrupt) as caught:
        source.root()
    assert "`rootfs-builder store verify --quarantine` moves it away" in str(caught.value)


def test_an_image_that_is_damaged_does_not_hide_the_others(store: Store) -> None:
    put(store, "localhost/x", ONE)
    put(store, "localhost/y", OTHER)
    (Path(store.place) / "manifests/localhost+x/latest.json").write_text("{}")
    with opened(store, "store:z") as source, pytest.raises(ImageNotFound, match="localhost/y:latest"):
        source.root()


def test_a_platform_that_was_not_pulled_is_missing(store: Store) -> None:
    arm = image(b"arm", platform="linux/arm64")
    put(store, "localhost/x", index({"linux/amd64": ONE, "linux/arm64": arm}, left_out=("linux/arm64",)))
    with opened(store, "store:x") as source:
        assert resolve(source, "store:x", Platform("linux", "amd64")).digest == ONE.document.digest
        with pytest.raises(BlobMissing) as caught:
            resolve(source, "store:x", Platform("linux", "arm64"))
    assert "looked for in the store" in str(caught.value)


def test_inputs_are_the_reference_and_the_blobs(store: Store) -> None:
    put(store, "localhost/x", ONE)
    with opened(store, "store:x") as source:
        resolve(source, "store:x", None)
        inputs = [Path(path).relative_to(store.place).parts[0] for path in source.inputs()]
    assert inputs == ["manifests", "blobs", "blobs", "blobs"]
