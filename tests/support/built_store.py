"""A store that buildah wrote, with an image of two layers, and copies of it for tests to damage."""

from __future__ import annotations

import json
import subprocess
from contextlib import closing
from pathlib import Path

from support.engines import Engine, in_namespace

from builder.image.image import Image
from builder.image.platform import Platform
from builder.sources import open_source
from builder.sources.resolve import resolve

BUILD = r"""
mkdir -p ctx/dir ctx/etc
echo hello >ctx/a; echo x >ctx/dir/b; echo motd >ctx/etc/motd; chmod 4755 ctx/a; mkfifo ctx/fifo
dd if=/dev/zero of=ctx/zeros bs=1M count=3 status=none; seq 300000 >ctx/large
touch -d @1700000000.123456789 ctx/etc/motd
c=$(buildah from scratch)
buildah add -q "$c" ctx / >&2
buildah commit -q "$c" localhost/base:1 >&2
buildah rm "$c" >&2
c=$(buildah from localhost/base:1)
m=$(buildah mount "$c")
rm "$m/a"; rm -r "$m/dir"; mkdir "$m/dir"; echo new >"$m/dir/new"; ln "$m/dir/new" "$m/dir/hardlink"
ln -s ../etc/motd "$m/dir/symlink"; mkdir "$m/empty"; echo later >"$m/etc/motd"
setfattr -n user.note -v kept "$m/dir/new"
buildah umount "$c" >&2
buildah config --cmd /bin/sh --env A=b "$c"
buildah commit -q "$c" localhost/app:1 >&2
buildah rm "$c" >&2
skopeo copy -q "containers-storage:${SPEC}localhost/app:1" "oci:$HOME/copy:1" >&2
"""


def image(reference: str, platform: str | None = None) -> Image:
    with closing(open_source(reference)) as source:
        return resolve(source, reference, Platform.parse(platform) if platform else None)


def store_copy(engine: Engine, tmp_path: Path) -> Path:
    """Copy the store for a test to damage."""
    copy = tmp_path / "store"
    copy.mkdir()
    parts = [engine.root / part for part in ("overlay-images", "overlay-layers", "overlay")]
    subprocess.run([*in_namespace(), "cp", "-a", *parts, copy], check=True, capture_output=True)
    for diff in copy.glob("overlay/*/diff"):
        diff.chmod(0o755)
    return copy


def images(store: Path) -> list[dict[str, str]]:
    return list(json.loads((store / "overlay-images/images.json").read_text()))


def layer(store: Path, position: int) -> str:
    layers = json.loads((store / "overlay-layers/layers.json").read_text())
    top = next(each["layer"] for each in images(store) if "localhost/app:1" in each.get("names", []))
    chain = [next(each for each in layers if each["id"] == top)]
    chain.insert(0, next(each for each in layers if each["id"] == chain[0]["parent"]))
    return str(chain[position]["id"])
