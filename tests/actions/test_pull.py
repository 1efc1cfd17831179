"""Pulling: what is in the store afterwards is the image, whole, as the bytes that it was."""

from __future__ import annotations

import hashlib
import json
from contextlib import closing
from pathlib import Path

import pytest
from support.image_stores import contents, litter
from support.images import (
    Spec,
    add_blob,
    blob_path,
    digest,
    docker_archive,
    dumps,
    index_bytes,
    layout,
    layout_files,
    write_directory,
)
from support.tars import file, tar

from builder.actions.pull import Pulled, pull
from builder.errors import BlobMissing, DigestMismatch, InvalidReference, PlatformNotFound, SizeMismatch
from builder.events import Event, Notice, Progress, Stage
from builder.image.descriptor import Descriptor
from builder.image.digest import Digest
from builder.image.name import ImageName
from builder.image.platform import Platform
from builder.sources import open_source
from builder.sources.access import Access
from builder.sources.resolve import resolve
from builder.store import Store, open_store
from builder.store.collect import collect
from builder.store.listing import images

BASE = tar(file("base", b"".join(hashlib.sha256(bytes([i % 256, i // 256])).digest() for i in range(40_000))))
AMD = Spec((BASE, tar(file("a", b"amd"))), tag="1", platform="linux/amd64")
ARM = Spec((BASE, tar(file("a", b"arm"))), tag="1", platform="linux/arm64")
S390X = Spec((tar(file("a", b"s390x")),), tag="1", platform="linux/s390x")
AMD64, ARM64 = Platform("linux", "amd64"), Platform("linux", "arm64")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


@pytest.fixture
def access(tmp_path: Path) -> Access:
    return Access(store=str(tmp_path / "store"))


def whole(path: Path, *specs: Spec) -> tuple[str, dict[str, bytes]]:
    """A layout with an index of the images; its reference, and its blobs by digest."""
    files, _ = layout_files(*specs, nested="1")
    write_directory(path, files)
    blobs = {f"sha256:{name[-64:]}": data for name, data in files.items() if name.startswith("blobs/")}
    return f"oci:{path}:1", blobs  # type: ignore[return-value]


def test_a_single_image_is_there_as_it_was(tmp_path: Path, store: Store, access: Access) -> None:
    (made,) = layout(tmp_path / "app", AMD)
    pulled = pull(f"oci:{tmp_path}/app", access)
    sizes = [len((tmp_path / "app" / blob_path(layer)).read_bytes()) for layer in made.layers]
    assert pulled == Pulled(ImageName.parse("localhost/app:1"), Digest.parse(made.manifest), (AMD64,), sum(sizes))
    assert contents(store).keys() == {made.manifest, made.config, *made.layers}
    assert {name: hashlib.sha256(data).hexdigest() for name, data in contents(store).items()} == {
        name: name[7:] for name in contents(store)
    }
    assert litter(store) == []


def test_an_index_stays_one_and_has_the_platforms_that_were_asked_for(
    tmp_path: Path, store: Store, access: Access
) -> None:
    reference, blobs = whole(tmp_path / "app", AMD, ARM, S390X)
    pulled = pull(reference, access, platforms=[ARM64])
    assert pulled.platforms == (ARM64,)
    assert contents(store).items() <= blobs.items()
    assert [image.platforms for image in images(store)] == [(ARM64,)]
    assert len(contents(store)) == 5
    again = pull(reference, access, platforms=[AMD64, ARM64])
    assert again.digest == pulled.digest
    assert again.copied < len(BASE) // 2
    assert len(contents(store)) == 8
    pull(reference, access, platforms=None)
    assert contents(store) == blobs
    assert len(images(store)[0].platforms) == 3


def test_without_a_platform_it_is_this_machines(tmp_path: Path, access: Access) -> None:
    reference, _ = whole(tmp_path / "app", AMD, ARM)
    assert pull(reference, access).platforms == (Platform.host(),)


def test_a_platform_that_is_not_there_is_said_and_nothing_is_recorded(
    tmp_path: Path, store: Store, access: Access
) -> None:
    reference, _ = whole(tmp_path / "app", AMD)
    with pytest.raises(PlatformNotFound):
        pull(reference, access, platforms=[AMD64, ARM64])
    layout(tmp_path / "single", AMD)
    with pytest.raises(PlatformNotFound):
        pull(f"oci:{tmp_path}/single", access, platforms=[ARM64])
    assert images(store) == []


def test_odd_entries_are_left_out(tmp_path: Path, store: Store, access: Access) -> None:
    files, _ = layout_files(AMD)
    kind = "application/vnd.oci.image.manifest.v1+json"
    config = add_blob(files, b"{}", "application/vnd.example.thing")
    odd = b'{"schemaVersion":2,"config":%b,"layers":[]}' % str(config).replace("'", '"').encode()
    entry = add_blob(files, odd, kind)
    index = files["index.json"]
    assert isinstance(index, bytes)
    described = str({**entry, "platform": {"os": "linux", "architecture": "odd"}}).replace("'", '"')
    attested = str(
        {**entry, "annotations": {"vnd.docker.reference.type": "attestation-manifest"}, "digest": digest(b"none")}
    ).replace("'", '"')
    inner = index.replace(b'"manifests": [', f'"manifests": [{described}, {attested}, '.encode())
    outer = add_blob(files, inner, "application/vnd.oci.image.index.v1+json")
    files["index.json"] = b'{"schemaVersion":2,"manifests":[%b]}' % str(outer).replace("'", '"').encode()
    write_directory(tmp_path / "app", files)
    said: list[Event] = []
    pulled = pull(f"oci:{tmp_path}/app", access, platforms=None, listen=said.append)
    assert pulled.platforms == (AMD64,)
    assert [event for event in said if isinstance(event, Notice) and "left out" in event.text] != []
    assert [image.platforms for image in images(store)] == [(AMD64,)]


def test_what_has_no_manifest_gets_one_that_is_always_the_same(tmp_path: Path, store: Store, access: Access) -> None:
    docker_archive(tmp_path / "saved.tar", Spec(AMD.layers, "example:1"))
    first = pull(f"docker-archive:{tmp_path}/saved.tar", access)
    assert str(first.name) == "docker.io/library/example:1"
    second = pull(f"docker-archive:{tmp_path}/saved.tar", access, name=ImageName.parse("localhost/again"))
    assert second.digest == first.digest
    assert second.copied == 0
    assert images(store)[0].layers == 2


def test_several_entries_of_one_tag_become_an_index(tmp_path: Path, store: Store, access: Access) -> None:
    layout(tmp_path / "app", AMD, ARM)
    pull(f"oci:{tmp_path}/app:1", access, platforms=None)
    assert [set(image.platforms) for image in images(store)] == [{AMD64, ARM64}]


def test_an_image_of_the_store_can_be_given_another_name(tmp_path: Path, store: Store, access: Access) -> None:
    layout(tmp_path / "app", AMD)
    pull(f"oci:{tmp_path}/app", access)
    assert pull("store:app:1", access, name=ImageName.parse("example.com/app:2")).copied == 0
    assert [str(image.name) for image in images(store)] == ["example.com/app:2", "localhost/app:1"]


def test_a_short_name_is_refused(tmp_path: Path, access: Access) -> None:
    layout(tmp_path / "app", AMD)
    with pytest.raises(InvalidReference, match=r"write docker\.io/library/app or localhost/app"):
        pull(f"oci:{tmp_path}/app", access, name=ImageName.parse("app"))


def test_a_digest_that_is_not_the_images_is_no_name_for_it(tmp_path: Path, store: Store, access: Access) -> None:
    text, _ = whole(tmp_path / "layout", AMD)
    other = ImageName.parse(f"localhost/x@{Digest.of(b'')}")
    with pytest.raises(InvalidReference, match="is no name for this image, whose digest is sha256:"):
        pull(text, access, name=other)
    assert list(store.references()) == []
    pulled = pull(text, access)
    name = ImageName.parse(f"localhost/x@{pulled.digest}")
    assert pull(text, access, name=name).name == name


def test_a_damaged_layer_is_refused_and_nothing_is_recorded(tmp_path: Path, store: Store, access: Access) -> None:
    (made,) = layout(tmp_path / "app", AMD)
    path = tmp_path / "app" / blob_path(made.layers[1])
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(DigestMismatch):
        pull(f"oci:{tmp_path}/app", access)
    assert images(store) == []
    assert made.layers[1] not in contents(store)
    path.write_bytes(data)
    pull(f"oci:{tmp_path}/app", access)
    assert len(images(store)) == 1


def test_a_layer_that_is_there_is_still_of_the_size_that_the_image_says(
    tmp_path: Path, store: Store, access: Access
) -> None:
    (made,) = layout(tmp_path / "app", AMD)
    pull(f"oci:{tmp_path}/app", access)
    manifest = (tmp_path / "app" / blob_path(made.manifest)).read_bytes()
    document = json.loads(manifest)
    document["layers"][0]["size"] += 1
    files: dict[str, bytes] = {}
    described = add_blob(files, dumps(document), document["mediaType"])  # type: ignore[arg-type]
    for path, data in files.items():
        (tmp_path / "app" / path).write_bytes(data)
    (tmp_path / "app/index.json").write_bytes(index_bytes([described]))
    with pytest.raises(SizeMismatch):
        pull(f"oci:{tmp_path}/app", access, name=ImageName.parse("localhost/lie"))
    assert [str(name) for name, _ in store.references()] == ["localhost/app:1"]


def test_a_layer_that_was_cut_short_in_the_store_is_fetched_again(tmp_path: Path, store: Store, access: Access) -> None:
    (made,) = layout(tmp_path / "app", AMD)
    pull(f"oci:{tmp_path}/app", access)
    before = contents(store)
    for each in (made.layers[0], made.manifest, made.config):
        path = Path(store.path(Digest.parse(each)) or "")
        path.write_bytes(path.read_bytes()[:10])
    pull(f"oci:{tmp_path}/app", access)
    assert contents(store) == before


def test_a_missing_layer_is_said_before_anything_is_copied(tmp_path: Path, store: Store, access: Access) -> None:
    (made,) = layout(tmp_path / "app", AMD)
    (tmp_path / "app" / blob_path(made.layers[1])).unlink()
    with pytest.raises(BlobMissing):
        pull(f"oci:{tmp_path}/app", access)
    assert made.layers[0] not in contents(store)


def test_an_interrupted_pull_goes_on_where_it_stopped(tmp_path: Path, store: Store, access: Access) -> None:
    (made,) = layout(tmp_path / "app", Spec((BASE,), compression="none"))
    with store.lease() as lease:
        with closing(store.receive(Descriptor("", Digest.parse(made.layers[0]), len(BASE)), lease)) as incoming:
            incoming.write(BASE[:500_000])
    # What is in the store already is not taken from the source again.
    (tmp_path / "app" / blob_path(made.layers[0])).write_bytes(bytes(500_000) + BASE[500_000:])
    pull(f"oci:{tmp_path}/app", access)
    assert contents(store)[made.layers[0]] == BASE
    assert litter(store) == []


def test_what_an_interrupted_pull_left_damaged_is_fetched_again(tmp_path: Path, store: Store, access: Access) -> None:
    (made,) = layout(tmp_path / "app", Spec((BASE,), compression="none"))
    with store.lease() as lease:
        with closing(store.receive(Descriptor("", Digest.parse(made.layers[0]), len(BASE)), lease)) as incoming:
            incoming.write(bytes(500_000))
    pull(f"oci:{tmp_path}/app", access)
    assert contents(store)[made.layers[0]] == BASE
    assert litter(store) == []


def test_progress_is_of_the_layers_that_are_copied(tmp_path: Path, access: Access) -> None:
    reference, _ = whole(tmp_path / "app", AMD, ARM)
    pull(reference, access, platforms=[AMD64])
    said: list[Event] = []
    pulled = pull(reference, access, platforms=None, listen=said.append)
    assert [event for event in said if isinstance(event, Stage)] == [
        Stage("pulling 3 layers, 2 here already", pulled.copied)
    ]
    assert [event for event in said if isinstance(event, Progress)][-1] == Progress(pulled.copied)


def test_what_is_being_pulled_is_not_collected(tmp_path: Path, store: Store, access: Access) -> None:
    reference, blobs = whole(tmp_path / "app", AMD, ARM)
    collected: list[int] = []
    pull(reference, access, platforms=None, listen=lambda _event: collected.append(collect(store).blobs))
    assert collected != []
    assert set(collected) == {0}
    assert contents(store) == blobs


def test_what_was_pulled_can_be_built_from_the_store_alone(tmp_path: Path, access: Access) -> None:
    reference, _ = whole(tmp_path / "app", AMD, ARM)
    pull(reference, access, platforms=None, name=ImageName.parse("localhost/app"))
    for platform in (AMD64, ARM64):
        with closing(open_source(reference)) as one, closing(open_source("store:app", access)) as other:
            first, second = resolve(one, "x", platform), resolve(other, "x", platform)
        assert first == second


def test_one_layer_of_many_that_fails_fails_the_pull(tmp_path: Path, store: Store, access: Access) -> None:
    spec = Spec(tuple(tar(file(f"f{i}", b"x" * 1000)) for i in range(12)), compression="none")
    (made,) = layout(tmp_path / "app", spec)
    path = tmp_path / "app" / blob_path(made.layers[3])
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(SizeMismatch):
        pull(f"oci:{tmp_path}/app", access)
    assert images(store) == []
