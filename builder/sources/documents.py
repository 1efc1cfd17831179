"""Read the small documents of an image whole, within bounds."""

from __future__ import annotations

from typing import BinaryIO

from builder.errors import DigestMismatch, SizeMismatch, UnsupportedImage
from builder.image.descriptor import Descriptor
from builder.image.digest import Digest
from builder.image.document import MAX_DOCUMENT_SIZE


def read_bounded(file: BinaryIO, what: str) -> bytes:
    """Read a document and close it; raises UnsupportedImage past MAX_DOCUMENT_SIZE bytes. `what` names it."""
    with file:
        data = file.read(MAX_DOCUMENT_SIZE + 1)
    if len(data) > MAX_DOCUMENT_SIZE:
        raise _too_large(what)
    return data


def read_verified(file: BinaryIO, descriptor: Descriptor, what: str) -> bytes:
    """Read the document that `descriptor` describes and close it.

    Raises UnsupportedImage past MAX_DOCUMENT_SIZE bytes, SizeMismatch, DigestMismatch; `what` names it.
    """
    with file:
        if descriptor.size > MAX_DOCUMENT_SIZE:
            raise _too_large(what)
        # One byte more shows that there are more; how many does not matter.
        data = file.read(descriptor.size + 1)
    if len(data) != descriptor.size:
        raise SizeMismatch(what, descriptor.size, len(data))
    actual = Digest.of(data, descriptor.digest.algorithm)
    if actual != descriptor.digest:
        raise DigestMismatch(what, str(descriptor.digest), str(actual))
    return data


def _too_large(what: str) -> UnsupportedImage:
    return UnsupportedImage(what, f"documents of more than {MAX_DOCUMENT_SIZE} bytes are refused")
