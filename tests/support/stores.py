"""A store of podman's, written here and independently of builder/, as an ordinary user can.

It has what reading takes: images.json, the data of images, layers.json, tar-splits, and unpacked layers with their
files, but no whiteouts, owners and devices: those are in the tar-split.
"""

from __future__ import annotations

import base64
import gzip
import io
import json
import os
import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from support.images import Made, Spec, add_image, blob_path, digest

Json = dict[str, Any]


def reference(root: Path, name: str) -> str:
    """Write a reference as skopeo does."""
    return f"containers-storage:[overlay@{root}]{name}"


def write_store(root: Path, *specs: Spec, layers_in: Path | None = None) -> list[Made]:
    """Add images to a store, which is made if need be; `layers_in` is another store, for the layers."""
    return [write_image(root, spec, [spec.tag] if spec.tag else [], layers_in or root) for spec in specs]


def write_image(root: Path, spec: Spec, names: Sequence[str], layers_in: Path) -> Made:
    """Add one image under `names`, as a pull would."""
    files: dict[str, Any] = {}
    made, described = add_image(files, spec)
    image = made.config[7:]
    manifest = files[blob_path(str(described["digest"]))]
    data = {
        "manifest": manifest,
        f"manifest-{described['digest']}": manifest,
        made.config: files[blob_path(made.config)],
    }
    record = {"id": image, "digest": described["digest"], "names": list(names), "created": "2024-01-01T00:00:00Z"}
    if spec.layers:
        record["layer"] = write_layers(layers_in, spec.layers)[-1]
    add_record(root, image, record, data)
    return made


def add_record(root: Path, image: str, record: Json, data: dict[str, bytes]) -> None:
    """Write the data of an image and list it."""
    place = root / "overlay-images" / image
    place.mkdir(parents=True, exist_ok=True)
    for key, content in data.items():
        (place / data_name(key)).write_bytes(content)
    record["big-data-names"] = list(data)
    record["big-data-digests"] = {key: digest(content) for key, content in data.items()}
    edit(root / "overlay-images/images.json", lambda items: [each for each in items if each["id"] != image] + [record])
    (root / "overlay-images/images.lock").touch()


def write_layers(root: Path, tars: Iterable[bytes], below: str = "", file: str = "layers.json") -> list[str]:
    """Unpack layers, each on top of the one before, and list them; return their IDs."""
    ids: list[str] = []
    for data in tars:
        layer = digest(f"{below} {digest(data)}".encode())[7:]
        (root / "overlay-layers").mkdir(parents=True, exist_ok=True)
        (root / "overlay-layers/layers.lock").touch()
        tar_split_path(root, layer).write_bytes(gzip.compress(tar_split(data)))
        if not diff_path(root, layer).exists():
            unpack(data, diff_path(root, layer))
        record: Json = {
            "id": layer,
            "diff-digest": digest(data),
            "diff-size": len(data),
            "created": "2024-01-01T00:00:00Z",
        }
        if below:
            record["parent"] = below
        edit(
            root / "overlay-layers" / file,
            lambda items, new=record: [each for each in items if each["id"] != new["id"]] + [new],
        )
        ids.append(layer)
        below = layer
    return ids


def tar_split_path(root: Path, layer: str) -> Path:
    return root / "overlay-layers" / f"{layer}.tar-split.gz"


def diff_path(root: Path, layer: str) -> Path:
    return root / "overlay" / layer / "diff"


def data_name(key: str) -> str:
    return key if key == "manifest" else "=" + base64.b64encode(key.encode()).decode()


def edit(path: Path, change: Any) -> None:
    """Change a list in a JSON file, which may be missing."""
    items = json.loads(path.read_text()) if path.exists() else []
    path.write_text(json.dumps(change(items)))


def tar_split(data: bytes) -> bytes:
    """Take a tar apart: segments of it in JSON, and the names and sizes of the files between them."""
    lines: list[Json] = []
    position = 0
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for member in tar:
            lines.append({"type": 2, "payload": encoded(data[position : member.offset_data])})
            size = member.size if member.isreg() else 0
            name = os.fsencode(member.name)
            named = {"name": member.name} if name.isascii() else {"name_raw": encoded(name)}
            lines.append({"type": 1, **named, **({"size": size} if size else {}), "payload": None})
            position = member.offset_data + size
    lines.append({"type": 2, "payload": encoded(data[position:])})
    return b"".join(json.dumps({**line, "position": number}).encode() + b"\n" for number, line in enumerate(lines))


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def unpack(data: bytes, path: Path) -> None:
    """Write the files of a layer, and what is in the way to them."""
    path.mkdir(parents=True)
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for member in tar:
            target = path / member.name.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            if member.isdir():
                target.mkdir(exist_ok=True)
            elif member.issym():
                target.symlink_to(member.linkname)
            elif member.isreg() and "/.wh." not in f"/{member.name}":
                content = tar.extractfile(member)
                assert content is not None
                target.write_bytes(content.read())
