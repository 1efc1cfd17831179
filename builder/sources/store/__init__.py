"""`store:NAME[:TAG]`, `store:NAME@DIGEST`: an image in this tool's own store."""

from __future__ import annotations

from builder.sources.access import Access, Means
from builder.sources.source import Source
from builder.sources.transport import Reference, Transport


def _open(reference: Reference, access: Access, means: Means) -> Source:
    # Here, because nobody else should wait for all that knows the store.
    from builder.sources.store.source import open_store_image

    return open_store_image(reference, access, means.listen)


STORE = Transport(
    "store",
    ("store:NAME[:TAG]", "store:NAME@DIGEST"),
    "this tool's own store, see `store --help`",
    _open,
    named=True,
)
