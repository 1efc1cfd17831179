"""Disks out of a registry: the bytes that went in, with the holes that they had; or nothing, and one line."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
import zstandard
from support.images import OCI, digest
from support.proxy import Answer, Fault, Proxy
from support.pushed import make_disk, manifest
from support.registry import Registry
from support.remote import IMAGE

from builder import BuildOptions, DiskOptions, GuestOptions, blank, build, pull_disk, push
from builder.actions.pull_disk import PulledDisk
from builder.errors import (
    BuilderError,
    DigestMismatch,
    ImageNotFound,
    ImageRefused,
    InvalidReference,
    LayerRefused,
    LimitExceeded,
    OutputError,
    SizeMismatch,
    UnsupportedImage,
    UsageError,
)
from builder.limits import Limits
from builder.output.beside import unmarked

TYPE = "application/vnd.rootfs-builder.disk.v1"
DISK = "application/vnd.kubevirt.disk.raw+zstd"
METADATA = "application/vnd.rootfs-builder.disk.metadata.v1+json"


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_disk(tmp_path_factory.mktemp("disk"))


def allocated(path: Path) -> int:
    return path.stat().st_blocks * 512


@pytest.mark.parametrize("name", ["disk.ext4", "disk.erofs"])
def test_what_is_pulled_is_what_was_pushed(registry: Registry, tmp_path: Path, name: str) -> None:
    made = make_disk(tmp_path, name, verity=name == "disk.erofs")
    pushed = push(made, f"docker://{registry.host}/pull/{name}:1")
    for reference in (f"{name}:1", f"{name}@{pushed.digest}"):
        pulled = pull_disk(f"docker://{registry.host}/pull/{reference}", tmp_path / "pulled")
        assert (tmp_path / "pulled").read_bytes() == made.read_bytes()
        assert unmarked((tmp_path / "pulled.json").read_bytes()) == Path(f"{made}.json").read_bytes()
        assert (pulled.digest, pulled.format, pulled.size) == (pushed.digest, name[5:], made.stat().st_size)
        assert pulled.fetched == (reference == f"{name}:1")
    there = [name, f"{name}.json", "home", "image", "pulled", "pulled.json"]
    assert sorted(os.listdir(tmp_path)) == there


@pytest.mark.heavy
def test_a_disk_is_sparse_again(registry: Registry, tmp_path: Path) -> None:
    blank(tmp_path / "data.ext4", 256 << 20)
    # Data at both ends of holes, of a block and of less.
    with (tmp_path / "data.ext4").open("r+b") as file:
        for place in (100 << 20, (150 << 20) + 4095, (200 << 20) - 1, (256 << 20) - 1):
            file.seek(place)
            file.write(b"xy"[: (256 << 20) - place])
    push(tmp_path / "data.ext4", f"docker://{registry.host}/pull/sparse:1")
    pulled = pull_disk(f"docker://{registry.host}/pull/sparse:1", tmp_path / "pulled.ext4")
    assert pulled.metadata is None
    assert not (tmp_path / "pulled.ext4.json").exists()
    whole = hashlib.sha256((tmp_path / "data.ext4").read_bytes()).digest()
    assert hashlib.sha256((tmp_path / "pulled.ext4").read_bytes()).digest() == whole
    assert allocated(tmp_path / "pulled.ext4") <= allocated(tmp_path / "data.ext4")


@pytest.mark.heavy
def test_a_disk_that_is_here_is_not_fetched(proxy: Proxy, disk: Path, tmp_path: Path) -> None:
    reference = f"docker://{proxy.host}/pull/here:1"
    push(disk, reference)
    assert pull_disk(reference, tmp_path / "disk.ext4").fetched
    before = (tmp_path / "disk.ext4").stat()
    proxy.requests.clear()
    (tmp_path / "disk.ext4.json").unlink()
    assert not pull_disk(reference, tmp_path / "disk.ext4").fetched
    assert (tmp_path / "disk.ext4").stat().st_mtime_ns == before.st_mtime_ns
    assert (tmp_path / "disk.ext4.json").exists()
    assert len(proxy.sent("GET .*blobs")) == 1
    with (tmp_path / "disk.ext4").open("r+b") as file:
        file.write(b"changed")
    assert pull_disk(reference, tmp_path / "disk.ext4").fetched
    assert (tmp_path / "disk.ext4").read_bytes() == disk.read_bytes()


def test_a_build_does_not_take_a_pulled_disk_for_one_of_its_own(registry: Registry, disk: Path, tmp_path: Path) -> None:
    """Metadata are words of a registry: what they say that a disk was made from is for nobody to believe."""
    reference = f"docker://{registry.host}/pull/believed:1"
    push(disk, reference)
    pull_disk(reference, tmp_path / "disk.ext4")
    options = BuildOptions(
        guest=GuestOptions(init="none"),
        disk=DiskOptions(check=False),
        metadata_file=tmp_path / "disk.ext4.json",
    )
    assert build(f"oci:{disk.parent / 'image'}", tmp_path / "disk.ext4", options).built
    assert (tmp_path / "disk.ext4").read_bytes() == disk.read_bytes()


def test_a_transfer_that_breaks_off_goes_on(proxy: Proxy, disk: Path, tmp_path: Path) -> None:
    reference = f"docker://{proxy.host}/pull/breaks:1"
    push(disk, reference)
    layer = manifest(proxy.host, "pull/breaks", "1")["layers"][0]["digest"]
    proxy.faults.append(Fault(f"GET .*{layer}", 2, cut=200_000))
    pull_disk(reference, tmp_path / "disk.ext4")
    assert (tmp_path / "disk.ext4").read_bytes() == disk.read_bytes()
    assert len(proxy.sent(f"GET .*{layer}")) == 3


def refused(reference: str, place: Path, kind: type[BuilderError], **options: Any) -> str:
    """Pull, and see that nothing comes of it but one line."""
    before = sorted(os.listdir(place))
    with pytest.raises(kind) as caught:
        pull_disk(reference, place / "pulled.ext4", **options)
    assert sorted(os.listdir(place)) == before
    return str(caught.value)


@pytest.mark.heavy
def test_what_is_no_disk_is_told_apart(registry: Registry, disk: Path, tmp_path: Path) -> None:
    registry.push("pull/image", IMAGE, tag="1")
    host = registry.host
    said = refused(f"docker://{host}/pull/image:1", tmp_path, UnsupportedImage)
    assert "is an image, and no disk; build a disk of an image with rootfs-builder build" in said
    assert "has no tag '2'; choose one of these: 1" in refused(f"docker://{host}/pull/image:2", tmp_path, ImageNotFound)
    assert "disks are pulled from registries" in refused("oci:layout:1", tmp_path, InvalidReference)
    push(disk, f"docker://{host}/pull/nodisk:1")
    with pytest.raises(UnsupportedImage, match="is a disk, not an image: rootfs-builder pull writes it to a file"):
        build(f"docker://{host}/pull/nodisk:1", tmp_path / "disk.ext4")


def test_what_is_in_the_way_stays(registry: Registry, disk: Path, tmp_path: Path) -> None:
    reference = f"docker://{registry.host}/pull/way:1"
    push(disk, reference)
    (tmp_path / "pulled.ext4.json").write_text("{}")
    assert "is no metadata of a disk; name another" in refused(reference, tmp_path, OutputError)
    (tmp_path / "pulled.ext4").write_text("a letter")
    assert "is not a disk image" in refused(reference, tmp_path, OutputError)
    pull_disk(reference, tmp_path / "pulled.ext4", force=True)
    assert (tmp_path / "pulled.ext4").read_bytes() == disk.read_bytes()
    blank(tmp_path / "data.ext4", 16 << 20)
    push(tmp_path / "data.ext4", f"docker://{registry.host}/pull/bare:1")
    said = refused(f"docker://{registry.host}/pull/bare:1", tmp_path, OutputError)
    assert "pulled.ext4.json: would be taken for metadata of the disk, which comes without any; remove it" in said
    other = tmp_path / "other.json"
    said = refused(reference, tmp_path, OutputError, metadata_file=other)
    assert f"pulled.ext4.json: would be taken for metadata of the disk, whose own go to {other}; remove it" in said
    same = tmp_path / "home" / ".." / "pulled.ext4.json"
    refused(f"docker://{registry.host}/pull/bare:1", tmp_path, OutputError, metadata_file=same)
    assert not pull_disk(reference, tmp_path / "pulled.ext4", metadata_file=same).fetched
    with pytest.raises(UsageError, match="two outputs"):
        pull_disk(reference, tmp_path / "pulled.ext4", metadata_file=tmp_path / "pulled.ext4")


def test_a_link_to_nowhere_is_followed(registry: Registry, disk: Path, tmp_path: Path) -> None:
    reference = f"docker://{registry.host}/pull/link:1"
    push(disk, reference)
    for name in ("disk", "metadata"):
        (tmp_path / name).mkdir()
    (tmp_path / "pulled.ext4").symlink_to("disk/there")
    (tmp_path / "pulled.ext4.json").symlink_to("metadata/there")
    pull_disk(reference, tmp_path / "pulled.ext4")
    assert (tmp_path / "disk" / "there").read_bytes() == disk.read_bytes()
    assert unmarked((tmp_path / "metadata" / "there").read_bytes()) == Path(f"{disk}.json").read_bytes()
    assert (tmp_path / "pulled.ext4.json").is_symlink()


def test_a_disk_larger_than_the_limit_is_not_begun(proxy: Proxy, disk: Path, tmp_path: Path) -> None:
    reference = f"docker://{proxy.host}/pull/limit:1"
    push(disk, reference)
    proxy.requests.clear()
    said = refused(reference, tmp_path, LimitExceeded, limits=Limits(max_size=disk.stat().st_size - 1))
    assert "raise it with --max-size" in said
    assert proxy.sent("GET .*blobs") == []


def forged(registry: Registry, content: bytes, stated: bytes, record: bytes | None = None) -> str:
    """Push a manifest that states one disk and holds another."""
    blobs = [(DISK, content), *([(METADATA, record)] if record is not None else [])]
    layers = [
        {"mediaType": kind, "digest": registry.push_blob("pull/forged", data), "size": len(data)}
        for kind, data in blobs
    ]
    registry.push_blob("pull/forged", b"{}")
    document: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": f"{OCI}manifest.v1+json",
        "artifactType": TYPE,
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": digest(b"{}"), "size": 2},
        "layers": layers,
        "annotations": {
            "rootfs-builder.disk.format": "ext4",
            "rootfs-builder.disk.size": str(len(stated)),
            "rootfs-builder.disk.digest": digest(stated),
        },
    }
    data = json.dumps(document).encode()
    registry.push_manifest("pull/forged", "1", data, document["mediaType"])
    return f"docker://{registry.host}/pull/forged:1"


GOOD = b"content" * 10_000
COMPRESSED = zstandard.compress(GOOD)


@pytest.mark.parametrize(
    ("content", "kind", "said"),
    [
        (COMPRESSED[:-1], LayerRefused, "cut off"),
        (b"no zstd", LayerRefused, "it is no zstd stream"),
        (b"", LayerRefused, "the zstd stream is empty"),
        (zstandard.compress(GOOD + b"x"), SizeMismatch, f"expected {len(GOOD)} bytes, has more than that"),
        (zstandard.compress(GOOD[:-1]), SizeMismatch, f"expected {len(GOOD)} bytes, has {len(GOOD) - 1}"),
        (zstandard.compress(GOOD[:-1] + b"x"), DigestMismatch, "disk: expected sha256:"),
        (zstandard.compress(bytes(1 << 30)), SizeMismatch, "has more than that"),
    ],
)
def test_a_disk_that_is_not_what_is_stated_is_refused(
    registry: Registry, tmp_path: Path, content: bytes, kind: type[BuilderError], said: str
) -> None:
    reference = forged(registry, content, GOOD)
    assert said in refused(reference, tmp_path, kind)
    assert kind.exit_status == 3


OF_GOOD = f'{{"builder":"1","disk":{{"format":"ext4","size":{len(GOOD)},"sha256":"{digest(GOOD)[7:]}"}}}}'


@pytest.mark.parametrize(
    "record",
    [
        *(b"", b"{}", b"[" * 100_000, b'{"builder":"1","disk":{"format":"ext4","size":1,"sha256":"0"}}'),
        # What is added to them, that they were pulled, would not be in that.
        OF_GOOD.encode("utf-16"),
    ],
)
def test_metadata_of_nothing_are_refused(registry: Registry, tmp_path: Path, record: bytes) -> None:
    said = refused(forged(registry, COMPRESSED, GOOD, record), tmp_path, ImageRefused)
    assert "no metadata of a disk" in said or "is another disk" in said


def test_a_blob_that_changes_on_the_way_is_refused(proxy: Proxy, disk: Path, tmp_path: Path) -> None:
    def corrupt(answer: Answer) -> None:
        answer.body = answer.body[:1000] + bytes([answer.body[1000] ^ 1]) + answer.body[1001:]

    reference = f"docker://{proxy.host}/pull/corrupt:1"
    push(disk, reference)
    layer = manifest(proxy.host, "pull/corrupt", "1")["layers"][0]["digest"]
    proxy.faults.append(Fault(f"GET .*{layer}", change=corrupt))
    refused(reference, tmp_path, ImageRefused)


def test_it_gives_back_what_it_did(registry: Registry, disk: Path, tmp_path: Path) -> None:
    pushed = push(disk, f"docker://{registry.host}/pull/result:1")
    pulled = pull_disk(f"docker://{registry.host}/pull/result:1", tmp_path / "disk.ext4")
    size = disk.stat().st_size
    place = tmp_path / "disk.ext4"
    assert pulled == PulledDisk(place, pushed.name, pushed.digest, "ext4", size, tmp_path / "disk.ext4.json", True)
