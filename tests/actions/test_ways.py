"""The same disk whether content is moved to its places or copied, from blobs or from the cache of decoded layers."""

from __future__ import annotations

import hashlib
import random
from dataclasses import replace
from pathlib import Path

import pytest
from support import tars
from support.images import Spec, layout

from builder import BuildOptions, build
from builder.decoded.options import CacheOptions
from builder.disk import FILESYSTEMS
from builder.disk import content as placing
from builder.guest.options import NONE

NOISE = random.Random(9)
DELETED = NOISE.randbytes(5000)


def layers() -> tuple[bytes, ...]:
    """Three layers: files that are replaced, deleted and linked across them, of sizes around a block, and one hole."""
    sizes = (0, 1, 3700, 4095, 4096, 4097, 8191, 50_000)
    files = [tars.file(f"usr/{size}", NOISE.randbytes(size)) for size in sizes]
    gone = [tars.file("usr/gone", DELETED), tars.file("usr/replaced", DELETED[::-1]), tars.file("usr/last", DELETED)]
    return (
        tars.tar(tars.directory("usr"), *files[:4], *gone, *files[4:], tars.file("usr/hole", b"x" + bytes(30_000))),
        tars.tar(
            tars.hardlink("usr/link", "usr/8191"), tars.file("usr/.wh.gone", b""), tars.file("usr/replaced", b"r")
        ),
        tars.tar(tars.file("usr/new", NOISE.randbytes(20_000)), tars.file("usr/last", NOISE.randbytes(9))),
    )


@pytest.mark.heavy
@pytest.mark.parametrize("format", FILESYSTEMS)
def test_a_disk_does_not_tell_how_content_came_to_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str
) -> None:
    layout(tmp_path / "layout", Spec(layers()))
    options = BuildOptions(cache=CacheOptions(keep=False))
    options = replace(options, guest=replace(options.guest, init=NONE))

    def digest(name: str, options: BuildOptions) -> str:
        disk = tmp_path / f"{name}.{format}"
        build(f"oci:{tmp_path / 'layout'}", disk, options)
        data = disk.read_bytes()
        assert DELETED[:500] not in data
        assert DELETED[::-1][:500] not in data
        return hashlib.sha256(data).hexdigest()

    kept = replace(options, cache=CacheOptions(keep=True, place=tmp_path / "cache"))
    ways = [digest("plain", options), digest("kept", kept), digest("kept-before", kept)]
    monkeypatch.setattr(placing, "_WORTH", 0)
    ways.append(digest("moved", options))
    monkeypatch.setattr(placing, "can_shift", lambda _fd: False)
    ways.append(digest("copied", options))
    assert len(set(ways)) == 1
