"""The table of transports: one file each, and one line here."""

from __future__ import annotations

from collections.abc import Mapping

from builder.sources.containers_storage import CONTAINERS_STORAGE
from builder.sources.dir import DIR
from builder.sources.docker import DOCKER
from builder.sources.docker_archive import DOCKER_ARCHIVE
from builder.sources.oci import OCI
from builder.sources.oci_archive import OCI_ARCHIVE
from builder.sources.store import STORE
from builder.sources.transport import Transport

# By the name before the first colon of a reference. Of two layouts that files match, the first is taken: what is both
# an image layout and what `docker save` writes, as newer Docker has it, keeps the image's own manifest as the first.
TRANSPORTS: Mapping[str, Transport] = {
    each.name: each for each in (OCI, OCI_ARCHIVE, DIR, DOCKER_ARCHIVE, DOCKER, STORE, CONTAINERS_STORAGE)
}
