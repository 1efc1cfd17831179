"""Signatures of images and disks, as cosign and skopeo put them beside an image.

Those by a plain key, in both forms: a payload that names the digest of a manifest or an index (cosign, "Signature
Specification"), under a tag or in what refers to that; and a sigstore bundle that refers to it (cosign, "Bundle
Specification"; sigstore bundle v0.3), with a signature of the manifest's bytes, or of a statement that says as much
(DSSE; in-toto). Certificates, transparency logs and timestamps are not looked at; whoever names a key trusts that.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from builder.errors import ImageRefused, InvalidDigest, UsageError
from builder.image.descriptor import Descriptor, DescriptorFields, read_descriptor
from builder.image.digest import Digest
from builder.image.document import read_document
from builder.image.shape import Remarks, convert_part
from builder.sources.documents import read_verified
from builder.sources.keys import Key, read_key
from builder.sources.source import BUNDLE, Beside, Signed, Source
from builder.words import quoted

PAYLOAD = "application/vnd.dev.cosign.simplesigning.v1+json"
SIGNATURE = "dev.cosignproject.cosign/signature"
TYPE = "cosign container image signature"
# What a statement says of an image that is signed. The same key signs other things of it, such as faults found in it.
SIGNED = "https://sigstore.dev/cosign/sign/v1"
STATEMENT = "application/vnd.in-toto+json"

_MAX_PAYLOAD = 1 << 16
# Each may cost a request; real images have a handful.
_MAX_SIGNATURES = 100


class Unsigned(ImageRefused):
    """No signature of a manifest is by the key that was asked for; `other` counts those that are not."""

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


class _Signature(msgspec.Struct):
    sig: str


class _Envelope(msgspec.Struct, rename="camel"):
    payload: str
    payload_type: str
    signatures: list[_Signature]


class _Message(msgspec.Struct):
    signature: str


class _Bundle(msgspec.Struct, rename="camel"):
    dsse_envelope: _Envelope | None = None
    message_signature: _Message | None = None


class _Subject(msgspec.Struct):
    digest: dict[str, str]


class _Statement(msgspec.Struct, rename="camel"):
    predicate_type: str
    subject: list[_Subject]


@dataclass(frozen=True, slots=True)
class Signable:
    """A manifest or an index that may be signed: its digest, how to `read` it, and the manifests `beside` it."""

    digest: Digest
    read: Callable[[], bytes]
    beside: Iterable[Beside | ImageRefused]


# What was signed, the signature, and what tells of which digest it says that it is signed.
_Claim = tuple[bytes, bytes, Callable[[], "set[Digest]"]]
_T = TypeVar("_T")


def check_signature(source: Source, reference: str, key: Path) -> None:
    """See that what `reference` names, a manifest or an index, has a signature by the public key in the file `key`.

    Raises what `check_signed` raises; UsageError for a key that cannot be used, and for a source that has no
    signatures; MissingRequirement; and what the source does.
    """
    signed_by = read_key(key)
    if not isinstance(source, Signed):
        places = "a registry (docker://) or in an OCI layout (oci:, oci-archive:)"
        raise UsageError(f"--verify-key: {reference}: signatures can be had of an image in {places} only")
    root = source.root()
    if not isinstance(root, Descriptor):
        reason = "it names an image for each of several platforms, and none for all; name one with @DIGEST"
        raise UsageError(f"--verify-key: {reference}: {reason}")

    def read() -> bytes:
        return read_verified(source.open(root), root, reference)

    check_signed(Signable(root.digest, read, source.signatures(root.digest)), reference, signed_by)


def check_signed(document: Signable, reference: str, key: Key) -> None:
    """See that what `reference` names has a signature by the key.

    Raises Unsigned, or in its place the error of the first signature that cannot be read; and what reading raises.
    """
    name = f"{reference}: signatures of {document.digest}"
    other, refused = 0, list[ImageRefused]()
    for data, signature, said in _claims(document, name, refused):
        try:
            if key.is_by(signature, data) and document.digest in said():
                return
        except ImageRefused as error:
            _note(error, refused)
        other += 1
    raise refused[0] if refused else Unsigned(reference, document.digest, key.path, other)


def _claims(document: Signable, name: str, refused: list[ImageRefused]) -> Iterator[_Claim]:
    """Yield what is signed, none of it verified; what is refused of it goes to `refused`, and hides nothing behind."""
    left = _MAX_SIGNATURES
    # A manifest without a signature costs as much as one with many.
    for beside in islice(document.beside, _MAX_SIGNATURES):
        if isinstance(beside, ImageRefused):
            _note(beside, refused)
            continue
        for layer in _unless_refused(_layers(beside.data, name), refused):
            if layer.media_type not in (PAYLOAD, BUNDLE) or layer.size > _MAX_PAYLOAD:
                continue
            left -= 1
            if left < 0:
                return
            yield from _unless_refused(_of_layer(layer, beside, document, name), refused)


def _unless_refused(items: Iterator[_T], refused: list[ImageRefused]) -> Iterator[_T]:
    """Yield what comes before an error, if there is one."""
    try:
        yield from items
    except ImageRefused as error:
        _note(error, refused)


def _note(error: ImageRefused, refused: list[ImageRefused]) -> None:
    # The first alone: an error holds the document that it is of, which may be large.
    if not refused:
        refused.append(error)


def _layers(manifest: bytes, name: str) -> Iterator[Descriptor]:
    for number, fields in enumerate(_read(manifest, _Manifest, name).layers or ()):
        yield read_descriptor(fields, name, f"$.layers[{number}]")


def _of_layer(layer: Descriptor, beside: Beside, document: Signable, name: str) -> Iterator[_Claim]:
    data = read_verified(beside.open(layer), layer, f"{name}: payload")
    if layer.media_type == PAYLOAD:
        signature = _decoded(layer.annotations.get(SIGNATURE, ""))
        yield data, signature, lambda: _of_payload(data, name)
    else:
        yield from _of_bundle(_read(data, _Bundle, name), document, name)


def _of_bundle(bundle: _Bundle, document: Signable, name: str) -> Iterator[_Claim]:
    if bundle.message_signature is not None:
        yield document.read(), _decoded(bundle.message_signature.signature), lambda: {document.digest}
    envelope = bundle.dsse_envelope
    # By sigstore's bundle, it has one signature.
    if envelope is not None and envelope.payload_type == STATEMENT and len(envelope.signatures) == 1:
        payload = _decoded(envelope.payload)
        # DSSE 1.0, "PAE".
        data = b"DSSEv1 %d %s %d %s" % (len(STATEMENT), STATEMENT.encode(), len(payload), payload)
        yield data, _decoded(envelope.signatures[0].sig), lambda: _of_statement(payload, name)


def _of_payload(data: bytes, name: str) -> set[Digest]:
    """Tell which digest a payload signs, if it is one of an image; the name in it is ignored, as the spec has it."""
    critical = _read(data, _Payload, name).critical
    return _digests([critical.image.digest] if critical.type == TYPE else [])


def _of_statement(data: bytes, name: str) -> set[Digest]:
    statement = _read(data, _Statement, name)
    if statement.predicate_type != SIGNED:
        return set()
    return _digests([f"{algorithm}:{value}" for each in statement.subject for algorithm, value in each.digest.items()])


def _digests(texts: list[str]) -> set[Digest]:
    found = set()
    for text in texts:
        try:
            found.add(Digest.parse(text))
        except InvalidDigest:
            continue
    return found


def _read(data: bytes, shape: type[Any], name: str) -> Any:
    return convert_part(read_document(data, name), shape, name, "$", Remarks())


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
