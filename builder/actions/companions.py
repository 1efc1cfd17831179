"""What is published with a disk: dependencies for make, an initramfs, configurations, provenance, metadata."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from builder.actions.plan import Plan
from builder.disk import FILESYSTEMS
from builder.disk.digest import disk_digest
from builder.errors import OutputError
from builder.events import Listener, Notice, Stage
from builder.files.descriptors import opened
from builder.guest.facts import GuestFacts, Initrd
from builder.options import BuildOptions
from builder.output.beside import MAX_METADATA
from builder.output.failures import failures_named
from builder.output.known_disk import KnownDisk
from builder.output.metadata import describe_build
from builder.output.provenance import describe_provenance
from builder.output.publish import Content, Draft, staged
from builder.output.render import render_json, render_portable
from builder.sizes import human_size
from builder.sources.reference import parse_reference
from builder.sources.source import Source
from builder.vm.machine import Root, path_from
from builder.words import without_password


@dataclass(frozen=True, slots=True)
class Companions:
    """Files that are ready to be published, some before the disk and some after it; and what they say of the disk."""

    before: Sequence[Draft]
    after: Sequence[Draft]
    root: Root
    guest: GuestFacts | None


@dataclass(frozen=True, slots=True)
class Rendered:
    """What goes with a disk, as files that are to be: some `before` it and some `after`; and what they say of it."""

    before: Sequence[Content]
    after: Sequence[Content]
    root: Root
    guest: GuestFacts | None

    def are_there(self) -> bool:
        """Say whether just these files are there already."""
        return all(content.is_there() for content in (*self.before, *self.after))


def render(plan: Plan, known: KnownDisk, disk: Path, rule: bytes) -> Rendered:
    """Write in memory all that goes with the disk whose bytes are at `disk` now.

    `rule` is the content of its depfile. Raises PackagesUnreadable.
    """
    options = plan.options
    root = replace(plan.root, verity=known.facts.verity)
    archive, guest = b"", None
    if plan.guest and known.guest:
        archive = plan.guest.initramfs(known.guest) if options.guest.initrd else b""
        guest = plan.guest.facts(known.guest, _described(archive, options))
    before, after = [], []
    if options.depfile:
        before.append(Content(options.depfile, rule))
    if options.guest.initrd:
        before.append(Content(options.guest.initrd, archive))
    for path, each in options.vm.configurations(root):
        before.append(Content(path, each.content, executable=each.executable))
    lines = options.vm.lines(root)
    record = describe_build(plan.image, guest, known, plan.described, lines)
    if options.provenance:
        statement = describe_provenance(root.disk, record, plan.surveyed, plan.attested)
        before.append(Content(options.provenance, render_portable(statement)))
    if options.sbom:
        document = _bill_of_materials(root, disk, known.digest or "", record["image"], options.source_date_epoch)
        before.append(Content(options.sbom, render_portable(document)))
    if options.attestations:
        before.append(Content(options.attestations, plan.attested.lines))
    if options.metadata_file:
        after.append(Content(options.metadata_file, render_json(record), known.mtime_ns))
    return Rendered(before, after, root, guest)


@contextmanager
def companions(plan: Plan, known: KnownDisk, disk: Path, rule: bytes, listen: Listener) -> Iterator[Companions]:
    """Stage all that goes with the disk whose bytes are at `disk` now; `rule` is the content of its depfile.

    Raises OutputError for what is to be pushed with the disk, and is larger than a registry is sent.
    """
    options = plan.options
    if (options.metadata_file or options.provenance or options.sbom) and not known.digest:
        listen(Stage("hashing the disk"))
        known = replace(known, digest=disk_digest(disk))
    if options.sbom:
        listen(Stage("looking for packages"))
    rendered = render(plan, known, disk, rule)
    _see_what_push_takes(rendered.before, options, listen)
    with staged(rendered.before, listen) as before, staged(rendered.after, listen) as after:
        yield Companions(before, after, rendered.root, rendered.guest)


def _see_what_push_takes(contents: Sequence[Content], options: BuildOptions, listen: Listener) -> None:
    """Refuse, before a disk is published, to push it with what is too large; where nothing is pushed, say so."""
    for each in contents:
        if each.path in (options.provenance, options.sbom) and len(each.data) > MAX_METADATA:
            reason = f"is {human_size(len(each.data))} large; push takes {human_size(MAX_METADATA)} at most"
            if options.push:
                raise OutputError(str(each.path), f"{reason}; leave it out, or --push")
            listen(Notice(f"{each.path}: {reason}"))


def _bill_of_materials(root: Root, disk: Path, digest: str, image: dict[str, Any], epoch: int | None) -> dict[str, Any]:
    """Read which packages are on a disk, and not in an image: what the user added and removed counts."""
    # Here, because few ask for it.
    from builder.output.sbom import describe_packages
    from builder.packages.inventory import read_inventory

    with failures_named(disk), opened(disk, os.O_RDONLY) as fd:
        inventory = read_inventory(FILESYSTEMS[root.format].reader(fd))
    return describe_packages(root.disk, digest, image, inventory, epoch)


def dependencies(source: Source, reference: str, plan: Plan) -> list[str]:
    """Name the files that a disk was made from.

    Where make cannot watch what the image is, that is the reference, which is no file: so make asks us each time, and
    what is up to date is left as it is.
    """
    inputs = source.inputs()
    parsed = parse_reference(reference)
    # In the name of an image, an @ comes before a digest.
    pinned = parsed.digest or (not parsed.names_a_file and "@" in parsed.place)
    if not inputs and not pinned:
        inputs = [without_password(reference)]
    inputs += [path for each in plan.surveyed for path in each.inputs]
    return list(dict.fromkeys(inputs + (plan.guest.inputs if plan.guest else [])))


def _described(archive: bytes, options: BuildOptions) -> Initrd | None:
    """Describe an initramfs for metadata, which stand somewhere else on the machine that has both."""
    path, beside = options.guest.initrd, options.metadata_file
    if path is None:
        return None
    place = path_from(path, beside.parent) if beside else str(path)
    return Initrd(place, len(archive), hashlib.sha256(archive).hexdigest())
