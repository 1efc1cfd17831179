"""Signatures in sigstore's bundles, which refer to the image: by a plain key, and of nothing else that it signed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from support.images import Files, blob_path, bytes_of, write_directory
from support.proxy import Answer, Fault, Proxy
from support.registry import Registry
from support.signing import (
    BUNDLE,
    KEY,
    OTHER,
    Key,
    add_entry,
    bundled,
    check,
    dsse,
    encoded,
    make,
    message,
    payload,
    sign,
    signature_tag,
    signatures,
    statement,
    write_public,
)

from builder.errors import ImageRefused, MalformedDocument, UsageError
from builder.sources import open_source
from builder.sources.access import Access
from builder.sources.signatures import Unsigned

MANIFEST = make()[1].manifest
DATA = bytes_of(make()[0][blob_path(MANIFEST)])
SAID = statement(MANIFEST)


def signed(tmp_path: Path, *bundles: bytes) -> str:
    files, _ = make()
    add_entry(files, bundled(files, MANIFEST, *bundles), {})
    write_directory(tmp_path / "image", files)
    return f"oci:{tmp_path}/image:latest"


def longer(key: ec.EllipticCurvePrivateKey, data: bytes) -> bytes:
    """A signature as bundles have it of keys on longer curves."""
    return key.sign(data, ec.ECDSA(hashes.SHA384() if key.key_size == 384 else hashes.SHA512()))


P384, P521 = ec.generate_private_key(ec.SECP384R1()), ec.generate_private_key(ec.SECP521R1())


@pytest.mark.parametrize(
    ("private", "by"),
    [
        pytest.param(KEY, sign, id="P-256"),
        pytest.param(P384, sign, id="P-384 with SHA-256"),
        pytest.param(P384, longer, id="P-384"),
        pytest.param(P521, longer, id="P-521"),
        pytest.param(rsa.generate_private_key(65537, 2048), sign, id="RSA"),
        pytest.param(ed25519.Ed25519PrivateKey.generate(), sign, id="Ed25519"),
    ],
)
@pytest.mark.parametrize("form", ["statement", "message"])
def test_an_image_is_taken_that_a_bundle_signs(
    tmp_path: Path, private: Key, by: Callable[[Key, bytes], bytes], form: str
) -> None:
    made = dsse(SAID, by(private, encoded(SAID))) if form == "statement" else message(DATA, by(private, DATA))
    check(signed(tmp_path, made), write_public(private, tmp_path / "key"))


FAULTS = statement(MANIFEST, "https://cosign.sigstore.dev/attestation/vuln/v1")
ELSE = statement("sha256:" + "0" * 64)
TEXT = "text/plain"
BAD = {
    "another key's": dsse(SAID, sign(OTHER, encoded(SAID))),
    "of another image": dsse(ELSE, sign(KEY, encoded(ELSE))),
    "of something else about the image": dsse(FAULTS, sign(KEY, encoded(FAULTS))),
    "of the bare statement": dsse(SAID, sign(KEY, SAID)),
    "of another type": dsse(SAID, sign(KEY, encoded(SAID, TEXT)), kind=TEXT),
    "of none": dsse(SAID),
    "of several": dsse(SAID, sign(KEY, encoded(SAID)), sign(KEY, encoded(SAID))),
    "a message of another image": message(DATA + b" ", sign(KEY, DATA + b" ")),
    "another key's message": message(DATA, sign(OTHER, DATA)),
    "nothing": b"{}",
}


@pytest.mark.parametrize("case", BAD)
def test_a_bundle_that_does_not_sign_this_image_by_this_key_is_none(tmp_path: Path, key: Path, case: str) -> None:
    with pytest.raises(Unsigned) as caught:
        check(signed(tmp_path, BAD[case]), key)
    assert str(caught.value).isprintable()
    assert caught.value.exit_status == 3


@pytest.mark.parametrize("data", [b"[]", b"{", b'{"dsseEnvelope": 1}', b'{"dsseEnvelope": {"payload": "x"}}', b"\xff"])
def test_a_bundle_that_is_none_is_refused(tmp_path: Path, key: Path, data: bytes) -> None:
    with pytest.raises(MalformedDocument) as caught:
        check(signed(tmp_path, data), key)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("said", [b"{}", b"[]", b'{"predicateType": 1}', b"\xff"])
def test_what_the_key_signed_and_is_no_statement_is_refused(tmp_path: Path, key: Path, said: bytes) -> None:
    with pytest.raises(ImageRefused):
        check(signed(tmp_path, dsse(said, sign(KEY, encoded(said)))), key)


GOOD = dsse(SAID, sign(KEY, encoded(SAID)))


def test_bundles_of_other_images_of_a_layout_are_in_nobodys_way(tmp_path: Path, key: Path) -> None:
    files, _ = make()
    for number in range(101):
        add_entry(files, bundled(files, f"sha256:{number:064x}", b"{"), {})
    add_entry(files, bundled(files, MANIFEST, GOOD), {})
    write_directory(tmp_path / "image", files)
    check(f"oci:{tmp_path}/image:latest", key)


def push(registry: Registry, name: str, files: Files, entry: dict[str, object], tag: str) -> None:
    files["index.json"] = json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()
    registry.push_layout(name, files, tag)


@pytest.mark.heavy
def test_a_registry_without_an_account_of_them_has_them_by_tag(registry: Registry, tmp_path: Path, key: Path) -> None:
    files, _ = make()
    registry.push_layout("bundles/tag", files, "latest")
    # An attestation by the same key beside it.
    attestation = dsse(FAULTS, sign(KEY, encoded(FAULTS)))
    entries = [bundled(files, MANIFEST, attestation), bundled(files, MANIFEST, GOOD)]
    for entry in entries:
        push(registry, "bundles/tag", files, entry, "x")
    access = Access(store=str(tmp_path / "store"), verify_key=key)
    with pytest.raises(Unsigned):
        open_source(f"docker://{registry.host}/bundles/tag", access)
    index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": entries}
    registry.push_manifest(
        "bundles/tag", MANIFEST.replace(":", "-"), json.dumps(index).encode(), str(index["mediaType"])
    )
    open_source(f"docker://{registry.host}/bundles/tag", access).close()


@pytest.mark.heavy
def test_ten_thousand_referrers_are_no_reason_to_ask_for_all(
    proxy: Proxy, registry: Registry, tmp_path: Path, key: Path
) -> None:
    files, _ = make()
    registry.push_layout("bundles/many", files, "latest")
    good = bundled(files, MANIFEST, GOOD)
    push(registry, "bundles/many", files, good, "good")
    marked = {"dev.sigstore.bundle.predicateType": "https://slsa.dev/provenance/v1"}
    entry = {"mediaType": "application/vnd.oci.image.manifest.v1+json", "size": 1, "artifactType": BUNDLE}
    gone = [{**entry, "digest": f"sha256:{number:064x}"} for number in range(10_000)]
    # What says that it is something else is not even asked for.
    others = [{**each, "annotations": marked} for each in gone]
    access = Access(store=str(tmp_path / "store"), verify_key=key)
    for listed, found in (([*others, good], True), ([*gone, good], False)):
        proxy.requests.clear()
        index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": listed}
        proxy.faults[:] = [Fault("GET .*/referrers/", answer=Answer(200, {}, json.dumps(index).encode()))]
        if found:
            open_source(f"docker://{proxy.host}/bundles/many", access).close()
        else:
            with pytest.raises(Unsigned):
                open_source(f"docker://{proxy.host}/bundles/many", access)
        assert len(proxy.sent("GET .*/manifests/sha256:")) <= 101


@pytest.mark.parametrize(
    ("size", "error", "said"),
    [(1 << 30, Unsigned, "has no signature by the key"), (9, ImageRefused, "size"), (0, ImageRefused, "size")],
)
def test_a_registry_that_lies_about_the_size_of_a_signature_is_refused_in_a_line(
    registry: Registry, tmp_path: Path, key: Path, size: int, error: type[ImageRefused], said: str
) -> None:
    files, _ = make()
    name = f"bundles/size{size}"
    registry.push_layout(name, files, "latest")
    entry = signatures(files, (payload(MANIFEST), sign(KEY, payload(MANIFEST))))
    document = json.loads(bytes_of(files[blob_path(str(entry["digest"]))]))
    document["layers"][0]["size"] = size
    push(registry, name, files, entry, "x")
    registry.push_manifest(name, signature_tag(MANIFEST), json.dumps(document).encode(), document["mediaType"])
    with pytest.raises(error, match=said) as caught:
        open_source(f"docker://{registry.host}/{name}", Access(store=str(tmp_path / "store"), verify_key=key))
    assert str(caught.value).isprintable()


def test_a_signature_that_only_the_mirrored_place_has_counts(
    proxy: Proxy, registry: Registry, tmp_path: Path, key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, _ = make()
    registry.push_layout("bundles/upstream", files, "latest")
    registry.push_layout("bundles/mirror", files, "latest")
    entry = signatures(files, (payload(MANIFEST), sign(KEY, payload(MANIFEST))))
    push(registry, "bundles/upstream", files, entry, signature_tag(MANIFEST))
    conf = tmp_path / "registries.conf"
    conf.write_text(f"""
        [[registry]]
        location = "{registry.host}/bundles/upstream"
        [[registry.mirror]]
        location = "{proxy.host}/bundles/mirror"
    """)
    monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(conf))
    reference = f"docker://{registry.host}/bundles/upstream"
    access = Access(store=str(tmp_path / "store"), verify_key=key)
    open_source(reference, access).close()
    assert len(proxy.sent("GET .*/manifests/latest")) == 1
    # One that cannot tell is no reason not to ask the next.
    proxy.faults.append(Fault("GET .*[.]sig", answer=Answer(403, {}, b"")))
    open_source(reference, access).close()
    assert len(proxy.sent("GET .*/manifests/latest")) == 2


@pytest.mark.parametrize(
    ("private", "said"),
    [
        (ec.generate_private_key(ec.SECP224R1()), "is a key on the curve 'secp224r1'; there are ECDSA on P-256"),
        (ec.generate_private_key(ec.SECP256K1()), "curve 'secp256k1'"),
        (ec.generate_private_key(ec.BrainpoolP256R1()), "curve 'brainpoolP256r1'"),
        (rsa.generate_private_key(65537, 1024), "is an RSA key of 1024 bits"),
    ],
    ids=["P-224", "secp256k1", "brainpool", "RSA 1024"],
)
def test_a_key_that_cosign_would_not_take_is_refused_by_its_kind(tmp_path: Path, private: Key, said: str) -> None:
    path = write_public(private, tmp_path / "key")
    with pytest.raises(UsageError, match=said) as caught:
        check(signed(tmp_path, dsse(SAID, sign(private, encoded(SAID)))), path)
    assert str(caught.value).startswith(f"--verify-key: {path}: ")


# Not every version of the library can make one, nor read it.
P192 = """-----BEGIN PUBLIC KEY-----
MEkwEwYHKoZIzj0CAQYIKoZIzj0DAQEDMgAEaiR56CJ/SfurRS0tdrG3ZUQ9rcvw
jlyhFYagBlDXwCQgISSSALIppJ5uGvVcr8gY
-----END PUBLIC KEY-----
"""


def test_a_key_on_a_short_curve_is_refused_whether_it_can_be_read_or_not(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(P192)
    with pytest.raises(UsageError) as caught:
        check(signed(tmp_path, GOOD), path)
    said = str(caught.value).removeprefix(f"--verify-key: {path}: ")
    assert said.startswith(("is a key on the curve 'secp192r1'; there are ", "is no public key in PEM form that can"))
