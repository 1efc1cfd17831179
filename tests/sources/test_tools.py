"""Images as other tools write them: skopeo and buildah, where a machine has them."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
from support.images import Spec, digest, layout
from support.tars import directory, file, tar

from builder.image.image import Image
from builder.image.platform import Platform
from builder.sources import open_source
from builder.sources.resolve import resolve

IMAGE = Spec(
    (tar(directory("etc"), file("etc/motd", b"first\n")), tar(file("etc/motd", b"last\n"))), config={"Cmd": ["/bin/sh"]}
)


def run(*argv: str, **environment: str) -> None:
    if shutil.which(argv[0]) is None:
        pytest.skip(f"NOT RUN: {argv[0]} is not installed")
    ran = subprocess.run(argv, env={**os.environ, **environment}, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr


def skopeo(source: str, destination: str, *options: str) -> None:
    run("skopeo", "--insecure-policy", "copy", "--quiet", *options, source, destination)


def image(reference: str, platform: str | None = None) -> Image:
    with closing(open_source(reference)) as source:
        return resolve(source, reference, Platform.parse(platform) if platform else None)


@pytest.mark.parametrize(
    ("destination", "choices"),
    [
        ("oci:{}", ["", ":example.com/app:1"]),
        ("oci-archive:{}", ["", ":example.com/app:1"]),
        ("docker-archive:{}", ["", ":example.com/app:1", ":@0"]),
    ],
)
def test_skopeo_writes_what_we_read(tmp_path: Path, destination: str, choices: list[str]) -> None:
    layout(tmp_path / "made", IMAGE)
    place = tmp_path / "copied"
    skopeo(f"oci:{tmp_path}/made:latest", destination.format(place) + ":example.com/app:1")
    for choice in choices:
        copied = image(destination.format(place) + choice)
        assert [str(layer.diff_id) for layer in copied.layers] == [digest(layer) for layer in IMAGE.layers]
        assert copied.config.cmd == ("/bin/sh",)
    assert image(str(place)).layers == image(destination.format(place)).layers


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_skopeo_writes_compressions_that_we_read(tmp_path: Path, compression: str) -> None:
    layout(tmp_path / "made", IMAGE)
    skopeo(f"oci:{tmp_path}/made:latest", f"oci:{tmp_path}/copied:1", "--dest-compress-format", compression)
    assert len(image(f"oci:{tmp_path}/copied:1").layers) == 2


def test_skopeo_copies_every_platform(tmp_path: Path) -> None:
    platforms = ("linux/amd64", "linux/arm64")
    specs = [Spec((tar(file(platform[6:], b"")),), platform=platform) for platform in platforms]
    layout(tmp_path / "made", *specs, nested="latest")
    skopeo(f"oci:{tmp_path}/made:latest", f"oci-archive:{tmp_path}/copied.tar:latest", "--all")
    for platform, spec in zip(platforms, specs, strict=True):
        copied = image(f"oci-archive:{tmp_path}/copied.tar:latest", platform)
        assert [str(layer.diff_id) for layer in copied.layers] == [digest(spec.layers[0])]


@pytest.mark.root
@pytest.mark.parametrize("transport", ["oci", "oci-archive", "docker-archive"])
def test_buildah_writes_what_we_read(tmp_path: Path, transport: str) -> None:
    content = tmp_path / "content"
    content.write_bytes(b"content\n")
    (tmp_path / "Dockerfile").write_text('FROM scratch\nCOPY content /etc/content\nENV A=b\nCMD ["/bin/sh"]\n')
    store = ("--root", str(tmp_path / "root"), "--runroot", str(tmp_path / "run"), "--storage-driver", "vfs")
    run("buildah", *store, "build", "--quiet", "--isolation", "chroot", "-t", "localhost/app:1", str(tmp_path))
    run("buildah", *store, "push", "--quiet", "localhost/app:1", f"{transport}:{tmp_path}/pushed:localhost/app:1")
    pushed = image(f"{transport}:{tmp_path}/pushed:localhost/app:1")
    assert len(pushed.layers) == 1
    assert "A=b" in pushed.config.env
    assert pushed.config.cmd == ("/bin/sh",)
