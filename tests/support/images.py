"""Small images for tests, in every form that the sources read; written here, independently of builder/."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import lzma
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import zstandard

OCI = "application/vnd.oci.image."
LAYER = OCI + "layer.v1.tar"
TAG = "org.opencontainers.image.ref.name"

COMPRESS: Mapping[str, Callable[[bytes], bytes]] = {
    "none": bytes,
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "zstd": zstandard.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
}


@lru_cache(maxsize=32)
def _compressed(compression: str, data: bytes) -> bytes:
    # Hundreds of tests have the same layers, and compressing them is most of what making an image takes.
    return COMPRESS[compression](data)


MEDIA_TYPES = {name: LAYER if name == "none" else f"{LAYER}+{name}" for name in COMPRESS}


@dataclass(frozen=True, slots=True)
class Link:
    """A symlink in place of a file; `hard` makes it a tar hardlink."""

    target: str
    hard: bool = False


Files = dict[str, bytes | Link]


@dataclass(frozen=True, slots=True)
class Spec:
    """What an image is made of: layers are raw tar bytes, `config` is merged into the image config's `config`."""

    layers: tuple[bytes, ...] = ()
    tag: str | None = "latest"
    platform: str = "linux/amd64"
    compression: str = "gzip"
    config: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Made:
    """The digests of an image that was written, in `sha256:hex` form."""

    manifest: str
    config: str
    layers: tuple[str, ...]
    diff_ids: tuple[str, ...]


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def dumps(document: object) -> bytes:
    return json.dumps(document, sort_keys=True).encode()


def blob_path(of: str) -> str:
    return "blobs/" + of.replace(":", "/")


def platform_object(platform: str) -> dict[str, str]:
    return dict(zip(("os", "architecture", "variant"), platform.split("/"), strict=False))


def bytes_of(content: bytes | Link) -> bytes:
    assert isinstance(content, bytes)
    return content


def add_blob(files: Files, data: bytes, media_type: str) -> dict[str, object]:
    """Put a blob into a layout and describe it."""
    files[blob_path(digest(data))] = data
    return {"mediaType": media_type, "digest": digest(data), "size": len(data)}


def config_bytes(spec: Spec) -> bytes:
    rootfs = {"type": "layers", "diff_ids": [digest(layer) for layer in spec.layers]}
    return dumps({**platform_object(spec.platform), "config": dict(spec.config), "rootfs": rootfs})


def add_image(files: Files, spec: Spec) -> tuple[Made, dict[str, object]]:
    """Put an image's blobs into a layout; return its digests and the descriptor of its manifest."""
    config = add_blob(files, config_bytes(spec), OCI + "config.v1+json")
    media_type = MEDIA_TYPES[spec.compression]
    layers = [add_blob(files, _compressed(spec.compression, layer), media_type) for layer in spec.layers]
    kind = OCI + "manifest.v1+json"
    manifest = {"schemaVersion": 2, "mediaType": kind, "config": config, "layers": layers}
    described = add_blob(files, dumps(manifest), kind)
    made = Made(
        manifest=str(described["digest"]),
        config=str(config["digest"]),
        layers=tuple(str(layer["digest"]) for layer in layers),
        diff_ids=tuple(digest(layer) for layer in spec.layers),
    )
    return made, described


def index_bytes(entries: list[dict[str, object]]) -> bytes:
    return dumps({"schemaVersion": 2, "mediaType": OCI + "index.v1+json", "manifests": entries})


def layout_files(*specs: Spec, nested: str | None = None) -> tuple[Files, list[Made]]:
    """The files of an OCI image layout holding the images, one index.json entry each.

    With `nested`, index.json has one entry with that tag: an index of all images by platform, as registries serve.
    """
    files: Files = {"oci-layout": dumps({"imageLayoutVersion": "1.0.0"})}
    made: list[Made] = []
    entries: list[dict[str, object]] = []
    for spec in specs:
        image, entry = add_image(files, spec)
        made.append(image)
        if nested is not None or sum(other.tag == spec.tag for other in specs) > 1:
            entry["platform"] = platform_object(spec.platform)
        if nested is None and spec.tag is not None:
            entry["annotations"] = {TAG: spec.tag}
        entries.append(entry)
    if nested is not None:
        entry = add_blob(files, index_bytes(entries), OCI + "index.v1+json")
        entries = [{**entry, "annotations": {TAG: nested}}]
    files["index.json"] = index_bytes(entries)
    return files, made


