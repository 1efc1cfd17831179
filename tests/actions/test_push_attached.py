"""What is attached to a disk that is pushed: it refers to the disk, and comes with it when it is asked for."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from support.images import OCI, Spec, digest, dumps, layout
from support.proxy import Answer, Fault, Proxy
from support.pushed import blob, get, manifest
from support.registry import Registry
from support.remote import files_in, listen_to
from support.tars import file, tar

from builder import BuildOptions, GuestOptions, build, pull_disk, push
from builder.artifact.attached import PROVENANCE, SBOM
from builder.errors import BuilderError, ImageNotFound, UsageError

STATEMENT, BILL = "application/vnd.in-toto+json", "application/vnd.cyclonedx+json"


def make(place: Path, name: str = "d.ext4", content: bytes = b"1", **more: Any) -> Path:
    """Build a disk, with the documents about it beside it."""
    layout(place / "image", Spec((tar(file("a", content)),)))
    disk = place / name
    options = BuildOptions(
        guest=GuestOptions(init="none"),
        metadata_file=disk.with_name(f"{name}.json"),
        provenance=PROVENANCE.path(disk),
        sbom=SBOM.path(disk),
        **more,
    )
    build(f"oci:{place / 'image'}", disk, options)
    return disk


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("said"))


def listed(host: str, name: str, of: str) -> dict[str, dict[str, Any]]:
    """What refers to a manifest, by type, from the tag in place of an account."""
    return {each["artifactType"]: each for each in manifest(host, name, of.replace(":", "-"))["manifests"]}


@pytest.mark.heavy
def test_what_a_build_wrote_refers_to_the_disk_that_it_pushes(registry: Registry, tmp_path: Path) -> None:
    disk = make(tmp_path, push=f"docker://{registry.host}/said/built:1")
    status, data = get(registry.host, "/v2/said/built/manifests/1")
    found = listed(registry.host, "said/built", digest(data))
    assert status == 200
    assert set(found) == {STATEMENT, BILL}
    for kind, path in ((STATEMENT, f"{disk}.intoto.json"), (BILL, f"{disk}.cdx.json")):
        refers = manifest(registry.host, "said/built", found[kind]["digest"])
        assert refers["artifactType"] == kind
        assert refers["subject"] == {"mediaType": f"{OCI}manifest.v1+json", "digest": digest(data), "size": len(data)}
        (layer,) = refers["layers"]
        assert layer["mediaType"] == kind
        assert blob(registry.host, "said/built", layer) == Path(path).read_bytes()
    assert found[STATEMENT]["annotations"] == {"in-toto.io/predicate-type": "https://slsa.dev/provenance/v1"}


@pytest.mark.heavy
def test_the_same_is_there_once_and_comes_when_it_is_asked_for(registry: Registry, disk: Path, tmp_path: Path) -> None:
    reference = f"docker://{registry.host}/said/again:1"
    pushed = push(disk, reference)
    before = get(registry.host, f"/v2/said/again/manifests/{str(pushed.digest).replace(':', '-')}")
    assert push(disk, reference).sent == 0
    assert get(registry.host, f"/v2/said/again/manifests/{str(pushed.digest).replace(':', '-')}") == before
    pull_disk(reference, tmp_path / "d.ext4")
    assert files_in(tmp_path) == ["d.ext4", "d.ext4.json"]
    provenance, sbom = tmp_path / "p.json", tmp_path / "s.json"
    pulled = pull_disk(reference, tmp_path / "d.ext4", provenance=provenance, sbom=sbom)
    assert not pulled.fetched
    assert provenance.read_bytes() == PROVENANCE.path(disk).read_bytes()
    assert sbom.read_bytes() == SBOM.path(disk).read_bytes()


def test_it_is_there_before_the_tag_and_after_the_manifest_that_it_refers_to(proxy: Proxy, disk: Path) -> None:
    pushed = push(disk, f"docker://{proxy.host}/said/order:1")
    put = [each.path.rpartition("/")[2] for each in proxy.sent("PUT .*/manifests/")]
    assert put[0] == str(pushed.digest)
    assert put[-2:] == ["1", disk_tag(disk)]
    assert put.index(str(pushed.digest).replace(":", "-")) == 3


def disk_tag(disk: Path) -> str:
    said: str = json.loads(Path(f"{disk}.json").read_text())["image"]["manifest"]["digest"]
    return said.replace(":", "-")


def test_a_registry_that_keeps_account_gets_no_tag_and_is_asked_for_it(
    proxy: Proxy, registry: Registry, disk: Path, tmp_path: Path
) -> None:
    proxy.faults.append(Fault("PUT .*manifests/", change=lambda answer: answer.set("OCI-Subject", "sha256:x")))
    pushed = push(disk, f"docker://{proxy.host}/said/native:1")
    assert proxy.sent("PUT .*manifests/sha256-") == []
    statement = proxy.sent("PUT .*/manifests/sha256:")[1].path.rpartition("/")[2]
    size = len(get(registry.host, f"/v2/said/native/manifests/{statement}")[1])
    entry = {"mediaType": f"{OCI}manifest.v1+json", "digest": statement, "size": size, "artifactType": STATEMENT}
    account = dumps({"schemaVersion": 2, "mediaType": f"{OCI}index.v1+json", "manifests": [entry]})
    proxy.faults.append(Fault(f"GET .*/referrers/{pushed.digest}", answer=Answer(200, {}, account)))
    pull_disk(f"docker://{proxy.host}/said/native:1", tmp_path / "d.ext4", provenance=tmp_path / "p")
    assert (tmp_path / "p").read_bytes() == PROVENANCE.path(disk).read_bytes()


@pytest.mark.parametrize("what", ["another disk's", "no statement", "another predicate", "no JSON", "no file"])
def test_what_is_not_said_of_this_disk_is_not_pushed(proxy: Proxy, disk: Path, tmp_path: Path, what: str) -> None:
    said = json.loads(PROVENANCE.path(disk).read_bytes())
    path = tmp_path / "said"
    if what == "another disk's":
        said["subject"][0]["digest"]["sha256"] = "0" * 64
    elif what == "another predicate":
        said["predicateType"] = "https://spdx.dev/Document"
    if what != "no file":
        path.write_bytes({"no statement": b"{}", "no JSON": b"\xff"}.get(what, dumps(said)))
    with pytest.raises(BuilderError) as caught:
        push(disk, f"docker://{proxy.host}/said/none:1", provenance=path)
    assert str(caught.value).startswith(f"{path}: ")
    assert str(caught.value).isprintable()
    assert isinstance(caught.value, UsageError) or what == "no file"
    assert proxy.sent("PUT|PATCH|POST") == []


def test_what_nobody_says_of_a_disk_is_missed_before_anything_is_written(
    registry: Registry, disk: Path, tmp_path: Path
) -> None:
    alone = tmp_path / "here" / "d.ext4"
    alone.parent.mkdir()
    alone.write_bytes(disk.read_bytes())
    push(alone, f"docker://{registry.host}/said/nothing:1")
    (tmp_path / "out").mkdir()
    with pytest.raises(ImageNotFound, match="no sbom refers to it; leave out --sbom"):
        pull_disk(f"docker://{registry.host}/said/nothing:1", tmp_path / "out" / "d.ext4", sbom=tmp_path / "out" / "s")
    assert files_in(tmp_path / "out") == []


def refer(registry: Registry, name: str, subject: str, content: bytes, size: int | None = None) -> dict[str, Any]:
    """Have a document refer to a manifest, as anybody may who may push; returns its entry."""
    registry.push_blob(name, content)
    registry.push_blob(name, b"{}")
    config = {"mediaType": "application/vnd.oci.empty.v1+json", "digest": digest(b"{}"), "size": 2}
    layer = {"mediaType": BILL, "digest": digest(content), "size": len(content) if size is None else size}
    kind = f"{OCI}manifest.v1+json"
    refers = {"mediaType": kind, "digest": subject, "size": 1}
    fields = {"schemaVersion": 2, "mediaType": kind, "artifactType": BILL, "config": config, "layers": [layer]}
    data = dumps({**fields, "subject": refers})
    registry.push_manifest(name, digest(data), data, kind)
    return {"mediaType": kind, "digest": digest(data), "size": len(data), "artifactType": BILL}


def list_them(registry: Registry, name: str, subject: str, entries: list[dict[str, Any]]) -> None:
    kind = f"{OCI}index.v1+json"
    index = dumps({"schemaVersion": 2, "mediaType": kind, "manifests": entries})
    registry.push_manifest(name, subject.replace(":", "-"), index, kind)


@pytest.mark.heavy
def test_what_is_listed_by_the_type_of_its_config_is_found(registry: Registry, disk: Path, tmp_path: Path) -> None:
    name = "said/untyped"
    pushed = str(push(disk, f"docker://{registry.host}/{name}:1").digest)
    entries = listed(registry.host, name, pushed).values()
    list_them(
        registry, name, pushed, [{**each, "artifactType": "application/vnd.oci.empty.v1+json"} for each in entries]
    )
    provenance, sbom = tmp_path / "p.json", tmp_path / "s.json"
    heard: list[str] = []
    reference, output = f"docker://{registry.host}/{name}:1", tmp_path / "d.ext4"
    pull_disk(reference, output, provenance=provenance, sbom=sbom, listen=listen_to(heard))
    assert provenance.read_bytes() == PROVENANCE.path(disk).read_bytes()
    assert sbom.read_bytes() == SBOM.path(disk).read_bytes()
    # The other is no second one of its kind.
    assert heard == []


@pytest.mark.heavy
def test_what_others_say_of_it_is_passed_over_unless_it_is_about_this_disk(
    registry: Registry, disk: Path, tmp_path: Path
) -> None:
    name = "said/others"
    pushed = str(push(disk, f"docker://{registry.host}/{name}:1").digest)
    ours = listed(registry.host, name, pushed)[BILL]
    bill = json.loads(SBOM.path(disk).read_bytes())
    bill["metadata"]["component"]["hashes"][0]["content"] = hashlib.sha256(b"").hexdigest()
    others = [refer(registry, name, pushed, each) for each in (b"{}", b"[]", b"\xff", dumps(bill))]
    elsewhere = refer(registry, name, "sha256:" + "1" * 64, SBOM.path(disk).read_bytes())
    lies = [refer(registry, name, pushed, b"[%d]" % size, size) for size in (1 << 30, 9, 0)]
    list_them(registry, name, pushed, [*others, elsewhere, *lies, ours])
    heard: list[str] = []
    pull_disk(f"docker://{registry.host}/{name}:1", tmp_path / "d.ext4", sbom=tmp_path / "s", listen=listen_to(heard))
    assert (tmp_path / "s").read_bytes() == SBOM.path(disk).read_bytes()
    assert heard[0].endswith(f"sbom: of 9 that refer to the disk, {ours['digest']} is taken")
    list_them(registry, name, pushed, others)
    with pytest.raises(ImageNotFound):
        pull_disk(f"docker://{registry.host}/{name}:1", tmp_path / "e.ext4", sbom=tmp_path / "s")


@pytest.mark.parametrize("size", [1 << 30, 5, 0])
def test_a_size_that_is_a_lie_or_too_much_is_refused_in_a_line(
    registry: Registry, disk: Path, tmp_path: Path, size: int
) -> None:
    name = f"said/size{size}"
    pushed = str(push(disk, f"docker://{registry.host}/{name}:1").digest)
    list_them(registry, name, pushed, [refer(registry, name, pushed, SBOM.path(disk).read_bytes(), size)])
    with pytest.raises(BuilderError) as caught:
        pull_disk(f"docker://{registry.host}/{name}:1", tmp_path / "d.ext4", sbom=tmp_path / "s")
    assert str(caught.value).isprintable()
    assert caught.value.exit_status == 3
    assert files_in(tmp_path) == []
