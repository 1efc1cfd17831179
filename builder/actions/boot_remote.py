"""A disk of a registry, here for as long as it runs."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from builder.actions.boot_cache import TEMPORARY
from builder.actions.booting import BootOptions
from builder.actions.remote_disk import remote_disk
from builder.errors import UsageError
from builder.events import Listener, Meter, Stage, ignore
from builder.files.workspace import workspace
from builder.limits import Limits
from builder.output.beside import metadata_path
from builder.output.failures import failures_named
from builder.output.publish import write_atomically
from builder.sources.access import Access


@contextmanager
def fetched_disk(
    reference: str, options: BootOptions, access: Access, limits: Limits, listen: Listener = ignore
) -> Iterator[Path]:
    """Fetch the disk at `reference`, docker://REGISTRY/REPO[:TAG][@DIGEST], and its metadata, until the context ends.

    It is verified before anything starts, in a directory of TMPDIR; what a killed boot left there goes first. Raises
    UsageError for options under which something would be lost, and what `pull_disk` raises.
    """
    if options.writable:
        raise UsageError(
            f"{reference}: what a guest writes to it would be lost; pull it first, or leave out --writable"
        )
    with workspace(Path(tempfile.gettempdir()), "boot", listen) as work:
        with remote_disk(reference, access, limits, listen) as found, failures_named(advice=TEMPORARY):
            # By its name: programs that are started have descriptors of their own.
            disk = Path(os.readlink(work.path), f"disk.{found.artifact.disk.format}")
            record = found.metadata()
            listen(Stage("pulling the disk", found.artifact.layer.size))
            found.fetch(disk, Meter(listen))
            if record is not None:
                write_atomically(metadata_path(disk), record)
        yield disk
