"""What every source promises, whatever the transport: the same image, byte for byte."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from support.forms import FORMS, IMAGE, LAYERS, install_memory
from support.images import config_bytes, digest
from support.leaks import no_descriptor_left
from support.remote_forms import IN_REGISTRIES

from builder.archive.compression import COMPRESSIONS
from builder.errors import BlobMissing, PlatformNotFound
from builder.image.descriptor import Descriptor
from builder.image.digest import Digest
from builder.image.media_types import layer_compression
from builder.image.platform import Platform
from builder.sources import open_source
from builder.sources.access import Means
from builder.sources.reference import parse_reference
from builder.sources.resolve import resolve
from builder.sources.source import Source
from builder.sources.transport import Transport
from builder.sources.transports import TRANSPORTS


@pytest.fixture(scope="module", autouse=True)
def memory() -> None:
    install_memory()


@pytest.fixture(params=[*FORMS, *IN_REGISTRIES])
def reference(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    # The user's own store, for `store:`.
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    if request.param in IN_REGISTRIES:
        request.getfixturevalue("home")
        return IN_REGISTRIES[request.param](request.getfixturevalue("registry"))
    return FORMS[request.param](tmp_path)


@pytest.fixture
def source(reference: str, tmp_path: Path) -> Iterator[Source]:
    with closing(open_source(reference, means=Means(tmp_path))) as source:
        yield source


def test_gives_the_same_image(source: Source, reference: str) -> None:
    image = resolve(source, reference, None)

    assert image.reference == reference
    assert str(image.config_digest) == digest(config_bytes(IMAGE))
    assert [str(layer.diff_id) for layer in image.layers] == [digest(layer) for layer in LAYERS]
    assert image.config.env == ("A=b",)
    assert image.config.platform == Platform("linux", "s390x")


def test_every_blob_is_what_its_descriptor_says(source: Source, reference: str) -> None:
    image = resolve(source, reference, None)

    for layer, plain in zip(image.layers, LAYERS, strict=True):
        with source.open(layer.descriptor) as blob:
            content = blob.read()
        assert len(content) == layer.descriptor.size
        assert digest(content) == str(layer.descriptor.digest)
        unpack = COMPRESSIONS[layer_compression(layer.descriptor.media_type)].decompress
        assert b"".join(unpack(iter([content]))) == plain


def test_layers_can_be_read_at_the_same_time(source: Source, reference: str) -> None:
    layers = resolve(source, reference, None).layers
    with closing(source.open(layers[1].descriptor)) as first, closing(source.open(layers[1].descriptor)) as second:
        chunks: tuple[list[bytes], list[bytes]] = ([], [])
        while True:
            read = (first.read(70_000), second.read(70_000))
            if not any(read):
                break
            chunks[0].append(read[0])
            chunks[1].append(read[1])
    assert [digest(b"".join(part)) for part in chunks] == [str(layers[1].descriptor.digest)] * 2


def test_a_blob_that_is_not_there_is_missing(source: Source, reference: str) -> None:
    resolve(source, reference, None)
    absent = Descriptor("application/vnd.oci.image.layer.v1.tar", Digest.of(b"absent"), 6, ("https://example.com/b",))
    with pytest.raises(BlobMissing) as caught:
        source.open(absent)
    assert caught.value.urls == ("https://example.com/b",)


def test_another_platform_than_the_images_is_refused(source: Source, reference: str) -> None:
    with pytest.raises(PlatformNotFound) as caught:
        resolve(source, reference, Platform("linux", "arm64"))
    assert caught.value.available == ("linux/s390x",)


def test_inputs_are_files_that_make_can_watch(source: Source, reference: str) -> None:
    resolve(source, reference, None)
    inputs = source.inputs()
    assert [path for path in inputs if not os.path.isfile(path)] == []
    assert (inputs == []) == reference.startswith(("oci:test-memory:", "docker-archive:test-memory:", "docker:"))
    assert len(set(inputs)) == len(inputs)


def test_nothing_is_left_in_the_scratch_directory(reference: str, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with closing(open_source(reference, means=Means(scratch))) as source:
        resolve(source, reference, None)
        assert list(scratch.iterdir()) == []


def test_no_descriptor_stays_open(reference: str, tmp_path: Path) -> None:
    with no_descriptor_left(), closing(open_source(reference, means=Means(tmp_path))) as source:
        resolve(source, reference, None)


def test_every_transport_has_forms_here() -> None:
    written = {name.partition(",")[0].partition(" ")[0].partition(":")[0] for name in (*FORMS, *IN_REGISTRIES)}
    assert set(TRANSPORTS) - written == set()


@pytest.mark.parametrize("transport", TRANSPORTS.values(), ids=TRANSPORTS)
def test_every_form_of_a_reference_is_its_transports(transport: Transport) -> None:
    parsed = [parse_reference(form.partition("[")[0].partition("@")[0]) for form in transport.forms]
    assert [each.transport for each in parsed] == [transport] * len(transport.forms)
    assert [each.names_a_file for each in parsed] == [not transport.named] * len(transport.forms)
