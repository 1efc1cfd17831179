"""A disk to publish, and what a registry holds of it; written independently of builder/."""

from __future__ import annotations

import http.client
import json
import random
from pathlib import Path
from typing import Any

import zstandard
from support.images import Spec, layout
from support.tars import file, tar

from builder import BuildOptions, DiskOptions, GuestOptions, build

ACCEPT = {"Accept": "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json"}


def make_disk(place: Path, name: str = "disk.ext4", size: int = 500_000, verity: bool = False) -> Path:
    """Build a disk with metadata beside it."""
    layout(place / "image", Spec((tar(file("file", random.Random(5).randbytes(size))),)))
    disk = place / name
    options = BuildOptions(
        guest=GuestOptions(init="none"),
        disk=DiskOptions(check=False, verity=verity),
        metadata_file=disk.with_name(f"{name}.json"),
    )
    build(f"oci:{place / 'image'}", disk, options)
    return disk


def get(host: str, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(host, timeout=60)
    try:
        connection.request("GET", path, headers=ACCEPT)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def manifest(host: str, repository: str, reference: str) -> dict[str, Any]:
    status, data = get(host, f"/v2/{repository}/manifests/{reference}")
    assert status == 200, data
    found: dict[str, Any] = json.loads(data)
    return found


def blob(host: str, repository: str, descriptor: dict[str, Any]) -> bytes:
    status, data = get(host, f"/v2/{repository}/blobs/{descriptor['digest']}")
    assert (status, len(data)) == (200, descriptor["size"])
    return data


def unpacked(data: bytes) -> bytes:
    return zstandard.ZstdDecompressor().decompressobj().decompress(data)
