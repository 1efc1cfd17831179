"""One image of several layers through every transport, carried from one to the next by the tools that people use."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from support.engines import Engine
from support.images import Spec, layout
from support.kept import Heard
from support.registry import skopeo_copy, start_registry

from builder import BuildOptions, build
from builder.actions.pull import pull
from builder.decoded.options import CacheOptions
from builder.disk import FILESYSTEMS
from builder.image.name import ImageName
from builder.sources.access import Access
from builder.sources.transports import TRANSPORTS
from fixtures.content import layers as example_layers
from fixtures.make_example import BUSYBOX
from fixtures.tar import HARDLINK, tar


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("transports")


@pytest.fixture(scope="module")
def references(place: Path) -> Iterator[Mapping[str | None, str]]:
    """The example by transport, as far as podman's store can hold it.

    What it cannot: hardlinks to files of a lower layer, and sparse files (it takes GNU's old ones for an unknown type,
    and of the others it does not keep where the holes are, so that podman push does not give back the same tar).
    """
    if not BUSYBOX.exists():
        pytest.skip("NOT RUN: busybox-static is not installed")
    layers = []
    for _, members in example_layers(BUSYBOX.read_bytes()):
        names = {member.name for member in members}
        kept = [each for each in members if not each.segments and (each.type != HARDLINK or each.link in names)]
        layers.append(tar([each for each in kept if each.link != b"opt/second"]))
    oci = f"oci:{place}/oci:latest"
    layout(place / "oci", Spec(tuple(layers)))
    skopeo_copy(oci, f"oci-archive:{place}/oci.tar:latest")
    skopeo_copy(oci, f"dir:{place}/dir")
    skopeo_copy(oci, f"docker-archive:{place}/docker.tar:localhost/example:latest")
    engine = Engine(place / "engine")
    engine.run(f'skopeo copy -q {oci} "containers-storage:${{SPEC}}localhost/example"', tools=("skopeo",))
    pull(oci, Access(store=str(place / "store")), name=ImageName.parse("localhost/example:latest"))
    registry = start_registry(place / "registry")
    try:
        skopeo_copy(oci, f"docker://{registry.host}/example:latest", "--dest-tls-verify=false")
        yield {
            "oci": oci,
            "oci-archive": f"oci-archive:{place}/oci.tar:latest",
            "dir": f"dir:{place}/dir",
            "docker-archive": f"docker-archive:{place}/docker.tar:localhost/example:latest",
            "docker": f"docker://{registry.host}/example",
            "store": "store:localhost/example",
            "containers-storage": engine.reference("example"),
            None: f"{place}/oci",
        }
    finally:
        registry.stop()


@pytest.fixture(scope="module")
def access(place: Path) -> Access:
    return Access(store=str(place / "store"))


@pytest.fixture(scope="module")
def first(place: Path, references: Mapping[str | None, str]) -> dict[str, str]:
    """The digest of a disk of the OCI layout, by format."""
    return {name: digest(build(references["oci"], place / f"first.{name}").output) for name in FILESYSTEMS}


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@pytest.mark.root
@pytest.mark.parametrize("format", FILESYSTEMS)
@pytest.mark.parametrize("transport", [*TRANSPORTS, None], ids=str)
def test_an_image_gives_the_same_disk_through_every_transport(
    references: Mapping[str | None, str],
    first: Mapping[str, str],
    access: Access,
    tmp_path: Path,
    transport: str | None,
    format: str,
) -> None:
    disk = build(references[transport], tmp_path / f"disk.{format}", BuildOptions(access=access)).output
    assert digest(disk) == first[format]


@pytest.mark.root
@pytest.mark.parametrize("transport", [*TRANSPORTS, None], ids=str)
def test_layers_that_one_transport_has_kept_are_those_of_every_other(
    references: Mapping[str | None, str],
    first: Mapping[str, str],
    access: Access,
    place: Path,
    tmp_path: Path,
    transport: str | None,
) -> None:
    options = replace(BuildOptions(access=access), cache=CacheOptions(place=place / "cache"))
    build(references["oci"], place / "kept.ext4", options)
    (place / "kept.ext4").unlink()
    heard = Heard()
    for format, expected in first.items():
        disk = build(references[transport], tmp_path / f"disk.{format}", options, heard).output
        assert digest(disk) == expected
    assert set(heard.layers) == {"taken"}


@pytest.mark.root
@pytest.mark.parametrize("transport", [each for each in [*TRANSPORTS, None] if each != "store"], ids=str)
def test_an_image_can_be_pulled_from_every_transport_and_gives_the_same_disk_then(
    references: Mapping[str | None, str], first: Mapping[str, str], tmp_path: Path, transport: str | None
) -> None:
    access = Access(store=str(tmp_path / "store"))
    pulled = pull(references[transport], access)
    disk = build(f"store:{pulled.name}", tmp_path / "disk.ext4", BuildOptions(access=access)).output
    assert digest(disk) == first["ext4"]
