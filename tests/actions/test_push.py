"""Disks in a registry: one form, one digest, nothing sent twice, and nothing lost there."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from support.images import digest
from support.logins import auth
from support.proxy import Answer, Fault, Proxy
from support.pushed import blob, make_disk, manifest, unpacked
from support.registries import PASSWORD, USER, PrivateRegistry, TokenRegistry
from support.registry import Registry, skopeo_copy
from support.remote import IMAGE

from builder import blank, push
from builder.actions.push import TagTaken
from builder.disk.reading import DiskUnreadable
from builder.errors import InvalidReference, OutputError, SourceUnreadable, UsageError
from builder.registry import RegistryAccess
from builder.registry.failures import AccessDenied
from builder.registry.upload import UploadRefused
from builder.sources.access import Access


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_disk(tmp_path_factory.mktemp("disk"))


def test_a_disk_is_an_artifact_with_its_metadata(registry: Registry, disk: Path) -> None:
    pushed = push(disk, f"docker://{registry.host}/disks/form:1")
    found = manifest(registry.host, "disks/form", "1")
    content, metadata = disk.read_bytes(), Path(f"{disk}.json").read_bytes()
    assert manifest(registry.host, "disks/form", str(pushed.digest)) == found
    assert found["artifactType"] == "application/vnd.rootfs-builder.disk.v1"
    empty = {"mediaType": "application/vnd.oci.empty.v1+json", "digest": digest(b"{}"), "size": 2, "data": "e30="}
    assert found["config"] == empty
    assert blob(registry.host, "disks/form", empty) == b"{}"
    first, second = found["layers"]
    assert first["mediaType"] == "application/vnd.kubevirt.disk.raw+zstd"
    assert first["annotations"]["org.opencontainers.image.title"] == "disk.ext4.zst"
    assert unpacked(blob(registry.host, "disks/form", first)) == content
    assert second["mediaType"] == "application/vnd.rootfs-builder.disk.metadata.v1+json"
    assert blob(registry.host, "disks/form", second) == metadata
    lines = json.loads(metadata)["kernelCommandLine"]
    assert found["annotations"] == {
        "rootfs-builder.disk.format": "ext4",
        "rootfs-builder.disk.size": str(len(content)),
        "rootfs-builder.disk.digest": f"sha256:{hashlib.sha256(content).hexdigest()}",
        "rootfs-builder.disk.platform": "linux/amd64",
        **{f"rootfs-builder.kernel-command-line.{vmm}": line for vmm, line in lines.items()},
    }


def test_a_disk_without_metadata_is_told_by_itself(registry: Registry, tmp_path: Path) -> None:
    blank(tmp_path / "data.img", 16 << 20)
    push(tmp_path / "data.img", f"docker://{registry.host}/disks/blank:1")
    found = manifest(registry.host, "disks/blank", "1")
    assert len(found["layers"]) == 1
    assert sorted(found["annotations"]) == [f"rootfs-builder.disk.{each}" for each in ("digest", "format", "size")]


def test_the_root_hash_is_told(registry: Registry, tmp_path: Path) -> None:
    disk = make_disk(tmp_path, "disk.erofs", verity=True)
    push(disk, f"docker://{registry.host}/disks/verity:1")
    said = manifest(registry.host, "disks/verity", "1")["annotations"]
    root_hash = json.loads(Path(f"{disk}.json").read_text())["verity"]["rootHash"]
    assert said["rootfs-builder.verity.root-hash"] == root_hash
    assert root_hash in said["rootfs-builder.kernel-command-line.qemu"]


def test_two_pushes_have_one_digest_and_the_second_sends_nothing(
    proxy: Proxy, disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = push(disk, f"docker://{proxy.host}/disks/twice:1")
    proxy.requests.clear()
    # Elsewhere, under another name, and with other holes.
    other = tmp_path / "other.img"
    other.write_bytes(disk.read_bytes())
    os.truncate(other, other.stat().st_size)
    second = push(other, f"docker://{proxy.host}/disks/twice:2", metadata=Path(f"{disk}.json"), tmpdir=tmp_path)
    assert (first.digest, second.sent) == (second.digest, 0)
    assert [each.method for each in proxy.requests] == ["GET", "GET", "HEAD", "HEAD", "HEAD", "HEAD", "PUT", "GET"]
    assert sorted(os.listdir(tmp_path)) == ["home", "other.img"]
    assert first.sent > 500_000


def test_what_has_a_tag_that_cannot_be_replaced_may_be_pushed_again(proxy: Proxy, disk: Path, tmp_path: Path) -> None:
    """ECR, Harbor and Artifactory can be told so, and refuse the same manifest, too."""
    reference = f"docker://{proxy.host}/disks/immutable:1"
    first = push(disk, reference)
    refusal = b'{"errors":[{"code":"TAG_INVALID"}]}'
    proxy.faults.append(Fault("PUT .*manifests/1$", answer=Answer(400, {}, refusal)))
    assert push(disk, reference) == replace(first, sent=0)
    with pytest.raises(UploadRefused, match="TAG_INVALID"):
        push(make_disk(tmp_path, size=5), reference)


def test_a_tag_that_is_no_disk_stays(registry: Registry, disk: Path) -> None:
    registry.push("disks/image", IMAGE, tag="1")
    reference = f"docker://{registry.host}/disks/image:1"
    with pytest.raises(TagTaken, match=r"disks/image:1: is no disk, and would be lost; choose another tag"):
        push(disk, reference)
    assert "artifactType" not in manifest(registry.host, "disks/image", "1")
    push(disk, reference, force=True)
    push(disk, reference)
    assert "artifactType" in manifest(registry.host, "disks/image", "1")


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("docker://HOST/disks/a", "write docker://REGISTRY/REPO:TAG"),
        ("docker://HOST/disks/a:1@sha256:" + "0" * 64, "a disk is pushed under a tag"),
        ("oci:layout:1", "disks are pushed to registries"),
        ("disks/a:1", "disks are pushed to registries"),
        ("docker:disks", "write docker://NAME"),
    ],
)
def test_where_no_disk_can_go(registry: Registry, disk: Path, reference: str, said: str) -> None:
    with pytest.raises(InvalidReference, match=said):
        push(disk, reference.replace("HOST", registry.host))


def test_what_is_no_disk_is_not_pushed(registry: Registry, disk: Path, tmp_path: Path) -> None:
    reference = f"docker://{registry.host}/disks/none:1"
    with pytest.raises(DiskUnreadable, match="No such file or directory; check the path"):
        push(tmp_path / "nothing", reference)
    (tmp_path / "text").write_text("text")
    for name in ("text", ""):
        with pytest.raises(UsageError, match="is no disk; build one"):
            push(tmp_path / name, reference)
    with pytest.raises(UsageError, match="is no metadata of a disk"):
        push(disk, reference, metadata=tmp_path / "text")
    with pytest.raises(DiskUnreadable, match="nothing: cannot be read"):
        push(disk, reference, metadata=tmp_path / "nothing")


def test_metadata_of_another_disk_do_not_go_with_it(registry: Registry, disk: Path, tmp_path: Path) -> None:
    other = tmp_path / "disk.ext4"
    other.write_bytes(disk.read_bytes()[:-1] + b"x")
    Path(f"{other}.json").write_bytes(Path(f"{disk}.json").read_bytes())
    with pytest.raises(UsageError, match="its metadata are of another disk, or it was written to since"):
        push(other, f"docker://{registry.host}/disks/other:1")


def test_a_disk_that_changes_is_not_pushed(registry: Registry, disk: Path, tmp_path: Path) -> None:
    other = tmp_path / "disk.ext4"
    other.write_bytes(disk.read_bytes())

    def change(event: object) -> None:
        with other.open("r+b") as file:
            file.write(b"x")

    with pytest.raises(DiskUnreadable, match="changes while it is read"):
        push(other, f"docker://{registry.host}/disks/changes:1", listen=change)


def test_a_place_that_is_full_is_named(registry: Registry, disk: Path) -> None:
    with pytest.raises(OutputError, match="choose another --tmpdir"):
        push(disk, f"docker://{registry.host}/disks/full:1", tmpdir=Path("/proc/self"))


def test_credentials_and_certificates_are_used(private_registry: PrivateRegistry, disk: Path, tmp_path: Path) -> None:
    host = private_registry.host
    (tmp_path / "certs").mkdir()
    (tmp_path / "certs" / "ca.crt").write_bytes(private_registry.authority)
    (tmp_path / "auth.json").write_text(json.dumps({"auths": {host: auth(USER, PASSWORD)}}))
    access = RegistryAccess(authfile=tmp_path / "auth.json", cert_dir=tmp_path / "certs")
    reference = f"docker://{host}/disks/private:1"
    with pytest.raises(AccessDenied, match="log in"):
        push(disk, reference, Access(registry=RegistryAccess(cert_dir=tmp_path / "certs")))
    with pytest.raises(SourceUnreadable, match="certificate is not trusted"):
        push(disk, reference)
    assert push(disk, reference, Access(registry=access)).sent > 500_000
    assert push(disk, reference, Access(registry=access)).sent == 0


@pytest.mark.heavy
@pytest.mark.parametrize("lifetime", [300, 0])
def test_tokens_are_fetched_for_reading_and_writing(
    token_registry: TokenRegistry, disk: Path, tmp_path: Path, lifetime: int
) -> None:
    """With a lifetime of nothing, each request wants a token of its own, as in the middle of a long upload."""
    tokens, host = token_registry.tokens, token_registry.registry.host
    (tmp_path / "auth.json").write_text(json.dumps({"auths": {host: auth(tokens.user, tokens.password)}}))
    access = Access(registry=RegistryAccess(authfile=tmp_path / "auth.json"))
    tokens.asked.clear()
    path = f"disks/tokens{lifetime}"
    lived, tokens.lifetime = tokens.lifetime, lifetime
    try:
        assert push(disk, f"docker://{host}/{path}:1", access).sent > 500_000
    finally:
        tokens.lifetime = lived
    assert {query["scope"][0] for _, query in tokens.asked} == {f"repository:{path}:pull,push"}
    assert (len(tokens.asked) > 5) == (lifetime == 0)
    with pytest.raises(AccessDenied, match="not everybody may write there"):
        push(disk, f"docker://{host}/{path}:2")


def test_a_tag_whose_manifest_is_of_another_time_stays(proxy: Proxy, disk: Path) -> None:
    headers = {"Content-Type": "application/vnd.docker.distribution.manifest.v1+prettyjws"}
    proxy.faults.append(Fault("GET .*manifests", answer=Answer(200, headers, b'{"schemaVersion":1,"fsLayers":[]}')))
    with pytest.raises(TagTaken):
        push(disk, f"docker://{proxy.host}/disks/old:1")
    assert proxy.sent("P[A-Z]+ ") == []


def test_a_registry_that_takes_no_artifacts_is_told_so(proxy: Proxy, disk: Path) -> None:
    refusal = b'{"errors":[{"code":"MANIFEST_INVALID"}]}'
    proxy.faults.append(Fault("PUT .*manifests", answer=Answer(400, {}, refusal)))
    with pytest.raises(UploadRefused, match=r"answered 400 Bad Request \(MANIFEST_INVALID\); the registry does not"):
        push(disk, f"docker://{proxy.host}/disks/refused:1")


def test_skopeo_takes_it(registry: Registry, disk: Path, tmp_path: Path) -> None:
    pushed = push(disk, f"docker://{registry.host}/disks/skopeo:1")
    source = f"docker://{registry.host}/disks/skopeo:1"
    for target in (f"dir:{tmp_path / 'dir'}", f"oci:{tmp_path / 'oci'}:1"):
        skopeo_copy(source, target, "--src-tls-verify=false")
    index = json.loads((tmp_path / "oci" / "index.json").read_text())
    assert index["manifests"][0]["digest"] == str(pushed.digest)
    shown = subprocess.run(
        ["skopeo", "inspect", "--raw", "--tls-verify=false", source], capture_output=True, check=True
    ).stdout
    assert digest(shown) == str(pushed.digest)
    # And back, into another repository: it is the same there.
    again = f"docker://{registry.host}/disks/copied:1"
    skopeo_copy(f"oci:{tmp_path / 'oci'}:1", again, "--dest-tls-verify=false")
    assert manifest(registry.host, "disks/copied", "1") == json.loads(shown)


@pytest.mark.heavy
def test_oras_pulls_its_files(registry: Registry, disk: Path, tmp_path: Path) -> None:
    client = pytest.importorskip("oras.client", reason="NOT RUN: oras is not installed; ci/setup brings it")
    push(disk, f"docker://{registry.host}/disks/oras:1")
    client.OrasClient(insecure=True).pull(f"{registry.host}/disks/oras:1", outdir=str(tmp_path / "out"))
    assert unpacked((tmp_path / "out" / "disk.ext4.zst").read_bytes()) == disk.read_bytes()
    assert (tmp_path / "out" / "disk.ext4.json").read_bytes() == Path(f"{disk}.json").read_bytes()
