"""Verification: what is not what its name says is found, named, and moved away on demand."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.image_stores import Parts, contents, describe, image, index, litter, put

from builder.events import Event, Notice
from builder.image.descriptor import Descriptor
from builder.image.digest import Digest
from builder.image.media_types import OCI_MANIFEST
from builder.image.name import ImageName
from builder.store.check import Checked, Damage, check
from builder.store.collect import blobs_of, collect
from builder.store.lease import Lease
from builder.store.listing import images
from builder.store.reference_files import path_of
from builder.store.rooms.directory import LocalRoom
from builder.store.store import Store

ONE = image(b"shared" * 100, b"one" * 100)
OTHER = image(b"shared" * 100, b"other" * 100)
SHARED = Digest.of(b"shared" * 100)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(LocalRoom(str(tmp_path / "images")))
    put(store, "localhost/one:1", ONE)
    put(store, "localhost/other:1", OTHER)
    return store


def damage(store: Store, digest: Digest, content: bytes) -> str:
    path = store.path(digest)
    assert path is not None
    Path(path).write_bytes(content)
    return path


def test_an_intact_store_is_counted(store: Store) -> None:
    found = contents(store)
    assert check(store) == Checked(len(found), sum(map(len, found.values())), 2, ())
    assert litter(store) == []


def test_a_store_that_is_not_there_is_intact(tmp_path: Path) -> None:
    assert check(Store(LocalRoom(str(tmp_path / "none")))) == Checked(0, 0, 0, ())
    assert list(tmp_path.iterdir()) == []


def test_a_corrupt_blob_is_named_with_all_images_that_need_it(store: Store) -> None:
    where = damage(store, SHARED, b"changed")
    reason = f"its content is {Digest.of(b'changed')}"
    assert check(store).damages == (Damage(where, reason, ("localhost/one:1", "localhost/other:1")),)
    assert Path(where).read_bytes() == b"changed"


def test_what_is_in_quarantine_is_fetched_anew(store: Store) -> None:
    where = damage(store, SHARED, b"changed")
    (found,) = check(store, quarantine=True).damages
    assert found.moved_to is not None
    assert (Path(store.place) / found.moved_to).read_bytes() == b"changed"
    assert not Path(where).exists()
    assert [each.reason for each in check(store).damages] == ["is incomplete: 1 blob is missing; pull it again"] * 2
    put(store, "localhost/one:1", ONE)
    assert check(store).damages == ()


def test_a_corrupt_manifest_is_named_with_its_image(store: Store) -> None:
    where = damage(store, ONE.document.digest, b"{}")
    (found,) = check(store, quarantine=True).damages
    assert (found.what, found.images) == (where, ("localhost/one:1",))
    put(store, "localhost/one:1", ONE)
    assert check(store).damages == ()


def test_what_is_wrong_with_an_image_is_said_once_with_its_name(store: Store) -> None:
    odd = describe(b"not json", OCI_MANIFEST)
    put(store, "localhost/odd:1", index({"linux/amd64": ONE, "linux/s390x": Parts({}, odd, b"not json")}))
    (found,) = check(store).damages
    assert found.what == "localhost/odd:1"
    assert found.reason.startswith(f"{odd.digest} at $: is not valid JSON")


def test_a_missing_blob_is_an_incomplete_image(store: Store) -> None:
    Path(store.path(Digest.of(b"one" * 100)) or "").unlink()
    reason = "is incomplete: 1 blob is missing; pull it again"
    assert check(store).damages == (Damage("localhost/one:1", reason, ("localhost/one:1",)),)


def test_platforms_that_were_not_pulled_are_not_missed(store: Store) -> None:
    arm = image(b"arm", platform="linux/arm64")
    put(store, "localhost/multi:1", index({"linux/amd64": ONE, "linux/arm64": arm}, left_out=("linux/arm64",)))
    assert check(store).damages == ()


def test_a_platform_that_is_there_in_part_is_said_and_no_damage(store: Store) -> None:
    arm = image(b"arm", platform="linux/arm64")
    put(store, "localhost/multi:1", index({"linux/amd64": ONE, "linux/arm64": arm}, left_out=("linux/arm64",)))
    with store.lease() as lease:
        store.put(arm.document, [arm.data], lease)
    said: list[Event] = []
    assert check(store, listen=said.append).damages == ()
    assert len([event for event in said if isinstance(event, Notice) and "localhost/multi:1" in event.text]) == 1


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[]",
        b'{"name": "localhost/one:1"}',
        b'{"name": "../..", "descriptor": {"mediaType": "x", "digest": "sha256:0", "size": 1}}',
        b'{"name": "localhost/other:1", "descriptor": {"mediaType": "x", "digest": "sha256:%064d", "size": 1}}' % 0,
    ],
)
def test_a_reference_that_is_none_is_moved_away(store: Store, content: bytes) -> None:
    path = Path(store.place) / "manifests/localhost+one/1.json"
    path.write_bytes(content)
    (found,) = check(store, quarantine=True).damages
    assert found.what == str(path)
    assert found.moved_to is not None
    assert (Path(store.place) / found.moved_to).read_bytes() == content
    assert [str(each.name) for each in images(store)] == ["localhost/other:1"]
    assert check(store).damages == ()


def test_a_reference_of_the_longest_name_can_be_moved_away(store: Store) -> None:
    name = ImageName.parse(f"localhost/{'a' * 120}:{'t' * 128}")
    put(store, str(name), ONE)
    path = Path(store.place) / path_of(name)
    path.write_bytes(b"")
    (found,) = check(store, quarantine=True).damages
    assert (found.what, path.exists()) == (str(path), False)
    assert len(Path(found.moved_to or "").name) == 143
    assert check(store).damages == ()


def test_a_reference_whose_digest_is_not_what_it_resolves_to_is_moved_away(store: Store) -> None:
    put(store, f"localhost/one@{ONE.document.digest}", ONE)
    names = [ImageName.parse(f"localhost/one@{digest}") for digest in (ONE.document.digest, SHARED)]
    honest, lying = (Path(store.place) / path_of(name) for name in names)
    lying.write_text(honest.read_text().replace(f"@{ONE.document.digest}", f"@{SHARED}"))
    (found,) = check(store, quarantine=True).damages
    assert (found.what, found.reason.endswith(f"resolves to {ONE.document.digest}")) == (str(lying), True)
    assert (honest.exists(), lying.exists()) == (True, False)


def test_a_listing_says_what_is_damaged_and_lists_the_rest(store: Store) -> None:
    damage(store, ONE.document.digest, b"{}")
    (Path(store.place) / "manifests/localhost+one/2.json").write_bytes(b"{}")
    said: list[Event] = []
    one, other = images(store, said.append)
    assert (one.platforms, one.problem is None) == ((), False)
    assert other.problem is None
    assert [event.text for event in said if isinstance(event, Notice)] != []


def test_a_listing_counts_shared_blobs_once(store: Store) -> None:
    put(store, "localhost/twice:1", image(b"same", b"same"))
    found = {str(each.name): each for each in images(store)}
    assert found["localhost/twice:1"].layers == 1
    assert found["localhost/one:1"].layers == 2
    assert found["localhost/one:1"].size == len(ONE.data) + sum(map(len, ONE.blobs.values()))
    assert [str(platform) for platform in found["localhost/one:1"].platforms] == ["linux/amd64"]


def test_an_image_that_is_replaced_while_it_is_looked_at_is_no_damage(store: Store) -> None:
    class LateLease(Lease):
        def add(self, *descriptors: Descriptor) -> None:
            if ONE.document in descriptors:
                put(store, "localhost/one:1", image(b"new"))
                collect(store)
            super().add(*descriptors)

    class Late(Store):
        def lease(self) -> Lease:
            return LateLease(self.room)

    assert check(Late(store.room)).damages == ()
    assert ONE.document.digest not in blobs_of(store)