def docker_files(*specs: Spec, style: str = "old") -> tuple[Files, list[Made]]:
    """The files of a `docker save` archive: `old` (1.10 to 24: `<id>/layer.tar`) or `new` (25 on: a layout as well).

    An old archive holds plain layers whatever the spec says; a layer seen before becomes a symlink, as Docker did.
    `tag` is the repository tag, as `example:1`.
    """
    files: Files = {}
    made: list[Made] = []
    if style == "new":
        files, made = layout_files(*specs)
    rows: list[dict[str, object]] = []
    for number, spec in enumerate(specs):
        config = config_bytes(spec)
        if style == "new":
            paths = [blob_path(layer) for layer in made[number].layers]
            name = blob_path(digest(config))
        else:
            paths = []
            for position, layer in enumerate(spec.layers):
                path = f"{digest(dumps([number, position]))[7:]}/layer.tar"
                first = next((known for known, data in files.items() if data == layer), None)
                files[path] = layer if first is None else Link(f"../{first}")
                paths.append(path)
            name = digest(config)[7:] + ".json"
            files[name] = config
            ids = tuple(digest(layer) for layer in spec.layers)
            made.append(Made(manifest="", config=digest(config), layers=ids, diff_ids=ids))
        tags = None if spec.tag is None else [spec.tag]
        rows.append({"Config": name, "RepoTags": tags, "Layers": paths})
    files["manifest.json"] = dumps(rows)
    return files, made


def dir_files(*specs: Spec, nested: bool = False) -> tuple[Files, list[Made]]:
    """The files that `skopeo copy dir:` writes: of one image, or with --all of an index of them."""
    layout, made = layout_files(*specs, nested="all" if nested else None)
    files: Files = {name[-64:]: content for name, content in layout.items() if name.startswith("blobs/")}
    (entry,) = json.loads(bytes_of(layout["index.json"]))["manifests"]
    for image in made:
        files[f"{image.manifest[7:]}.manifest.json"] = files.pop(image.manifest[7:])
    root = entry["digest"][7:]
    files["manifest.json"] = files.pop(root if nested else f"{root}.manifest.json")
    return files | {"version": b"Directory Transport Version: 1.1\n"}, made


def write_directory(path: Path, files: Files) -> Path:
    for name, content in files.items():
        target = path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Link):
            target.symlink_to(content.target)
        else:
            target.write_bytes(content)
    return path


def tar_bytes(files: Files, prefix: str = "") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(prefix + name)
            if isinstance(content, Link):
                member.type = tarfile.LNKTYPE if content.hard else tarfile.SYMTYPE
                member.linkname = content.target
                tar.addfile(member)
            else:
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return out.getvalue()


def write_tar(path: Path, files: Files, outer: str = "none", prefix: str = "") -> Path:
    """Write a tar of the files, compressed as `outer` says; `prefix` is put before every name, as `./`."""
    path.write_bytes(_compressed(outer, tar_bytes(files, prefix)))
    return path


def write_zip(path: Path, files: Files) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            assert isinstance(content, bytes)
            archive.writestr(name, content)
    return path


def layout(path: Path, *specs: Spec, nested: str | None = None) -> list[Made]:
    """Write an OCI image layout directory."""
    files, made = layout_files(*specs, nested=nested)
    write_directory(path, files)
    return made


def layout_zip(path: Path, *specs: Spec, nested: str | None = None) -> list[Made]:
    """Write a zip of an OCI image layout."""
    files, made = layout_files(*specs, nested=nested)
    write_zip(path, files)
    return made


def oci_archive(path: Path, *specs: Spec, nested: str | None = None, outer: str = "none") -> list[Made]:
    """Write a tar of an OCI image layout."""
    files, made = layout_files(*specs, nested=nested)
    write_tar(path, files, outer)
    return made


def docker_archive(path: Path, *specs: Spec, style: str = "old", outer: str = "none") -> list[Made]:
    """Write what `docker save` writes; see docker_files for the styles."""
    files, made = docker_files(*specs, style=style)
    write_tar(path, files, outer)
    return made
