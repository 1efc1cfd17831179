"""Signatures as cosign makes them, written independently of builder/."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from support.images import OCI, Files, Made, Spec, add_blob, blob_path, bytes_of, dumps, index_bytes, layout_files
from support.tars import file, tar

from builder.sources import open_source
from builder.sources.access import Access

BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
ATTACHED = "application/vnd.dev.cosign.artifact.sig.v1+json"

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey

SPEC = Spec((tar(file("a", b"1")),))
KEY = ec.generate_private_key(ec.SECP256R1())
OTHER = ec.generate_private_key(ec.SECP256R1())


def make() -> tuple[Files, Made]:
    """Make a layout of one image, to be signed."""
    files, (made,) = layout_files(SPEC)
    return files, made


def check(reference: str, key: Path) -> None:
    """Open an image whose signature by a key is asked for."""
    open_source(reference, Access(verify_key=key)).close()


def payload(digest: str, type: str = "cosign container image signature") -> bytes:
    critical = {"identity": {"docker-reference": ""}, "image": {"docker-manifest-digest": digest}, "type": type}
    return dumps({"critical": critical, "optional": None})


def sign(key: Key, data: bytes) -> bytes:
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.sign(data, ec.ECDSA(hashes.SHA256()))
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(data, padding.PKCS1v15(), hashes.SHA256())
    return key.sign(data)


def write_public(key: Key, path: Path) -> Path:
    path.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return path


def signature_tag(digest: str) -> str:
    return digest.replace(":", "-") + ".sig"


def signatures(files: Files, *signed: tuple[bytes, bytes | str]) -> dict[str, object]:
    """Put a manifest of signatures into a layout, of payloads each with its signature; returns its descriptor."""
    config = add_blob(files, b"{}", OCI + "config.v1+json")
    layers = []
    for data, signature in signed:
        text = base64.b64encode(signature).decode() if isinstance(signature, bytes) else signature
        layer = add_blob(files, data, "application/vnd.dev.cosign.simplesigning.v1+json")
        layers.append({**layer, "annotations": {"dev.cosignproject.cosign/signature": text}})
    kind = OCI + "manifest.v1+json"
    return add_blob(files, dumps({"schemaVersion": 2, "mediaType": kind, "config": config, "layers": layers}), kind)


def attached(files: Files, digest: str, *signed: tuple[bytes, bytes | str]) -> dict[str, object]:
    """Put such a manifest that refers to `digest` into a layout, as `cosign sign --registry-referrers-mode=oci-1-1`."""
    entry = signatures(files, *signed)
    fields = json.loads(bytes_of(files[blob_path(str(entry["digest"]))]))
    fields["config"]["mediaType"] = ATTACHED
    fields["subject"] = {"mediaType": fields["mediaType"], "digest": digest, "size": 1}
    return {**add_blob(files, dumps(fields), fields["mediaType"]), "artifactType": ATTACHED}


def statement(digest: str, predicate_type: str = "https://sigstore.dev/cosign/sign/v1") -> bytes:
    """An in-toto statement, as `cosign sign` makes one of an image."""
    algorithm, _, value = digest.partition(":")
    subject = [{"digest": {algorithm: value}, "annotations": {}}]
    kind = "https://in-toto.io/Statement/v1"
    return dumps({"_type": kind, "subject": subject, "predicateType": predicate_type, "predicate": {}})


def encoded(payload: bytes, kind: str = "application/vnd.in-toto+json") -> bytes:
    """What DSSE has signed (PAE)."""
    return b" ".join([b"DSSEv1", str(len(kind)).encode(), kind.encode(), str(len(payload)).encode(), payload])


def dsse(payload: bytes, *signatures: bytes, kind: str = "application/vnd.in-toto+json") -> bytes:
    """A sigstore bundle with a statement."""
    signed = [{"sig": base64.b64encode(each).decode(), "keyid": ""} for each in signatures]
    text = base64.b64encode(payload).decode()
    return bundle({"dsseEnvelope": {"payload": text, "payloadType": kind, "signatures": signed}})


def message(data: bytes, signature: bytes) -> bytes:
    """A sigstore bundle with a signature of bytes that it has not."""
    digest = base64.b64encode(hashlib.sha256(data).digest()).decode()
    said = {"messageDigest": {"algorithm": "SHA2_256", "digest": digest}}
    return bundle({"messageSignature": {**said, "signature": base64.b64encode(signature).decode()}})


def bundle(content: dict[str, object]) -> bytes:
    material = {"publicKey": {"hint": "hint"}, "tlogEntries": []}
    return dumps({"mediaType": BUNDLE, "verificationMaterial": material, **content})


def bundled(files: Files, digest: str, *bundles: bytes) -> dict[str, object]:
    """Put a manifest that refers to `digest` and has bundles into a layout; returns its entry for an index."""
    config = add_blob(files, b"{}", "application/vnd.oci.empty.v1+json")
    layers = [add_blob(files, each, BUNDLE) for each in bundles]
    kind = OCI + "manifest.v1+json"
    subject = {"mediaType": kind, "digest": digest, "size": 1}
    fields = {"schemaVersion": 2, "mediaType": kind, "artifactType": BUNDLE, "config": config, "layers": layers}
    return {**add_blob(files, dumps({**fields, "subject": subject}), kind), "artifactType": BUNDLE}


def add_entry(files: Files, entry: dict[str, object], annotations: dict[str, str]) -> None:
    """Put an entry into a layout's index.json."""
    entries = json.loads(bytes_of(files["index.json"]))["manifests"]
    files["index.json"] = index_bytes([*entries, {**entry, "annotations": annotations}])
