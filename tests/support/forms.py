"""One image in every form in which sources take images: what the contract tests run over."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from fs.memoryfs import MemoryFS
from fs.opener import registry
from fs.opener.base import Opener
from support.images import (
    Files,
    Link,
    Spec,
    blob_path,
    dir_files,
    docker_files,
    layout_files,
    tar_bytes,
    write_directory,
    write_tar,
    write_zip,
)
from support.stores import reference as stored
from support.stores import write_store
from support.tars import directory, file, tar

from builder.actions.pull import pull
from builder.image.name import ImageName
from builder.sources.access import Access

LAYERS = (
    tar(directory("etc"), file("etc/motd", b"first\n")),
    # More than any buffer holds, and no two stretches alike.
    tar(file("big", b"".join(hashlib.sha256(bytes([i % 256, i // 256])).digest() for i in range(20_000)))),
    tar(file("etc/motd", b"last\n")),
)
IMAGE = Spec(LAYERS, tag="example:1", platform="linux/s390x", config={"Env": ["A=b"], "Cmd": ["/bin/sh"]})
OTHER = Spec((tar(file("other", b"other\n")),), tag="localhost/other:1", platform="linux/s390x")


def layout_of_both() -> Files:
    return layout_files(IMAGE, OTHER)[0]


def _oci(path: Path) -> str:
    return f"oci:{write_directory(path / 'layout', layout_of_both())}:example:1"


def _oci_linked_blobs(path: Path) -> str:
    files = layout_of_both()
    for name in [name for name in files if name.startswith("blobs/sha256/")]:
        files[f"content/{name[-64:]}"] = files[name]
        files[name] = Link(f"../../content/{name[-64:]}")
    return f"oci:{write_directory(path / 'layout', files)}:example:1"


def _oci_digest(path: Path) -> str:
    files, made = layout_files(OTHER, IMAGE, nested="all")
    return f"oci:{write_directory(path / 'layout', files)}@{made[1].manifest}"


def _oci_position(path: Path) -> str:
    return f"oci:{write_directory(path / 'layout', layout_of_both())}:@0"


def _oci_archive(outer: str, prefix: str = "") -> Callable[[Path], str]:
    return lambda path: f"oci-archive:{write_tar(path / 'image.tar', layout_of_both(), outer, prefix)}:example:1"


def _oci_archive_linked(hard: bool) -> Callable[[Path], str]:
    def make(path: Path) -> str:
        files: Files = {}
        for name, content in layout_of_both().items():
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
    return f"{write_directory(path / 'layout', layout_of_both())}:example:1"


def _plain_archive(path: Path) -> str:
    return f"{write_tar(path / 'image.tgz', layout_of_both(), 'gzip')}:example:1"


def _plain_docker_archive(path: Path) -> str:
    return str(write_tar(path / "image.tar", docker_files(IMAGE)[0]))


def _dir(path: Path) -> str:
    return f"dir:{write_directory(path / 'dir', dir_files(IMAGE)[0])}"


def _dir_index(path: Path) -> str:
    return f"dir:{write_directory(path / 'dir', dir_files(IMAGE, nested=True)[0])}"


def _dir_digest(path: Path) -> str:
    files, made = dir_files(OTHER, IMAGE, nested=True)
    return f"dir:{write_directory(path / 'dir', files)}@{made[1].manifest}"


def _plain_dir(path: Path) -> str:
    return str(write_directory(path / "dir", dir_files(IMAGE)[0]))


def _plain_dir_in_a_tar(path: Path) -> str:
    return str(write_tar(path / "dir.tgz", dir_files(IMAGE)[0], "gzip", "./"))


def _plain_both(path: Path) -> str:
    return str(write_tar(path / "image.tar", docker_files(IMAGE, style="new")[0]))


def _plain_unpacked_docker_archive(path: Path) -> str:
    return f"{write_directory(path / 'saved', docker_files(OTHER, IMAGE)[0])}:example:1"


def _zip(path: Path) -> str:
    return f"oci:zip://{write_zip(path / 'layout.zip', layout_of_both())}:example:1"


def _zip_below(path: Path) -> str:
    files: Files = {f"images/one/{name}": content for name, content in layout_of_both().items()}
    return f"oci:zip://{write_zip(path / 'layout.zip', files)}!/images/one:example:1"


def _plain_zip(path: Path) -> str:
    return f"zip://{write_zip(path / 'layout.zip', layout_of_both())}:example:1"


def _tar_url(path: Path) -> str:
    return f"oci:tar://{write_tar(path / 'layout.tar', layout_of_both())}:example:1"


def _tar_url_below(path: Path) -> str:
    archive = write_tar(path / "layout.tgz", layout_of_both(), "gzip", "./images/one/")
    return f"oci:tar://{archive}!/images/one:example:1"


def _osfs(path: Path) -> str:
    return f"oci:osfs://{write_directory(path / 'layout', layout_of_both())}:example:1"


def _osfs_archive(path: Path) -> str:
    return f"docker-archive:osfs://{write_tar(path / 'image.tar', docker_files(IMAGE)[0])}:example:1"


def _archive_in_zip(path: Path) -> str:
    archive = write_tar(path / "image.tgz", layout_of_both(), "gzip").read_bytes()
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
    "dir": _dir,
    "dir, an index": _dir_index,
    "dir by digest": _dir_digest,
    "docker-archive, old": _docker_archive("old"),
    "docker-archive, old, gzip": _docker_archive("old", "gzip"),
    "docker-archive, old, xz": _docker_archive("old", "xz"),
    "docker-archive, new": _docker_archive("new"),
    "docker-archive, new, bzip2": _docker_archive("new", "bzip2"),
    "docker-archive with compressed layers": _docker_archive_compressed_layers,
    "plain path of a layout": _plain_layout,
    "plain path of an oci-archive": _plain_archive,
    "plain path of a docker-archive": _plain_docker_archive,
    "plain path of a skopeo dir": _plain_dir,
    "plain path of a skopeo dir in a tar": _plain_dir_in_a_tar,
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


def install_memory() -> None:
    """Install an opener, as other packages can, of memory that holds the image."""

    class MemoryOpener(Opener):
        protocols = ["test-memory"]  # noqa: RUF012 - as its base class has it

        def open_fs(self, *_arguments: object) -> MemoryFS:
            filesystem = MemoryFS()
            for name, content in layout_of_both().items():
                assert isinstance(content, bytes)
                filesystem.makedirs(os.path.dirname(name), recreate=True)
                filesystem.writebytes(name, content)
            filesystem.writebytes("image.tar", tar_bytes(docker_files(IMAGE)[0]))
            return filesystem

    registry.install(MemoryOpener)
