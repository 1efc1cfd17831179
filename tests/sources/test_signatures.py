"""Signatures of images: nobody's disk is made of one that the key's owner has not signed."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from support.images import OCI, TAG, Files, add_blob, docker_archive, layout_files, write_directory, write_tar
from support.registry import Registry
from support.signing import (
    KEY,
    OTHER,
    SPEC,
    Key,
    add_entry,
    check,
    make,
    payload,
    sign,
    signature_tag,
    signatures,
    write_public,
)

from builder.actions.build import build
from builder.actions.pull import pull
from builder.errors import DigestMismatch, ImageRefused, MalformedDocument, MissingRequirement, UsageError
from builder.options import BuildOptions
from builder.sources import open_source
from builder.sources.access import Access
from builder.sources.signatures import Unsigned


def place(tmp_path: Path, files: Files) -> str:
    write_directory(tmp_path / "image", files)
    return f"oci:{tmp_path}/image:latest"


def signed(tmp_path: Path, *each: tuple[bytes, bytes | str], tag: str | None = None) -> str:
    files, made = make()
    add_entry(files, signatures(files, *each), {TAG: tag or signature_tag(made.manifest)})
    return place(tmp_path, files)


MANIFEST = make()[1].manifest
GOOD = (payload(MANIFEST), sign(KEY, payload(MANIFEST)))


@pytest.mark.parametrize(
    "private",
    [
        pytest.param(KEY, id="P-256"),
        pytest.param(ec.generate_private_key(ec.SECP384R1()), id="P-384"),
        pytest.param(rsa.generate_private_key(65537, 2048), id="RSA"),
        pytest.param(ed25519.Ed25519PrivateKey.generate(), id="Ed25519"),
    ],
)
def test_an_image_that_the_key_signed_is_taken(tmp_path: Path, private: Key) -> None:
    reference = signed(tmp_path, (payload(MANIFEST), sign(private, payload(MANIFEST))))
    check(reference, write_public(private, tmp_path / "key"))


@pytest.mark.parametrize("marked", ["by tag", "as cosign saves it"])
def test_a_signature_is_found_in_a_layout_and_in_an_archive(tmp_path: Path, key: Path, marked: str) -> None:
    files, made = make()
    annotations = (
        {TAG: signature_tag(made.manifest)} if marked == "by tag" else {"kind": "dev.cosignproject.cosign/sigs"}
    )
    add_entry(files, signatures(files, GOOD), annotations)
    check(place(tmp_path, files), key)
    write_tar(tmp_path / "image.tar", files)
    check(f"oci-archive:{tmp_path}/image.tar:latest", key)
    check(f"{tmp_path}/image.tar:latest", key)
    check(f"oci:{tmp_path}/image@{made.manifest}", key)


def test_one_of_several_signatures_is_enough(tmp_path: Path, key: Path) -> None:
    by_other = (payload(MANIFEST), sign(OTHER, payload(MANIFEST)))
    check(signed(tmp_path, by_other, GOOD, by_other), key)


def flipped(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


def of(digest: str, type: str = "cosign container image signature") -> tuple[bytes, bytes]:
    return payload(digest, type), sign(KEY, payload(digest, type))


BAD: dict[str, tuple[bytes, bytes | str]] = {
    "another key's": (payload(MANIFEST), sign(OTHER, payload(MANIFEST))),
    "another image's": of("sha256:" + "0" * 64),
    "no digest's": of("latest"),
    "another kind's": of(MANIFEST, "atomic container signature"),
    "damaged": (GOOD[0], flipped(GOOD[1])),
    "of another payload": (payload(MANIFEST).replace(b"null", b"{}"), GOOD[1]),
    "empty": (GOOD[0], b""),
    "no base64": (GOOD[0], "*"),
    "no ASCII": (GOOD[0], "é"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_signature_that_is_not_of_this_image_by_this_key_is_none(tmp_path: Path, key: Path, case: str) -> None:
    with pytest.raises(Unsigned) as caught:
        check(signed(tmp_path, BAD[case]), key)
    assert caught.value.exit_status == 3
    assert str(caught.value).endswith(f"{MANIFEST} has no signature by the key '{key}'; of 1 by others none counts")


def test_an_image_without_signatures_is_refused_and_nothing_is_made_of_it(tmp_path: Path, key: Path) -> None:
    files, _ = make()
    disk = tmp_path / "out" / "d.ext4"
    disk.parent.mkdir()
    with pytest.raises(Unsigned, match=f"{MANIFEST} has no signature by the key"):
        build(place(tmp_path, files), disk, BuildOptions(access=Access(verify_key=key)))
    assert list(disk.parent.iterdir()) == []


def test_a_disk_that_is_up_to_date_is_not_said_to_be_of_a_signed_image_that_is_none(tmp_path: Path, key: Path) -> None:
    files, _ = make()
    reference, disk = place(tmp_path, files), tmp_path / "d.ext4"
    build(reference, disk)
    with pytest.raises(Unsigned):
        build(reference, disk, BuildOptions(access=Access(verify_key=key)))


def test_a_signature_of_the_index_is_for_the_image_that_is_chosen_of_it(tmp_path: Path, key: Path) -> None:
    arm = replace(SPEC, platform="linux/arm64")
    files, _ = layout_files(SPEC, arm, nested="latest")
    (entry,) = json.loads(files["index.json"])["manifests"]  # type: ignore[arg-type]
    index = entry["digest"]
    add_entry(files, signatures(files, of(index)), {TAG: signature_tag(index)})
    reference = place(tmp_path, files)
    check(reference, key)
    # The manifest alone has none.
    with pytest.raises(Unsigned):
        check(f"oci:{tmp_path}/image@{MANIFEST}", key)


def test_an_image_that_has_no_one_digest_is_refused(tmp_path: Path, key: Path) -> None:
    files, _ = layout_files(SPEC, replace(SPEC, platform="linux/arm64"))
    with pytest.raises(UsageError, match="name one with @DIGEST"):
        check(place(tmp_path, files), key)


def test_where_there_are_no_signatures_is_said_in_one_line(tmp_path: Path, key: Path) -> None:
    docker_archive(tmp_path / "image.tar", replace(SPEC, tag="a:1"))
    with pytest.raises(UsageError, match=r"a registry \(docker://\) or in an OCI layout") as caught:
        check(f"docker-archive:{tmp_path}/image.tar", key)
    assert str(caught.value).isprintable()


def test_a_payload_is_held_against_its_digest(tmp_path: Path, key: Path) -> None:
    files, made = make()
    manifest = signatures(files, GOOD)
    (path,) = [name for name, content in files.items() if content == GOOD[0]]
    files[path] = flipped(GOOD[0])
    add_entry(files, manifest, {TAG: signature_tag(made.manifest)})
    with pytest.raises(DigestMismatch):
        check(place(tmp_path, files), key)


@pytest.mark.parametrize("data", [b"[]", b"{", b'{"layers": 1}', b'{"layers": [{}]}', b"\xff"])
def test_a_manifest_of_signatures_that_is_none_is_refused(tmp_path: Path, key: Path, data: bytes) -> None:
    files, made = make()
    add_entry(files, add_blob(files, data, OCI + "manifest.v1+json"), {TAG: signature_tag(made.manifest)})
    with pytest.raises(MalformedDocument) as caught:
        check(place(tmp_path, files), key)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("said", [b"{}", b"[]", b'{"critical": {"image": {}, "type": ""}}', b"\xff"])
def test_what_the_key_signed_and_is_no_payload_is_refused(tmp_path: Path, key: Path, said: bytes) -> None:
    with pytest.raises(ImageRefused):
        check(signed(tmp_path, (said, sign(KEY, said))), key)


def test_so_many_signatures_are_looked_at_and_no_more(tmp_path: Path, key: Path) -> None:
    by_other = (payload(MANIFEST), sign(OTHER, payload(MANIFEST)))
    check(signed(tmp_path, *[by_other] * 99, GOOD), key)
    with pytest.raises(Unsigned, match="of 100 by others"):
        check(signed(tmp_path, *[by_other] * 100, GOOD), key)


def test_so_many_manifests_are_looked_at_and_no_more_even_if_they_are_empty(tmp_path: Path, key: Path) -> None:
    files, made = make()
    tag = {TAG: signature_tag(made.manifest)}
    good = signatures(files, GOOD)
    for place_of_good in (99, 100):
        files["index.json"] = make()[0]["index.json"]
        for number in range(place_of_good):
            add_entry(files, add_blob(files, b'{"layers": [], "number": %d}' % number, OCI + "manifest.v1+json"), tag)
        add_entry(files, good, tag)
        write_directory(tmp_path / str(place_of_good), files)
    check(f"oci:{tmp_path}/99:latest", key)
    with pytest.raises(Unsigned):
        check(f"oci:{tmp_path}/100:latest", key)


@pytest.mark.parametrize("what", ["missing", "directory", "text", "private", "DSA", "short RSA", "certificate"])
def test_what_is_no_public_key_is_wrong_usage(tmp_path: Path, what: str) -> None:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    path = tmp_path / "key"
    if what == "directory":
        path.mkdir()
    elif what == "text":
        path.write_text("no key")
    elif what == "private":
        path.write_bytes(KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    elif what == "certificate":
        path.write_text("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n")
    elif what == "DSA":
        public = dsa.generate_private_key(1024).public_key()
        path.write_bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    elif what == "short RSA":
        write_public(rsa.generate_private_key(65537, 1024), path)
    with pytest.raises(UsageError) as caught:
        check(signed(tmp_path, GOOD), path)
    assert str(caught.value).startswith(f"--verify-key: {path}: ")
    assert str(caught.value).isprintable()


@pytest.fixture
def access(tmp_path: Path, key: Path) -> Access:
    return Access(store=str(tmp_path / "store"), verify_key=key)


def test_a_registry_has_signatures_beside_the_image(registry: Registry, access: Access, tmp_path: Path) -> None:
    files, made = make()
    registry.push_layout("signed/one", files, "latest")
    reference = f"docker://{registry.host}/signed/one"
    with pytest.raises(Unsigned):
        open_source(reference, access)
    entry = signatures(files, GOOD)
    files["index.json"] = json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()
    registry.push_layout("signed/one", files, signature_tag(made.manifest))
    open_source(reference, access).close()
    open_source(f"{reference}@{made.manifest}", access).close()
    # With the image in the store, too, the registry is asked.
    assert str(pull(reference, access).digest) == made.manifest
    result = build(f"{reference}@{made.manifest}", tmp_path / "d.ext4", BuildOptions(access=access))
    assert str(result.image.digest) == made.manifest
    with pytest.raises(Unsigned, match="of 1 by others"):
        open_source(reference, replace(access, verify_key=write_public(OTHER, tmp_path / "other.pub")))


def test_what_reads_keys_is_asked_for_where_it_is_missing(
    tmp_path: Path, key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    with pytest.raises(MissingRequirement, match=r"--verify-key needs pip install 'rootfs-builder\[verify\]'"):
        check(signed(tmp_path, GOOD), key)
