"""What is published with a disk: dependencies for make, an initramfs, machines' configurations, metadata."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from builder.actions.plan import Plan
from builder.events import Listener, Stage
from builder.guest.facts import GuestFacts, Initrd
from builder.options import BuildOptions
from builder.output.metadata import describe_build, disk_digest, render_json
from builder.output.publish import Draft, staged
from builder.output.recipe import KnownDisk
from builder.sources.reference import parse_reference
from builder.sources.source import Source
from builder.vm.machine import Root, path_from


@dataclass(frozen=True, slots=True)
class Companions:
    """Files that are ready to be published, some before the disk and some after it; and what they say of the disk."""

    before: Sequence[Draft]
    after: Sequence[Draft]
    root: Root
    guest: GuestFacts | None


@contextmanager
def companions(plan: Plan, known: KnownDisk, disk: Path, rule: bytes, listen: Listener) -> Iterator[Companions]:
    """Stage all that goes with the disk whose bytes are at `disk` now; `rule` is the content of its depfile."""
    options = plan.options
    root = replace(plan.root, verity=known.facts.verity)
    archive, guest = b"", None
    if plan.guest and known.guest:
        archive = plan.guest.initramfs(known.guest) if options.guest.initrd else b""
        guest = plan.guest.facts(known.guest, _described(archive, options))
    record = b""
    if options.metadata_file:
        if known.digest is None:
            listen(Stage("hashing the disk"))
        digest = known.digest or disk_digest(disk)
        lines = options.vm.lines(root)
        described = describe_build(plan.image, guest, known.facts, digest, plan.described, lines, known.contents)
        record = render_json(described)
    with ExitStack() as stack:
        before = stack.enter_context(staged(options.depfile, rule, listen))
        before += stack.enter_context(staged(options.guest.initrd, archive, listen))
        for path, each in options.vm.configurations(root):
            before += stack.enter_context(staged(path, each.content, listen, executable=each.executable))
        after = stack.enter_context(staged(options.metadata_file, record, listen, known.mtime_ns))
        yield Companions(before, after, root, guest)


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
        inputs = [reference]
    inputs += [path for each in plan.surveyed for path in each.inputs]
    return list(dict.fromkeys(inputs + (plan.guest.inputs if plan.guest else [])))


def _described(archive: bytes, options: BuildOptions) -> Initrd | None:
    """Describe an initramfs for metadata, which stand somewhere else on the machine that has both."""
    path, beside = options.guest.initrd, options.metadata_file
    if path is None:
        return None
    place = path_from(path, beside.parent) if beside else str(path)
    return Initrd(place, len(archive), hashlib.sha256(archive).hexdigest())
