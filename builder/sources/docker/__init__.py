"""`docker://`: an image in a registry, kept in the image store on its way."""

from __future__ import annotations

from builder.sources.access import Access, Means
from builder.sources.source import Source
from builder.sources.transport import Reference, Transport


def _open(reference: Reference, access: Access, means: Means) -> Source:
    # Here, because it imports an HTTP client, which nobody else should wait for.
    from builder.sources.docker.source import open_docker

    return open_docker(reference, access, means)


DOCKER = Transport(
    "docker",
    ("docker://NAME[:TAG][@DIGEST]",),
    "an image in a registry",
    _open,
    named=True,
    remote=True,
    fills_store=True,
)
