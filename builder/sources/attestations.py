"""What others attest of an image, such as how it was built: in-toto statements, as BuildKit keeps them.

They are in manifests that the image's index names beside it (BuildKit, "Image attestation storage"). Nothing here
vouches for them but the index; they are handed on as they are.
"""

from __future__ import annotations

from codecs import iterdecode
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from builder.errors import ImageRefused, MalformedDocument, UnsupportedImage
from builder.events import Listener, Notice
from builder.image.attestation import parse_attestations
from builder.image.descriptor import Descriptor
from builder.image.image import Image
from builder.image.verifier import verify
from builder.sources.documents import open_named, read_verified
from builder.sources.source import Source
from builder.words import legible

STATEMENT = "application/vnd.in-toto+json"
PREDICATE_TYPE = "in-toto.io/predicate-type"

# Each costs a request; BuildKit makes one manifest of an image, with two statements.
MAX_MANIFESTS, MAX_STATEMENTS = 10, 100
# In bytes, of all of an image: lists of packages with all their files have a few million.
MAX_SIZE = 128 << 20
_PIECE = 1 << 16


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement: its blob, and the type of what it states."""

    descriptor: Descriptor
    predicate_type: str


class _Object(msgspec.Struct):
    """Any JSON object: what is in it is read, and kept nowhere, for in Python it would have twenty times the size."""


@dataclass(frozen=True, slots=True)
class Attested:
    """What is attested of an image: `manifests` that hold `statements`; `lines` are those themselves, one each."""

    manifests: tuple[Descriptor, ...] = ()
    statements: tuple[Statement, ...] = ()
    lines: bytes = b""


NOTHING = Attested()


def read_attestations(source: Source, image: Image, listen: Listener, *, whole: bool) -> Attested:
    """Read which statements there are of an image, and, if they are wanted `whole`, those themselves.

    Where only their names are wanted, what cannot be read is said and left out: no disk depends on it. Else raises
    ImageRefused, and in any case what the source does.
    """
    if len(image.attestations) > MAX_MANIFESTS:
        reason = f"its index has more than {MAX_MANIFESTS} manifests of attestations, which are refused"
        refused = UnsupportedImage(image.reference, reason)
        if whole:
            raise refused
        listen(Notice(f"{refused}; none is named"))
        return NOTHING
    statements: list[Statement] = []
    for manifest in image.attestations:
        try:
            statements += _statements(source, image, manifest)
        except ImageRefused as error:
            if whole:
                raise
            listen(Notice(f"{error}; what it holds is not named"))
    if not whole:
        return Attested(image.attestations, tuple(statements))
    if not statements:
        listen(Notice(f"{image.reference}: its index names nothing that is attested of it"))
    return Attested(image.attestations, tuple(statements), b"".join(_lines(source, image, statements)))


def _statements(source: Source, image: Image, manifest: Descriptor) -> Iterator[Statement]:
    name = f"{image.reference}: attestations {manifest.digest}"
    data = read_verified(open_named(source, manifest, name), manifest, name)
    _, layers = parse_attestations(data, name)
    if len(layers) > MAX_STATEMENTS:
        raise UnsupportedImage(name, f"more than {MAX_STATEMENTS} statements are refused")
    for layer in layers:
        if layer.media_type == STATEMENT:
            yield Statement(layer, legible(layer.annotations.get(PREDICATE_TYPE, ""), 200))


def _lines(source: Source, image: Image, statements: list[Statement]) -> Iterator[bytes]:
    """Give each statement as a line."""
    left = MAX_SIZE
    for statement in statements:
        descriptor = statement.descriptor
        name = f"{image.reference}: attestation {descriptor.digest}"
        left -= descriptor.size
        if left < 0:
            raise UnsupportedImage(name, f"with it, attestations have more than {MAX_SIZE} bytes, which are refused")
        with open_named(source, descriptor, name) as file:
            # One byte more shows that there are more.
            data = file.read(descriptor.size + 1)
        verify(data, descriptor.digest, name, descriptor.size)
        yield _line(data, name)


def _line(data: bytes, name: str) -> bytes:
    """Write a JSON object as one line: outside of strings, line ends are space, and in strings JSON has none."""
    try:
        # It looks into no text that it does not keep. In pieces: a single emoji makes a text
        # of four times the size.
        pieces = (data[start : start + _PIECE] for start in range(0, len(data), _PIECE))
        deque(iterdecode(pieces, "utf-8"), maxlen=0)
        msgspec.json.decode(data, type=_Object)
    except (ValueError, RecursionError) as error:
        raise MalformedDocument(name, "$", "is no JSON object") from error
    return data.replace(b"\r", b" ").replace(b"\n", b" ").strip() + b"\n"
