"""Signatures as cosign makes them, written independently of builder/."""

from __future__ import annotations

import base64
import json
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from support.images import OCI, Files, add_blob, bytes_of, dumps, index_bytes

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


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


def add_entry(files: Files, entry: dict[str, object], annotations: dict[str, str]) -> None:
    """Put an entry into a layout's index.json."""
    entries = json.loads(bytes_of(files["index.json"]))["manifests"]
    files["index.json"] = index_bytes([*entries, {**entry, "annotations": annotations}])
