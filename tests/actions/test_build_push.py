"""A build that pushes its disk: built once, sent once, and what is wrong with the place is said before any work."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.command import run
from support.images import Spec, layout
from support.proxy import Proxy
from support.pushed import manifest
from support.registry import Registry
from support.tars import file, tar

from builder import BuildOptions, DiskOptions, GuestOptions, build, pull_disk
from builder.errors import InvalidReference
from builder.output.beside import unmarked


@pytest.fixture
def image(tmp_path: Path) -> str:
    layout(tmp_path / "image", Spec((tar(file("file", b"content")),)))
    return f"oci:{tmp_path / 'image'}"


def options(push: str) -> BuildOptions:
    return BuildOptions(push=push, guest=GuestOptions(init="none"), disk=DiskOptions(check=False))


def test_a_disk_is_built_and_pushed_and_again_nothing_is(proxy: Proxy, image: str, tmp_path: Path) -> None:
    name = f"{proxy.host}/built/disk"
    first = build(image, tmp_path / "disk.ext4", options(f"docker://{name}:1"))
    assert first.pushed is not None
    assert first.pushed.startswith(f"{name}@sha256:")
    proxy.requests.clear()
    again = build(image, tmp_path / "disk.ext4", options(f"docker://{name}:1"))
    assert (again.built, again.pushed) == (False, first.pushed)
    assert proxy.sent("POST|PATCH|PUT .*blobs") == []
    pull_disk(f"docker://{first.pushed}", tmp_path / "pulled.ext4")
    assert (tmp_path / "pulled.ext4").read_bytes() == (tmp_path / "disk.ext4").read_bytes()
    assert unmarked((tmp_path / "pulled.ext4.json").read_bytes()) == (tmp_path / "disk.ext4.json").read_bytes()


def test_where_a_disk_cannot_go_is_said_before_any_work(image: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidReference, match="a disk is pushed under a tag"):
        build(image, tmp_path / "disk.ext4", options("docker://host.example/disks/a"))
    assert not (tmp_path / "disk.ext4").exists()


def test_the_command_says_what_was_pushed(registry: Registry, image: str, tmp_path: Path) -> None:
    name = f"{registry.host}/built/command"
    words = ["build", image, "-o", tmp_path / "disk.ext4", "--init", "none", "--push", f"docker://{name}:1"]
    done = run(*words, "--metadata-file", tmp_path / "metadata")
    assert (done.returncode, done.stdout) == (0, f"{tmp_path / 'disk.ext4'}\n"), done.stderr
    assert f"{name}@sha256:" in done.stderr
    assert not (tmp_path / "disk.ext4.json").exists()
    layers = manifest(registry.host, "built/command", "1")["layers"]
    assert layers[1]["size"] == (tmp_path / "metadata").stat().st_size


@pytest.mark.heavy
def test_a_batch_pushes_what_is_up_to_date_too(registry: Registry, image: str, tmp_path: Path) -> None:
    listed = tmp_path / "images.txt"
    listed.write_text(f"{image} init=none output=disk.ext4\n")
    words = ["batch", listed, "-o", tmp_path / "disks", "--report", tmp_path / "report.json"]
    done = run(*words)
    assert done.returncode == 0, done.stderr
    listed.write_text(f"{image} init=none output=disk.ext4 push=docker://{registry.host}/built/batch:1\n")
    done = run(*words)
    assert done.returncode == 0, done.stderr
    (outcome,) = json.loads((tmp_path / "report.json").read_text())["images"]
    said = manifest(registry.host, "built/batch", "1")["annotations"]
    assert said["rootfs-builder.disk.digest"] == f"sha256:{outcome['sha256']}"
    name, _, by_digest = outcome["pushed"].partition("@")
    assert name == f"{registry.host}/built/batch"
    assert manifest(registry.host, "built/batch", by_digest)["annotations"] == said
