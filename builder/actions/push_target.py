"""Where a disk goes in a registry: its name there, and the repository that takes it."""

from __future__ import annotations

from contextlib import ExitStack, closing, suppress

from builder.errors import InvalidReference
from builder.events import Listener, ignore
from builder.image.name import ImageName
from builder.output.schema import HandedImage
from builder.registry.repository import Repository
from builder.sources.access import Access
from builder.sources.docker import DOCKER
from builder.sources.docker.repositories import open_repositories
from builder.sources.reference import parse_reference
from builder.sources.transport import Reference


def check_target(reference: str) -> ImageName:
    """See that a reference names a place for a disk, without asking the registry. Raises InvalidReference."""
    with ExitStack() as stack:
        return open_target(reference, None, Access(), ignore, stack)[0]


def open_target(
    reference: str, image: HandedImage | None, access: Access, listen: Listener, stack: ExitStack
) -> tuple[ImageName, Repository, str | None]:
    """Open where a disk goes: its name, its repository until the stack ends, and one there whose blobs might be taken.

    Raises InvalidReference.
    """
    parsed = parse_reference(reference)
    if parsed.transport is not DOCKER:
        raise InvalidReference(reference, "disks are pushed to registries: write docker://REGISTRY/REPO:TAG")
    source = _beside(parsed, image)
    beside = (source,) if source else ()
    name, repositories = open_repositories(parsed, access.registry, listen, push=True, beside=beside)
    for each in repositories:
        stack.enter_context(closing(each))
    if name.digest is not None or name.tag is None:
        raise InvalidReference(reference, "a disk is pushed under a tag: write docker://REGISTRY/REPO:TAG")
    return name, repositories[-1], source


def _beside(target: Reference, image: HandedImage | None) -> str | None:
    """Name the repository that the image of a disk is in, if the disk goes to another one of the same registry.

    Disks are pushed there, too, and are handed on from there.
    """
    if image is None or not image.reference.startswith("docker://"):
        return None
    with suppress(InvalidReference):
        there = ImageName.parse(image.reference.removeprefix("docker://")).qualified()
        here = ImageName.parse(target.place.removeprefix("//")).qualified()
        return there.path if there.domain == here.domain and there.path != here.path else None
    return None
