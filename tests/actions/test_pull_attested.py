"""What an index has attested of an image comes into the store with it, stays as long, and is handed on from there."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.attested import PACKAGES, PROVENANCE, SPEC, attested, image_files
from support.image_stores import contents
from support.images import (
    OCI,
    TAG,
    Files,
    add_blob,
    add_image,
    blob_path,
    bytes_of,
    digest,
    dumps,
    index_bytes,
    platform_object,
    write_directory,
)
from support.registry import Registry
from support.remote import listen_to

from builder import BuildOptions, GuestOptions, build
from builder.actions.pull import pull
from builder.image.digest import Digest
from builder.image.name import ImageName
from builder.image.platform import Platform
from builder.sources import attestations
from builder.sources.access import Access
from builder.store import Store, open_store
from builder.store.check import check
from builder.store.collect import collect
from builder.store.listing import images

AMD64, ARM64 = Platform("linux", "amd64"), Platform("linux", "arm64")
OF_ARM64 = b'{"of":"arm64"}'
NAME = ImageName.parse("localhost/app:1")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


@pytest.fixture
def access(tmp_path: Path) -> Access:
    return Access(store=str(tmp_path / "store"))


def image(place: Path, *statements: bytes) -> str:
    write_directory(place, image_files(*statements))
    return f"oci:{place}:latest"


def statements(tmp_path: Path, access: Access, platform: Platform) -> bytes:
    lines = tmp_path / "lines"
    options = BuildOptions(platform=platform, attestations=lines, access=access, guest=GuestOptions(init="none"))
    build("store:app:1", tmp_path / f"{platform.architecture}.ext4", options)
    return lines.read_bytes()


def test_it_comes_with_the_images_that_are_pulled_and_stays_as_long(
    tmp_path: Path, store: Store, access: Access
) -> None:
    reference = image(tmp_path / "image", PACKAGES)
    pull(reference, access, name=NAME, platforms=[AMD64])
    collect(store)
    assert digest(PACKAGES) in contents(store)
    assert digest(OF_ARM64) not in contents(store)
    assert statements(tmp_path, access, AMD64) == PACKAGES + b"\n"
    pull(reference, access, name=NAME, platforms=None)
    assert statements(tmp_path, access, ARM64) == OF_ARM64 + b"\n"
    (found,) = images(store)
    assert (set(found.platforms), found.missing, found.problem) == ({AMD64, ARM64}, (), None)
    # Both images have the same layer.
    assert found.layers == 1
    assert found.size == sum(map(len, contents(store).values()))
    store.remove(NAME)
    collect(store)
    assert contents(store) == {}


def test_a_registrys_comes_into_the_store(registry: Registry, tmp_path: Path, store: Store, access: Access) -> None:
    registry.push_layout("pull/attested", image_files(PACKAGES), "latest")
    pull(f"docker://{registry.host}/pull/attested", access, name=NAME, platforms=[AMD64])
    collect(store)
    assert statements(tmp_path, access, AMD64) == PACKAGES + b"\n"


@pytest.mark.parametrize("damage", ["missing", "another"])
def test_what_is_not_what_it_should_be_is_said_and_the_image_is_there(
    tmp_path: Path, store: Store, access: Access, damage: str
) -> None:
    reference = image(tmp_path / "image", PACKAGES, PROVENANCE)
    path = tmp_path / "image" / blob_path(digest(PROVENANCE))
    path.unlink() if damage == "missing" else path.write_bytes(PROVENANCE[:-1] + b" ")
    heard: list[str] = []
    pull(reference, access, name=NAME, platforms=[AMD64], listen=listen_to(heard))
    assert len(heard) == 1
    assert heard[0].endswith("; it is not kept")
    assert heard[0].isprintable()
    assert [each.platforms for each in images(store)] == [(AMD64,)]
    collect(store)
    assert digest(PACKAGES) not in contents(store)
    assert check(store).damages == ()


@pytest.mark.parametrize(("what", "most"), [("MAX_MANIFESTS", 0), ("MAX_STATEMENTS", 0), ("MAX_SIZE", 1)])
def test_there_are_limits_to_what_is_kept(
    tmp_path: Path, store: Store, access: Access, monkeypatch: pytest.MonkeyPatch, what: str, most: int
) -> None:
    from builder.actions import pull_attested

    assert getattr(attestations, what) == getattr(pull_attested, what)
    monkeypatch.setattr(pull_attested, what, most)
    heard: list[str] = []
    pull(image(tmp_path / "image", PACKAGES), access, name=NAME, platforms=[AMD64], listen=listen_to(heard))
    assert [each.endswith(("are refused; it is not kept", "which are not kept")) for each in heard] == [True]
    assert digest(PACKAGES) not in contents(store)


def odd(place: Path, change: Callable[[Files, dict[str, Any]], list[dict[str, Any]]]) -> str:
    """An image of which what is attested is as `change` makes of its files and of the entry for it."""
    files: Files = {"oci-layout": dumps({"imageLayoutVersion": "1.0.0"})}
    made, entry = add_image(files, replace(SPEC, platform="linux/amd64"))
    entries = [{**entry, "platform": platform_object("linux/amd64")}]
    entries += change(files, attested(made.manifest, files, PACKAGES))
    index = add_blob(files, index_bytes(entries), OCI + "index.v1+json")
    files["index.json"] = index_bytes([{**index, "annotations": {TAG: "latest"}}])
    write_directory(place, files)
    return f"oci:{place}:latest"


def large_config(files: Files, entry: dict[str, Any]) -> list[dict[str, Any]]:
    document = json.loads(bytes_of(files[blob_path(entry["digest"])]))
    document["config"]["size"] = attestations.MAX_SIZE + 1
    return [{**entry, **add_blob(files, dumps(document), OCI + "manifest.v1+json")}]


def odd_type(_files: Files, entry: dict[str, Any]) -> list[dict[str, Any]]:
    return [{**entry, "mediaType": "application/json"}]


def thousands(_files: Files, entry: dict[str, Any]) -> list[dict[str, Any]]:
    return [{**entry, "digest": f"sha256:{number:064x}"} for number in range(1000)]


@pytest.mark.parametrize(("change", "said"), [(large_config, 1), (odd_type, 1), (thousands, 11)])
def test_what_is_attested_oddly_is_left_out_whole_in_a_few_words(
    tmp_path: Path,
    store: Store,
    access: Access,
    change: Callable[[Files, dict[str, Any]], list[dict[str, Any]]],
    said: int,
) -> None:
    heard: list[str] = []
    pull(odd(tmp_path / "image", change), access, name=NAME, platforms=[AMD64], listen=listen_to(heard))
    assert len(heard) == said
    assert all(map(str.isprintable, heard))
    (found,) = images(store)
    assert (found.platforms, found.missing, found.problem) == ((AMD64,), (), None)
    # What is there is needed.
    assert collect(store).blobs == 0
    heard.clear()
    assert check(store, listen=listen_to(heard)).damages == ()
    assert heard == []


def test_verification_finds_what_is_damaged_of_it(tmp_path: Path, store: Store, access: Access) -> None:
    pull(image(tmp_path / "image", PACKAGES), access, name=NAME, platforms=[AMD64])
    assert check(store).damages == ()
    path = Path(store.path(Digest.parse(digest(PACKAGES))) or "")
    path.chmod(0o600)
    path.write_bytes(PACKAGES[:-1] + b" ")
    (damage,) = check(store).damages
    assert damage.images == (str(NAME),)
    path.unlink()
    heard: list[str] = []
    assert check(store, listen=listen_to(heard)).damages == ()
    assert heard != []
