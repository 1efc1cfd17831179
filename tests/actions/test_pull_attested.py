"""What an index has attested of an image comes into the store with it, stays as long, and is handed on from there."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.attested import PACKAGES, PROVENANCE, image_files
from support.image_stores import contents
from support.images import blob_path, digest, write_directory
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
    assert [each.endswith("are refused; it is not kept") for each in heard] == [True]
    assert digest(PACKAGES) not in contents(store)


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
