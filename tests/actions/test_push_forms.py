"""Disks as images of other kinds: what KubeVirt boots, and what containerd mounts."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest
from support.engines import Engine
from support.images import digest
from support.pushed import blob, make_disk, manifest, unpacked
from support.registry import Registry, skopeo_copy

from builder import blank, build, pull_disk, push
from builder.errors import UnsupportedImage, UsageError

MIB = 1 << 20


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_disk(tmp_path_factory.mktemp("disk"))


@pytest.fixture(scope="module")
def erofs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_disk(tmp_path_factory.mktemp("erofs"), "disk.erofs")


def test_a_containerdisk_is_an_image_of_one_file_for_qemu_to_read(registry: Registry, disk: Path) -> None:
    pushed = push(disk, f"docker://{registry.host}/forms/vm:1", form="containerdisk")
    assert push(disk, f"docker://{registry.host}/forms/vm:1", form="containerdisk").digest == pushed.digest
    found = manifest(registry.host, "forms/vm", "1")
    assert "artifactType" not in found
    (layer,) = found["layers"]
    assert layer["mediaType"] == "application/vnd.oci.image.layer.v1.tar+zstd"
    data = unpacked(blob(registry.host, "forms/vm", layer))
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        facts = [(each.name, each.mode, each.uid, each.gid, each.mtime, each.isdir()) for each in tar]
        assert facts == [("disk", 0o755, 107, 107, 0, True), ("disk/disk.img", 0o440, 107, 107, 0, False)]
        file = tar.extractfile("disk/disk.img")
        assert file is not None
        assert file.read() == disk.read_bytes()
    config = json.loads(blob(registry.host, "forms/vm", found["config"]))
    rootfs = {"type": "layers", "diff_ids": [digest(data)]}
    assert config == {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": rootfs}
    said = found["annotations"]
    assert said["rootfs-builder.disk.digest"] == f"sha256:{hashlib.sha256(disk.read_bytes()).hexdigest()}"
    with pytest.raises(UnsupportedImage, match="is a disk as an image for others"):
        pull_disk(f"docker://{registry.host}/forms/vm:1", disk.parent / "none.ext4")


@pytest.mark.root  # or more users than one has
@pytest.mark.slow
def test_podman_pulls_a_containerdisk(registry: Registry, disk: Path, tmp_path: Path) -> None:
    push(disk, f"docker://{registry.host}/forms/podman:1", form="containerdisk")
    engine = Engine(tmp_path / "engine")
    name = f"{registry.host}/forms/podman:1"
    engine.run(f"podman pull -q --tls-verify=false docker://{name}", tools=("podman",))
    skopeo_copy(f"docker://{name}", f"oci:{tmp_path / 'oci'}:1", "--src-tls-verify=false")
    # It is an image like others: its disk is in a tree of one file.
    from builder import unpack

    unpack(f"oci:{tmp_path / 'oci'}:1", tmp_path / "tree")
    assert (tmp_path / "tree" / "disk" / "disk.img").read_bytes() == disk.read_bytes()


def test_an_erofs_is_a_layer_as_it_is(registry: Registry, erofs: Path, tmp_path: Path) -> None:
    reference = f"docker://{registry.host}/forms/erofs:1"
    pushed = push(erofs, reference, form="erofs")
    found = manifest(registry.host, "forms/erofs", "1")
    content = erofs.read_bytes()
    assert found["layers"] == [{"mediaType": "application/vnd.erofs", "digest": digest(content), "size": len(content)}]
    config = json.loads(blob(registry.host, "forms/erofs", found["config"]))
    assert (config["architecture"], config["rootfs"]["diff_ids"]) == ("amd64", [digest(content)])
    assert push(erofs, reference, form="erofs").digest == pushed.digest
    pulled = pull_disk(reference, tmp_path / "pulled.erofs")
    assert (tmp_path / "pulled.erofs").read_bytes() == content
    assert (pulled.digest, pulled.metadata) == (pushed.digest, None)
    skopeo_copy(reference, f"dir:{tmp_path / 'dir'}", "--src-tls-verify=false")


def test_what_cannot_have_a_form_is_told_so(registry: Registry, disk: Path, tmp_path: Path) -> None:
    reference = f"docker://{registry.host}/forms/none:1"
    with pytest.raises(UsageError, match="is no erofs, as --as erofs wants it"):
        push(disk, reference, form="erofs")
    blank(tmp_path / "data.ext4", 16 * MIB)
    with pytest.raises(UsageError, match="build with --metadata-file"):
        push(tmp_path / "data.ext4", reference, form="containerdisk")


def test_no_form_is_taken_for_an_image_to_build_of(registry: Registry, erofs: Path, tmp_path: Path) -> None:
    push(erofs, f"docker://{registry.host}/forms/build:1", form="erofs")
    with pytest.raises(Exception, match="is no root file system layer"):
        build(f"docker://{registry.host}/forms/build:1", tmp_path / "disk.ext4")
