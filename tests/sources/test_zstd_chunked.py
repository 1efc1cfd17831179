"""Layers in zstd:chunked as skopeo writes them: some versions leave out the zeros that fill a tar's last record."""

from __future__ import annotations

import hashlib
from pathlib import Path

from support.images import Spec, layout
from support.registry import skopeo_copy
from support.tars import directory, file, tar

from builder import BuildOptions, build
from builder.decoded.options import CacheOptions
from builder.layers.zstd_chunked import RECORD


def test_an_image_that_skopeo_has_made_zstd_chunked_gives_the_same_disk(tmp_path: Path) -> None:
    layer = tar(directory("etc"), file("etc/hosts", b"127.0.0.1 localhost\n" * 90))
    zeros = bytes(-len(layer) % RECORD)
    assert zeros
    layout(tmp_path / "image", Spec((layer + zeros,)))
    first = f"oci:{tmp_path}/image:latest"
    second = f"oci:{tmp_path}/chunked:latest"
    skopeo_copy(first, second, "--dest-compress-format", "zstd:chunked")
    options = BuildOptions(cache=CacheOptions(keep=False))
    disks = [build(reference, tmp_path / f"{number}.ext4", options) for number, reference in enumerate((first, second))]
    digests = {hashlib.sha256(disk.output.read_bytes()).hexdigest() for disk in disks}
    assert len(digests) == 1
