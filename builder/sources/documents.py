"""Read the small documents of an image whole, within bounds; open blobs so that errors name them."""

from __future__ import annotations

from typing import BinaryIO

from builder.errors import BlobMissing, UnsupportedImage
from builder.image.descriptor import Descriptor
from builder.image.document import MAX_DOCUMENT_SIZE
from builder.image.verifier import verify
from builder.sources.source import Source


def open_named(source: Source, descriptor: Descriptor, what: str) -> BinaryIO:
    """Open a blob; raises BlobMissing, which calls it `what` and says where the source looked."""
    try:
        return source.open(descriptor)
    except BlobMissing as error:
        raise BlobMissing(f"{what}, {error.what}", error.urls) from error


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
    verify(data, descriptor.digest, what, descriptor.size)
    return data


def _too_large(what: str) -> UnsupportedImage:
    return UnsupportedImage(what, f"documents of more than {MAX_DOCUMENT_SIZE} bytes are refused")
