"""Signatures of images, as cosign and skopeo put them beside an image (cosign, "Signature Specification").

Those of the simple kind: a payload that names the digest of a manifest or an index, signed with a key. Certificates,
transparency logs and bundles are not looked at; whoever names a key trusts that.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec

from builder.errors import ImageRefused, InvalidDigest, MissingRequirement, UsageError
from builder.image.descriptor import Descriptor, DescriptorFields, read_descriptor
from builder.image.digest import Digest
from builder.image.document import read_document
from builder.image.shape import LENIENT, Remarks, convert_part
from builder.sources.documents import read_verified
from builder.sources.source import Signed, Source
from builder.words import quoted

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

PAYLOAD = "application/vnd.dev.cosign.simplesigning.v1+json"
SIGNATURE = "dev.cosignproject.cosign/signature"
TYPE = "cosign container image signature"

_MAX_KEY = 1 << 16
_MAX_PAYLOAD = 1 << 16
# Each may cost a request; real images have a handful.
_MAX_SIGNATURES = 100
# In bits. NIST SP 800-57 has had no use for less since 2013.
_LEAST_RSA = 2048

# Raises InvalidSignature for what a key has not signed.
_Verify = Callable[[bytes, bytes], None]


class Unsigned(ImageRefused):
    """No signature of an image is by the key that was asked for; `other` counts those that are not."""

    def __init__(self, reference: str, digest: Digest, key: Path, other: int) -> None:
        others = f"; of {other} by others none counts" if other else ""
        super().__init__(f"{reference}: {digest} has no signature by the key {quoted(str(key))}{others}")
        self.digest = digest
        self.other = other


class _Manifest(msgspec.Struct):
    layers: list[DescriptorFields] | None = None


class _Image(msgspec.Struct):
    digest: str = msgspec.field(name="docker-manifest-digest")


class _Critical(msgspec.Struct):
    image: _Image
    type: str


class _Payload(msgspec.Struct):
    critical: _Critical
    optional: Annotated[dict[str, object] | None, LENIENT] = None


def check_signature(source: Source, reference: str, key: Path) -> None:
    """See that what `reference` names, a manifest or an index, has a signature by the public key in the file `key`.

    Raises Unsigned; UsageError for a key that cannot be used, and for a source that has no signatures;
    MissingRequirement; and what the source does.
    """
    verify = _read_key(key)
    if not isinstance(source, Signed):
        places = "a registry (docker://) or in an OCI layout (oci:, oci-archive:)"
        raise UsageError(f"--verify-key: {reference}: signatures can be had of an image in {places} only")
    root = source.root()
    if not isinstance(root, Descriptor):
        reason = "it names an image for each of several platforms, and none for all; name one with @DIGEST"
        raise UsageError(f"--verify-key: {reference}: {reason}")
    other = 0
    for payload, signature in _signatures(source, root.digest, reference):
        if _is_by(verify, payload, signature) and _signed_digest(payload, reference) == root.digest:
            return
        other += 1
    raise Unsigned(reference, root.digest, key, other)


def _signatures(source: Source, digest: Digest, reference: str) -> Iterator[tuple[bytes, bytes]]:
    """Yield payloads with their signatures, none of them verified."""
    assert isinstance(source, Signed)
    left = _MAX_SIGNATURES
    # A manifest without a signature costs as much as one with many.
    for data in islice(source.signatures(digest), _MAX_SIGNATURES):
        name = f"{reference}: signatures of {digest}"
        manifest = convert_part(read_document(data, name), _Manifest, name, "$", Remarks())
        for number, fields in enumerate(manifest.layers or ()):
            layer = read_descriptor(fields, name, f"$.layers[{number}]")
            if layer.media_type != PAYLOAD or layer.size > _MAX_PAYLOAD:
                continue
            left -= 1
            if left < 0:
                return
            yield read_verified(source.open(layer), layer, f"{name}: payload"), _decoded(layer)


def _decoded(layer: Descriptor) -> bytes:
    try:
        return base64.b64decode(layer.annotations.get(SIGNATURE, ""), validate=True)
    except (binascii.Error, ValueError):
        return b""


def _signed_digest(payload: bytes, reference: str) -> Digest | None:
    """Tell which digest a payload signs, if it is one of an image; the name in it is ignored, as the spec has it."""
    name = f"{reference}: payload of a signature"
    critical = convert_part(read_document(payload, name), _Payload, name, "$", Remarks()).critical
    try:
        return Digest.parse(critical.image.digest) if critical.type == TYPE else None
    except InvalidDigest:
        return None


def _is_by(verify: _Verify, payload: bytes, signature: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature

    try:
        verify(signature, payload)
    except InvalidSignature:
        return False
    return True


def _read_key(path: Path) -> _Verify:
    """Read a public key in PEM form; raises UsageError for what is none, MissingRequirement without `cryptography`."""
    try:
        # Here, because nobody else needs it, and it is not always there.
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.serialization import load_pem_public_key
    except ImportError as error:
        raise MissingRequirement(f"{error}: --verify-key needs pip install 'rootfs-builder[verify]'") from error
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_KEY)
    except OSError as error:
        raise UsageError(f"--verify-key: {path}: cannot be read: {error.strerror or error}") from error
    try:
        return _verifier(load_pem_public_key(data))
    except (ValueError, UnsupportedAlgorithm) as error:
        reason = "is no public key in PEM form that can be used: ECDSA, RSA of 2048 bits or more, or Ed25519"
        raise UsageError(f"--verify-key: {path}: {reason}") from error


def _verifier(key: PublicKeyTypes) -> _Verify:
    """Take a key as cosign does: SHA-256 for all but Ed25519, PKCS #1 v1.5 for RSA. Raises ValueError for others."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
    from cryptography.hazmat.primitives.hashes import SHA256

    if isinstance(key, ec.EllipticCurvePublicKey):
        curve = key
        return lambda signature, payload: curve.verify(signature, payload, ec.ECDSA(SHA256()))
    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= _LEAST_RSA:
        modulus = key
        return lambda signature, payload: modulus.verify(signature, payload, padding.PKCS1v15(), SHA256())
    if isinstance(key, ed25519.Ed25519PublicKey):
        return key.verify
    raise ValueError("unsupported key")
