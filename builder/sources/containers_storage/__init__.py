"""`containers-storage:`: an image in the store of podman, buildah or CRI-O."""

from __future__ import annotations

from builder.sources.access import Access, Means
from builder.sources.source import Source
from builder.sources.transport import Reference, Transport


def _open(reference: Reference, _access: Access, means: Means) -> Source:
    # Here, because nobody else should wait for all that knows podman's store.
    from builder.sources.containers_storage.source import open_containers_storage

    return open_containers_storage(reference, means)


CONTAINERS_STORAGE = Transport(
    "containers-storage",
    ("containers-storage:NAME-or-ID",),
    "podman's store; also [overlay@ROOT]NAME",
    _open,
    named=True,
)
