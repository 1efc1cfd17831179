"""What every source promises, whatever the transport: the same image, byte for byte."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from support.images import (
    Files,
    Link,
    Spec,
    blob_path,
    config_bytes,
    digest,
    docker_files,
    layout_files,
    write_directory,
    write_tar,
    write_zip,
)
from support.registry import Registry
from support.stores import reference as stored
from support.stores import write_store
from support.tars import directory, file, tar

from builder.archive.compression import COMPRESSIONS
from builder.errors import BlobMissing, PlatformNotFound
from builder.image.descriptor import Descriptor
from builder.image.digest import Digest
from builder.image.media_types import layer_compression
from builder.image.name import ImageName
from builder.image.platform import Platform
from builder.pull import pull
from builder.sources import TRANSPORTS, open_source
from builder.sources.access import Access
from builder.sources.reference import FORMS as WRITTEN
from builder.sources.resolve import resolve
from builder.sources.source import Source

LAYERS = (
    tar(directory("etc"), file("etc/motd", b"first\n")),
    # More than any buffer holds, and no two stretches alike.
    tar(file("big", b"".join(hashlib.sha256(bytes([i % 256, i // 256])).digest() for i in range(20_000)))),
    tar(file("etc/motd", b"last\n")),
)
IMAGE = Spec(LAYERS, tag="example:1", platform="linux/s390x", config={"Env": ["A=b"], "Cmd": ["/bin/sh"]})
OTHER = Spec((tar(file("other", b"other\n")),), tag="localhost/other:1", platform="linux/s390x")


def _layout() -> Files:
    return layout_files(IMAGE, OTHER)[0]


def _oci(path: Path) -> str:
    return f"oci:{write_directory(path / 'layout', _layout())}:example:1"


def _oci_linked_blobs(path: Path) -> str:
    files = _layout()
    for name in [name for name in files if name.startswith("blobs/sha256/")]:
        files[f"content/{name[-64:]}"] = files[name]
        files[name] = Link(f"../../content/{name[-64:]}")
    return f"oci:{write_directory(path / 'layout', files)}:example:1"


def _oci_digest(path: Path) -> str:
    files, made = layout_files(OTHER, IMAGE, nested="all")
    return f"oci:{write_directory(path / 'layout', files)}@{made[1].manifest}"


def _oci_position(path: Path) -> str:
    return f"oci:{write_directory(path / 'layout', _layout())}:@0"


def _oci_archive(outer: str, prefix: str = "") -> Callable[[Path], str]:
    return lambda path: f"oci-archive:{write_tar(path / 'image.tar', _layout(), outer, prefix)}:example:1"


def _oci_archive_linked(hard: bool) -> Callable[[Path], str]:
    def make(path: Path) -> str:
        files: Files = {}
        for name, content in _layout().items():
            if name.startswith("blobs/sha256/"):
                files[f"content/{name[-64:]}"] = content
                target = f"content/{name[-64:]}"
                content = Link(target, hard=True) if hard else Link(f"../../{target}")
            files[name] = content
        return f"oci-archive:{write_tar(path / 'image.tar', files)}:example:1"

    return make


def _docker_archive(style: str, outer: str = "none") -> Callable[[Path], str]:
    return lambda path: (
        f"docker-archive:{write_tar(path / 'image.tar', docker_files(OTHER, IMAGE, style=style)[0], outer)}:example:1"
    )


def _docker_archive_compressed_layers(path: Path) -> str:
    """As docker-archives of other tools: compressed layers under names that say nothing."""
    files, made = docker_files(IMAGE, style="new")
    text = files["manifest.json"]
    assert isinstance(text, bytes)
    for number, layer in enumerate(made[0].layers):
        files[f"layer{number}"] = files.pop(blob_path(layer))
        text = text.replace(blob_path(layer).encode(), f"layer{number}".encode())
    files["manifest.json"] = text
    del files["oci-layout"], files["index.json"]
    return f"docker-archive:{write_tar(path / 'image.tar', files)}"


def _plain_layout(path: Path) -> str:
    return f"{write_directory(path / 'layout', _layout())}:example:1"


def _plain_archive(path: Path) -> str:
    return f"{write_tar(path / 'image.tgz', _layout(), 'gzip')}:example:1"


def _plain_docker_archive(path: Path) -> str:
    return str(write_tar(path / "image.tar", docker_files(IMAGE)[0]))


def _plain_both(path: Path) -> str:
    return str(write_tar(path / "image.tar", docker_files(IMAGE, style="new")[0]))


def _plain_unpacked_docker_archive(path: Path) -> str:
    return f"{write_directory(path / 'saved', docker_files(OTHER, IMAGE)[0])}:example:1"


def _zip(path: Path) -> str:
    return f"oci:zip://{write_zip(path / 'layout.zip', _layout())}:example:1"


def _zip_below(path: Path) -> str:
    files: Files = {f"images/one/{name}": content for name, content in _layout().items()}
    return f"oci:zip://{write_zip(path / 'layout.zip', files)}!/images/one:example:1"


def _plain_zip(path: Path) -> str:
    return f"zip://{write_zip(path / 'layout.zip', _layout())}:example:1"


def _tar_url(path: Path) -> str:
    return f"oci:tar://{write_tar(path / 'layout.tar', _layout())}:example:1"


def _tar_url_below(path: Path) -> str:
    return f"oci:tar://{write_tar(path / 'layout.tgz', _layout(), 'gzip', './images/one/')}!/images/one:example:1"


def _osfs(path: Path) -> str:
    return f"oci:osfs://{write_directory(path / 'layout', _layout())}:example:1"


def _osfs_archive(path: Path) -> str:
    return f"docker-archive:osfs://{write_tar(path / 'image.tar', docker_files(IMAGE)[0])}:example:1"


def _archive_in_zip(path: Path) -> str:
    archive = write_tar(path / "image.tgz", _layout(), "gzip").read_bytes()
    return f"oci-archive:zip://{write_zip(path / 'a.zip', {'in/image.tgz': archive})}!/in/image.tgz:example:1"


def _pulled(path: Path, reference: str, name: str) -> str:
    pull(reference, Access(store=str(path / "data/rootfs-builder")), name=ImageName.parse(name))
    return f"store:{name}"


def _store(path: Path) -> str:
    return _pulled(path, _oci(path), "example.com:5000/some/example:1")


def _store_digest(path: Path) -> str:
    files, made = layout_files(OTHER, IMAGE, nested="all")
    reference = f"oci:{write_directory(path / 'layout', files)}@{made[1].manifest}"
    return f"{_pulled(path, reference, 'localhost/example')}@{made[1].manifest}"


def _store_short_name(path: Path) -> str:
    _pulled(path, _oci(path), "docker.io/library/example")
    return "store:example"


def _store_docker_archive(path: Path) -> str:
    return _pulled(path, _docker_archive("old")(path), "localhost/example")


def _podman(path: Path) -> str:
    write_store(path / "store", OTHER, IMAGE)
    return stored(path / "store", "example:1")


def _podman_by_id(path: Path) -> str:
    made = write_store(path / "store", OTHER, IMAGE)
    return stored(path / "store", made[1].config[7:19])


def _podman_by_digest(path: Path) -> str:
    made = write_store(path / "store", OTHER, IMAGE)
    return stored(path / "store", f"example@{made[1].manifest}")


def _podman_two_stores(path: Path) -> str:
    write_store(path / "store", OTHER)
    write_store(path / "store", IMAGE, layers_in=path / "lower")
    return f"containers-storage:[overlay@{path}/store:overlay.imagestore={path}/lower]example:1"


def _memory(path: Path) -> str:
    return "oci:test-memory://layout:example:1"


def _memory_archive(path: Path) -> str:
    return "docker-archive:test-memory://image.tar"


FORMS: dict[str, Callable[[Path], str]] = {
    "oci": _oci,
    "oci with blobs that are symlinks": _oci_linked_blobs,
    "oci by digest": _oci_digest,
    "oci by position": _oci_position,
    "oci-archive": _oci_archive("none"),
    "oci-archive of ./ names": _oci_archive("none", "./"),
    "oci-archive, gzip": _oci_archive("gzip"),
    "oci-archive, zstd": _oci_archive("zstd"),
    "oci-archive with symlinks": _oci_archive_linked(hard=False),
    "oci-archive with hardlinks": _oci_archive_linked(hard=True),
    "docker-archive, old": _docker_archive("old"),
    "docker-archive, old, gzip": _docker_archive("old", "gzip"),
    "docker-archive, old, xz": _docker_archive("old", "xz"),
    "docker-archive, new": _docker_archive("new"),
    "docker-archive, new, bzip2": _docker_archive("new", "bzip2"),
    "docker-archive with compressed layers": _docker_archive_compressed_layers,
    "plain path of a layout": _plain_layout,
    "plain path of an oci-archive": _plain_archive,
    "plain path of a docker-archive": _plain_docker_archive,
    "plain path of what is both": _plain_both,
    "plain path of an unpacked docker-archive": _plain_unpacked_docker_archive,
    "oci:zip://": _zip,
    "oci:zip:// with a path": _zip_below,
    "zip://": _plain_zip,
    "oci:tar://": _tar_url,
    "oci:tar:// with a path, gzip": _tar_url_below,
    "oci:osfs://": _osfs,
    "docker-archive:osfs://": _osfs_archive,
    "oci-archive:zip://": _archive_in_zip,
    "store": _store,
    "store by digest": _store_digest,
    "store by short name": _store_short_name,
    "store, from a docker-archive": _store_docker_archive,
    "containers-storage": _podman,
    "containers-storage by ID": _podman_by_id,
    "containers-storage by digest": _podman_by_digest,
    "containers-storage, layers in another store": _podman_two_stores,
    "oci in memory": _memory,
    "docker-archive in memory": _memory_archive,
}


@pytest.fixture(scope="module", autouse=True)
def memory() -> None:
    """Install an opener, as other packages can, of memory that holds the image."""
    from fs.memoryfs import MemoryFS
    from fs.opener import registry
    from fs.opener.base import Opener
    from support.images import tar_bytes

    class MemoryOpener(Opener):
        protocols = ("test-memory",)

        def open_fs(self, *_arguments: object) -> MemoryFS:
            filesystem = MemoryFS()
            for name, content in _layout().items():
                assert isinstance(content, bytes)
                filesystem.makedirs(os.path.dirname(name), recreate=True)
                filesystem.writebytes(name, content)
            filesystem.writebytes("image.tar", tar_bytes(docker_files(IMAGE)[0]))
            return filesystem

    registry.install(MemoryOpener)


def _docker(registry: Registry) -> str:
    registry.push_layout("contract", _layout(), "1")
    return f"docker://{registry.host}/contract:1"


def _docker_digest(registry: Registry) -> str:
    return f"docker://{registry.host}/contract@{registry.push_layout('contract', _layout(), '1')}"


def _docker_index(registry: Registry) -> str:
    registry.push("contract", IMAGE, tag="index", nested=True)
    return f"docker://{registry.host}/contract:index"


IN_REGISTRIES: dict[str, Callable[[Registry], str]] = {
    "docker": _docker,
    "docker by digest": _docker_digest,
    "docker, an index": _docker_index,
}


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
    with closing(open_source(reference, Access(tmp_path))) as source:
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
    with closing(open_source(reference, Access(scratch))) as source:
        resolve(source, reference, None)
        assert list(scratch.iterdir()) == []


def open_descriptors() -> list[int]:
    def is_open(fd: int) -> bool:
        try:
            fcntl.fcntl(fd, fcntl.F_GETFD)
        except OSError:
            return False
        return True

    return [fd for fd in range(1024) if is_open(fd)]


def test_no_descriptor_stays_open(reference: str, tmp_path: Path) -> None:
    open_before = open_descriptors()
    with closing(open_source(reference, Access(tmp_path))) as source:
        resolve(source, reference, None)
    assert open_descriptors() == open_before


def test_the_table_of_transports_has_every_name_that_references_may_use() -> None:
    assert set(TRANSPORTS) == {*WRITTEN, None}
