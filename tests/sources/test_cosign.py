"""What cosign signs is signed here, and what is pushed here is an artifact to cosign and oras: with both programs."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest
from support.cosign import Programs, find_programs
from support.images import Spec, digest
from support.pushed import get, make_disk, unpacked
from support.registry import Registry, skopeo_copy
from support.signing import OTHER, SPEC, check, signature_tag, write_public

from builder import pull_disk, push
from builder.sources.access import Access
from builder.sources.signatures import Unsigned

INDEX = (SPEC, Spec(SPEC.layers, platform="linux/arm64"))
# What cosign 3 signs, made with the words that cosign 2 has for it.
AS_A_BUNDLE = ("--new-bundle-format", "--predicate", "predicate")


@pytest.fixture
def programs(home: Path) -> Programs:
    (home / "predicate").write_text("{}")
    return find_programs(home)


@pytest.fixture
def name(registry: Registry) -> str:
    """A repository of the test's own, with an index under the tag `latest`."""
    name = f"{registry.host}/cosign/{uuid4().hex}"
    registry.push(repository(name), *INDEX, nested=True)
    return name


def repository(name: str) -> str:
    return name.partition("/")[2]


def fetched(name: str, reference: str) -> tuple[int, bytes]:
    """What a registry answers when it is asked for a manifest."""
    return get(name.partition("/")[0], f"/v2/{repository(name)}/manifests/{reference}")


def under_a_tag(programs: Programs, image: str) -> None:
    programs.sign("sign", image)


def referring(programs: Programs, image: str) -> None:
    programs.sign("sign", "--registry-referrers-mode=oci-1-1", image, COSIGN_EXPERIMENTAL="1")


def as_a_bundle(programs: Programs, image: str) -> None:
    programs.sign("attest", *AS_A_BUNDLE, "--type", "https://sigstore.dev/cosign/sign/v1", image)


@pytest.mark.heavy
@pytest.mark.parametrize("sign", [under_a_tag, referring, as_a_bundle])
def test_what_cosign_signs_is_signed_in_the_registry_and_in_a_layout_of_it(
    programs: Programs, name: str, tmp_path: Path, sign: Callable[[Programs, str], None]
) -> None:
    of = digest(fetched(name, "latest")[1])
    with pytest.raises(Unsigned):
        check(f"docker://{name}", programs.key)
    sign(programs, f"{name}@{of}")
    layout = f"oci:{programs.home}/layout"
    if sign is under_a_tag:
        assert fetched(name, signature_tag(of))[0] == 200
        programs.cosign("save", "--dir", "layout", f"{name}@{of}")
    else:
        assert fetched(name, signature_tag(of))[0] == 404
        programs.oras("cp", "-r", "--from-plain-http", "--to-oci-layout", f"{name}:latest", "layout:copied")
        layout += ":copied"
    other = write_public(OTHER, tmp_path / "other.pub")
    for reference in (f"docker://{name}", f"docker://{name}@{of}", layout):
        check(reference, programs.key)
        with pytest.raises(Unsigned, match="none counts"):
            check(reference, other)


@pytest.mark.heavy
def test_what_cosign_attests_is_no_signature_and_hides_none(programs: Programs, name: str) -> None:
    image = f"{name}@{digest(fetched(name, 'latest')[1])}"
    programs.sign("attest", "--predicate", "predicate", image)
    programs.sign("attest", *AS_A_BUNDLE, image)
    with pytest.raises(Unsigned):
        check(f"docker://{name}", programs.key)
    under_a_tag(programs, image)
    programs.cosign("save", "--dir", "layout", image)
    for reference in (f"docker://{name}", f"oci:{programs.home}/layout"):
        check(reference, programs.key)


@pytest.mark.heavy
def test_cosign_signs_a_pushed_disk_and_verifies_it(programs: Programs, name: str, tmp_path: Path) -> None:
    disk = make_disk(tmp_path)
    pushed = push(disk, f"docker://{name}:disk")
    verify = ("verify", "--key", "cosign.pub", "--insecure-ignore-tlog", f"{name}:disk")
    with pytest.raises(subprocess.CalledProcessError):
        programs.cosign(*verify)
    under_a_tag(programs, f"{name}@{pushed.digest}")
    (verified,) = json.loads(programs.cosign(*verify))
    assert verified["critical"]["image"] == {"docker-manifest-digest": str(pushed.digest)}
    # The signature is in nobody's way.
    assert push(disk, f"docker://{name}:disk").digest == pushed.digest
    assert pull_disk(f"docker://{name}:disk", tmp_path / "pulled.ext4").digest == pushed.digest


@pytest.mark.heavy
@pytest.mark.parametrize("sign", [under_a_tag, referring, as_a_bundle])
def test_a_disk_that_cosign_signs_is_pulled_by_who_wants_that(
    programs: Programs, name: str, tmp_path: Path, sign: Callable[[Programs, str], None]
) -> None:
    reference = f"docker://{name}:disk"
    pushed = push(make_disk(tmp_path), reference)
    signed = Access(verify_key=programs.key)
    with pytest.raises(Unsigned):
        pull_disk(reference, tmp_path / "pulled.ext4", signed)
    sign(programs, f"{name}@{pushed.digest}")
    assert pull_disk(reference, tmp_path / "pulled.ext4", signed).digest == pushed.digest
    other = Access(verify_key=write_public(OTHER, tmp_path / "other.pub"))
    with pytest.raises(Unsigned, match="none counts"):
        pull_disk(reference, tmp_path / "pulled.ext4", other)


@pytest.mark.heavy
def test_oras_pulls_a_pushed_disk_and_copies_it(programs: Programs, name: str, tmp_path: Path) -> None:
    disk = make_disk(tmp_path)
    skopeo_copy(f"oci:{tmp_path / 'image'}", f"docker://{name}:image", "--dest-tls-verify=false")
    push(disk, f"docker://{name}:disk")
    programs.oras("pull", "--plain-http", "-o", "files", f"{name}:disk")
    files = programs.home / "files"
    assert unpacked((files / "disk.ext4.zst").read_bytes()) == disk.read_bytes()
    assert (files / "disk.ext4.json").read_bytes() == Path(f"{disk}.json").read_bytes()
    programs.oras("cp", "--from-plain-http", "--to-plain-http", f"{name}:disk", f"{name}/copy:disk")
    pull_disk(f"docker://{name}/copy:disk", tmp_path / "pulled.ext4")
    assert (tmp_path / "pulled.ext4").read_bytes() == disk.read_bytes()
