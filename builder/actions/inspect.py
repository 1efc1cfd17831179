"""What disks of an image take, found out by making them."""

from __future__ import annotations

from contextlib import closing, suppress
from dataclasses import dataclass

from builder.actions.confinement import LATE, confine_documents, confine_reading
from builder.actions.merge import merge
from builder.actions.opening import disk_options, open_image, temporary_directory
from builder.disk import FILESYSTEMS
from builder.disk.filesystem import DiskFacts
from builder.errors import MissingRequirement
from builder.events import Listener, Stage, ignore
from builder.files.removal import remove_tree
from builder.image.image import Image
from builder.options import BuildOptions
from builder.sandbox.policy import policy
from builder.sources.resolve import resolve
from builder.tree.spool import open_spool


@dataclass(frozen=True, slots=True)
class Survey:
    """What a disk of an image takes: names in its tree, and one finished disk's facts per format."""

    image: Image
    entries: int
    disks: tuple[DiskFacts, ...]


def describe(reference: str, options: BuildOptions | None = None, listen: Listener = ignore) -> Image:
    """Say what the image at `reference` is, by its documents. Raises BuilderError."""
    options = options or BuildOptions()
    with policy(options.sandbox), closing(open_image(reference, options, None, listen)) as source:
        confine_documents(source, reference, options)
        return resolve(source, reference, options.platform, listen)


def survey(reference: str, options: BuildOptions | None = None, listen: Listener = ignore) -> Survey:
    """Read the image at `reference` to its end, verify it, and find out what disks of it take by making them.

    The disks are thrown away. Formats whose tools are missing here are left out. Raises BuilderError.
    """
    options = options or BuildOptions()
    with policy(options.sandbox), temporary_directory(options, "survey", listen) as (scratch, room):
        with closing(open_image(reference, options, scratch, listen)) as source, open_spool(scratch) as spool:
            image = resolve(source, reference, options.platform, listen)
            confine_reading(source, reference, options, room, late=["builder.disk.content", *LATE.values()])
            tree = merge(source, image, spool, options, listen)
            disks = []
            for name, filesystem in FILESYSTEMS.items():
                place = scratch / name
                place.mkdir()
                with suppress(MissingRequirement):
                    filesystem.check(options.disk)
                    listen(Stage(f"measuring {name}"))
                    facts = filesystem.pack(
                        tree, spool, disk_options(options, image.identity), place, place / "disk", listen
                    )
                    disks.append(facts)
                remove_tree(place)
    return Survey(image, sum(1 for _ in tree.walk()) + 1, tuple(disks))
