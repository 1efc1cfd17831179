"""Which disks are up to date, by a build's own rules; nothing is built or changed.

For many images at once: what several have in common is read once, and so are files that are added to several.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Self

from builder.actions.companions import render
from builder.actions.opening import open_image, read_attested
from builder.actions.plan import FORCED, Plan, check_outputs, choose, plan
from builder.additions.survey import Surveyed, survey
from builder.disk.digest import disk_digest
from builder.events import Event, Listener, Notice
from builder.image.image import Image, Layer
from builder.image.verifier import Verifier
from builder.options import BuildOptions
from builder.output.checks import resolve_output
from builder.output.failures import failures_named
from builder.output.known_disk import NO_DISK, KnownDisk
from builder.sources.attestations import Attested
from builder.sources.reference import parse_reference
from builder.sources.resolve import find_image
from builder.sources.shared import Once, Shared
from builder.sources.source import Source, is_rebuilt

# Why a disk is built anew that looks as it was left: bytes of it are others.
DAMAGED = "disk is not what its digest says"

_READ_SIZE = 1 << 20


@dataclass(frozen=True, slots=True)
class Standing:
    """What was found: `known` is a disk that is up to date; where there is none, `reason` says why, in a few words.

    `notices` are what a build would have said.
    """

    reason: str | None = None
    known: KnownDisk | None = None
    image: Image | None = None
    notices: tuple[str, ...] = ()


class Lookout:
    """Looks at the disks of many images; threads may share it. With `verify`, it reads bytes that it else trusts."""

    def __init__(self, *, verify: bool = False) -> None:
        self._verify = verify
        self._shared = Shared()
        self._images: Once[tuple[Image, Attested, tuple[str, ...]]] = Once()
        self._surveys: Once[tuple[Surveyed, ...]] = Once()
        self._verified: Once[None] = Once()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._shared.close()

    def look(self, reference: str, output: Path, options: BuildOptions) -> Standing:
        """Say whether a build would leave `output` as it is, and all that goes with it.

        An image is looked at only where a disk is. With `verify`, so are the bytes of the disk, and those of layers on
        this machine. Raises what a build would: BuilderError.
        """
        with failures_named():
            if not output.exists():
                return Standing(NO_DISK)
        if options.force:
            return Standing(FORCED)
        options, _, tools = choose(output, options)
        with failures_named():
            check_outputs(output, options)
            target = resolve_output(output)
        image, attested, said = self._image(reference, options, options.tmpdir or target.parent)
        notices = list(said)
        surveyed = self._surveys.get(
            (options.additions, options.limits), lambda: survey(options.additions, options.limits)
        )
        planned = plan(image, surveyed, target, options, tools, _noting(notices), attested)
        known = planned.known_disk()
        reason = planned.reason() if known is None else self._missing(planned, known)
        return Standing(reason, None if reason else known, image, tuple(notices))

    def _missing(self, planned: Plan, known: KnownDisk) -> str | None:
        """Say what a build would write although the disk is there; None if nothing."""
        if planned.options.depfile:
            return "dependencies are to be written"
        if planned.options.metadata_file and known.digest is None:
            return "metadata are missing"
        if not render(planned, known, planned.root.disk, b"").are_there():
            return "what goes with the disk is missing or changed"
        if self._verify:
            with failures_named(planned.root.disk):
                if known.digest != disk_digest(planned.root.disk):
                    return DAMAGED
        return None

    def _image(self, reference: str, options: BuildOptions, scratch: Path) -> tuple[Image, Attested, tuple[str, ...]]:
        key = (reference, options.platform, options.access, options.limits, options.provenance is not None)
        named = replace(options, attestations=None)
        image, attested, said = self._images.get(key, lambda: self._find(reference, named, scratch))
        if options.attestations is None:
            return image, attested, said
        # Anew for each disk: of many images, nobody could hold them all until the end.
        heard: list[str] = []
        with closing(open_image(reference, options, scratch, _noting(heard), self._shared)) as source:
            attested = read_attested(source, image, options, _noting(heard))
        return image, attested, tuple(dict.fromkeys((*said, *heard)))

    def _find(self, reference: str, options: BuildOptions, scratch: Path) -> tuple[Image, Attested, tuple[str, ...]]:
        notices: list[str] = []
        listen = _noting(notices)
        with closing(open_image(reference, options, scratch, listen, self._shared)) as source:
            image = find_image(source, reference, options.platform, listen)
            attested = read_attested(source, image, options, listen)
            if self._verify:
                self._verify_layers(source, image)
        return image, attested, tuple(notices)

    def _verify_layers(self, source: Source, image: Image) -> None:
        """Read each layer that is on this machine, once for all images of a place. Raises ImageRefused."""
        reference = parse_reference(image.reference)
        # What a registry has is not here, and what comes from it is verified as it comes.
        if reference.transport and reference.transport.remote:
            return
        for layer in image.layers:
            key = (reference.transport and reference.transport.name, reference.place, layer.descriptor.digest)
            if not is_rebuilt(source, layer.descriptor):
                self._verified.get(key, partial(_verify, source, image.reference, layer))


def _noting(heard: list[str]) -> Listener:
    """Make a listener that writes down what the user is to be told."""

    def listen(event: Event) -> None:
        if isinstance(event, Notice):
            heard.append(event.text)

    return listen


def _verify(source: Source, reference: str, layer: Layer) -> None:
    verifier = Verifier(f"{reference}: {layer.name}", layer.descriptor.digest, layer.descriptor.size)
    with source.open(layer.descriptor) as file:
        while chunk := file.read(_READ_SIZE):
            verifier.update(chunk)
    verifier.finish()
