"""Where images come from: one file per transport, and a line in the table below."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from builder.sources.access import Access
from builder.sources.containers_storage import open_containers_storage
from builder.sources.docker_archive import open_docker_archive
from builder.sources.oci import open_oci
from builder.sources.oci_archive import open_oci_archive
from builder.sources.recognise import open_recognised
from builder.sources.reference import Reference, parse_reference
from builder.sources.source import Source
from builder.sources.store import open_store_image


def _open_docker(reference: Reference, access: Access) -> Source:
    # Here, because it imports an HTTP client, which nobody else should wait for.
    from builder.sources.docker.source import open_docker

    return open_docker(reference, access)


# By the name before the first colon of a reference; a plain path has none.
TRANSPORTS: Mapping[str | None, Callable[[Reference, Access], Source]] = {
    "oci": open_oci,
    "oci-archive": open_oci_archive,
    "docker-archive": open_docker_archive,
    "docker": _open_docker,
    "store": open_store_image,
    "containers-storage": open_containers_storage,
    None: open_recognised,
}


def open_source(reference: str, access: Access | None = None) -> Source:
    """Open an image by its reference; the caller closes what it returns.

    Raises InvalidReference, ImageNotFound, MalformedArchive, UnsafeFile, SourceUnreadable, MissingRequirement.
    """
    parsed = parse_reference(reference)
    return TRANSPORTS[parsed.transport](parsed, access or Access())
