"""What a disk was made of, and where that can be asked: referrers, or the tag in place of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.images import OCI
from support.proxy import Answer, Fault, Proxy
from support.pushed import get, make_disk, manifest
from support.registry import Registry
from support.remote import IMAGE, listen_to

from builder import push


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_disk(tmp_path_factory.mktemp("disk"))


@pytest.fixture(scope="module")
def image(disk: Path) -> dict[str, Any]:
    """The descriptor of the image that the disk was made of."""
    entries: list[dict[str, Any]] = json.loads((disk.parent / "image" / "index.json").read_text())["manifests"]
    return {key: entries[0][key] for key in ("mediaType", "digest", "size")}


def test_the_subject_is_the_image_and_a_tag_lists_what_refers_to_it(
    registry: Registry, disk: Path, image: dict[str, Any], tmp_path: Path
) -> None:
    pushed = push(disk, f"docker://{registry.host}/subject/disk:1")
    found = manifest(registry.host, "subject/disk", "1")
    assert found["subject"] == image
    tag = image["digest"].replace(":", "-")
    index = manifest(registry.host, "subject/disk", tag)
    size = len(get(registry.host, "/v2/subject/disk/manifests/1")[1])
    entry = {
        "mediaType": f"{OCI}manifest.v1+json",
        "digest": str(pushed.digest),
        "size": size,
        "annotations": found["annotations"],
        "artifactType": found["artifactType"],
    }
    assert index == {"schemaVersion": 2, "mediaType": f"{OCI}index.v1+json", "manifests": [entry]}
    # Once more: it is there. Another disk of the image, without metadata but by hand: it comes behind.
    push(disk, f"docker://{registry.host}/subject/disk:2")
    assert manifest(registry.host, "subject/disk", tag) == index
    other = make_disk(tmp_path, "disk.erofs")
    push(other, f"docker://{registry.host}/subject/disk:3")
    listed = manifest(registry.host, "subject/disk", tag)["manifests"]
    assert [each["annotations"]["rootfs-builder.disk.format"] for each in listed] == ["ext4", "erofs"]


def test_what_has_that_tag_and_is_no_index_stays(registry: Registry, disk: Path, image: dict[str, Any]) -> None:
    tag = image["digest"].replace(":", "-")
    registry.push("subject/taken", IMAGE, tag=tag)
    before = get(registry.host, f"/v2/subject/taken/manifests/{tag}")
    heard: list[str] = []
    push(disk, f"docker://{registry.host}/subject/taken:1", listen=listen_to(heard))
    assert get(registry.host, f"/v2/subject/taken/manifests/{tag}") == before
    assert heard == [f"{registry.host}/subject/taken:{tag}: is no index of what refers to an image; it stays"]


def test_a_registry_that_keeps_account_itself_gets_no_tag(proxy: Proxy, disk: Path, image: dict[str, Any]) -> None:
    proxy.faults.append(Fault("PUT .*manifests/1", change=lambda answer: answer.set("OCI-Subject", image["digest"])))
    push(disk, f"docker://{proxy.host}/subject/native:1")
    assert proxy.sent("manifests/sha256-") == []


def test_an_entry_that_another_push_took_away_is_put_there_again(
    proxy: Proxy, registry: Registry, disk: Path, image: dict[str, Any]
) -> None:
    tag = image["digest"].replace(":", "-")
    # It was answered, and is not there: somebody else's came over it.
    lost = Answer(201, {}, b"")
    proxy.faults.append(Fault(f"PUT .*manifests/{tag}", 1, answer=lost))
    pushed = push(disk, f"docker://{proxy.host}/subject/race:1")
    listed = manifest(registry.host, "subject/race", tag)["manifests"]
    assert [each["digest"] for each in listed] == [str(pushed.digest)]


def test_an_entry_that_is_lost_each_time_is_told(proxy: Proxy, disk: Path, image: dict[str, Any]) -> None:
    tag = image["digest"].replace(":", "-")
    proxy.faults.append(Fault(f"PUT .*manifests/{tag}", answer=Answer(201, {}, b"")))
    heard: list[str] = []
    push(disk, f"docker://{proxy.host}/subject/lost:1", listen=listen_to(heard))
    said = "does not keep what was put there, so it does not list this disk; push it again when nobody else does"
    assert heard == [f"{proxy.host}/subject/lost:{tag}: {said}"]
    assert len(proxy.sent(f"PUT .*manifests/{tag}")) == 8


def test_blobs_are_taken_from_the_repository_of_the_image(proxy: Proxy, disk: Path, tmp_path: Path) -> None:
    """As where a disk was pushed beside its image, and is handed on."""
    record = json.loads(Path(f"{disk}.json").read_text())
    record["image"]["reference"] = f"docker://{proxy.host}/subject/team:1"
    metadata = tmp_path / "metadata.json"
    metadata.write_text(json.dumps(record))
    assert push(disk, f"docker://{proxy.host}/subject/team:1-disk", metadata=metadata).sent > 0
    proxy.requests.clear()
    assert push(disk, f"docker://{proxy.host}/subject/elsewhere:1", metadata=metadata).sent == 0
    assert len(proxy.sent(r"POST .*mount=.*&from=subject%2Fteam$")) == 3
    assert proxy.sent("PATCH") == []
