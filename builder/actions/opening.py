"""How every verb that reads an image begins: a place for temporary files, and the source opened with it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path

from builder.actions.confinement import Places
from builder.disk.filesystem import DiskOptions
from builder.errors import BuilderError
from builder.events import Listener
from builder.files.workspace import Workspace, workspace
from builder.image.image import Image
from builder.options import BuildOptions
from builder.output.failures import failures_named
from builder.sources import open_source
from builder.sources.access import Means
from builder.sources.attestations import NOTHING, Attested, read_attestations
from builder.sources.shared import Shared
from builder.sources.source import Source


def open_image(
    reference: str, options: BuildOptions, scratch: Path | None, listen: Listener, shared: Shared | None = None
) -> Source:
    """Open the image at `reference` with the build's own scratch directory, listener and limits."""
    return open_source(reference, options.access, Means(scratch, listen, options.limits, shared=shared))


def read_attested(source: Source, image: Image, options: BuildOptions, listen: Listener) -> Attested:
    """Read what others attest of an image, as far as it is to be handed on."""
    if options.provenance is None and options.attestations is None:
        return NOTHING
    return read_attestations(source, image, listen, whole=options.attestations is not None)


def disk_options(options: BuildOptions, seed: bytes) -> DiskOptions:
    """Tell the disk stage what concerns it; `seed` stands for the content."""
    # Not 0: mke2fs takes that for "now". Not negative: superblocks cannot hold it.
    return replace(options.disk, seed=seed, epoch=max(1, options.source_date_epoch or 1))


@contextmanager
def scratch_directory(options: BuildOptions, beside: Workspace, listen: Listener) -> Iterator[Path]:
    """Choose where temporary files go: the directory asked for, or the one beside the output."""
    chosen = workspace(options.tmpdir, "work", listen) if options.tmpdir else nullcontext(beside)
    with chosen as scratch, failures_named(scratch.path):
        yield scratch.path


@contextmanager
def temporary_directory(options: BuildOptions, verb: str, listen: Listener) -> Iterator[tuple[Path, Places]]:
    """Make a directory for temporary files, and say which places a confined process needs for it."""
    place = options.tmpdir or Path(tempfile.gettempdir())
    with workspace(place, verb, listen) as work, failures_named(work.path):
        yield work.path, Places(changed=[work.path], left=[place])


def own_scratch(tmpdir: Path | None, verb: str, listen: Listener, stack: ExitStack) -> tuple[Path | None, Places]:
    """Make a directory for temporary files, until the stack ends, and say which places a confined process needs for it.

    Where none can be made, this gives `tmpdir` back: whoever needs the room, as few do, says what is wrong.
    """
    place = tmpdir or Path(tempfile.gettempdir())
    with suppress(BuilderError):
        work = stack.enter_context(workspace(place, verb, listen)).path
        return work, Places(changed=[work], left=[place])
    return tmpdir, Places()
