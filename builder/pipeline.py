"""A whole build on one screen: reference, source, image, layers, tree, disk, published file."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from builder.disk import FILESYSTEMS, format_of
from builder.disk.filesystem import DiskFacts, DiskOptions
from builder.errors import MissingRequirement, UsageError
from builder.events import Listener, Stage, ignore
from builder.image.image import Image
from builder.layers.limits import Account
from builder.layers.stream import open_layer
from builder.options import BuildOptions
from builder.output.depfile import depfile
from builder.output.failures import failures_named
from builder.output.metadata import describe_build, disk_digest, render_json
from builder.output.publish import (
    check_directory,
    check_distinct,
    check_output,
    check_side_output,
    publish,
    resolve_output,
    staged,
    sync,
)
from builder.output.workspace import workspace
from builder.sources import open_source
from builder.sources.access import Bounds
from builder.sources.resolve import resolve
from builder.sources.source import Source
from builder.tree.directory import Unrestored, write_directory
from builder.tree.merge import apply_layer
from builder.tree.read import read_layer
from builder.tree.removal import remove_tree
from builder.tree.spool import Spool, open_spool
from builder.tree.times import clamp_times
from builder.tree.tree import Tree


@dataclass(frozen=True, slots=True)
class BuildResult:
    """A disk that was built: where it is, of which image, and what the tools made of it."""

    output: Path
    image: Image
    disk: DiskFacts


@dataclass(frozen=True, slots=True)
class Survey:
    """What a disk of an image takes: names in its tree, and one finished disk's facts per format."""

    image: Image
    entries: int
    disks: tuple[DiskFacts, ...]


def build(
    reference: str, output: Path | str, options: BuildOptions | None = None, listen: Listener = ignore
) -> BuildResult:
    """Turn the image at `reference` into a disk at `output`.

    The output appears complete and synced, or not at all, and replaces an older disk in one step. Raises
    BuilderError; nothing is left behind then.
    """
    target = Path(output)
    if not target.name:
        raise UsageError(f"output {str(output)!r} names no file; call it NAME.ext4 or NAME.erofs")
    options = options or BuildOptions()
    options = replace(options, format=options.format or format_of(target.name))
    filesystem = FILESYSTEMS[options.format or ""]
    filesystem.check(disk_options(options, seed=bytes(32)))
    with failures_named():
        _check_outputs(target, options)
        output = resolve_output(target)

    with (
        failures_named(),
        workspace(output.parent, output.name) as beside,
        _scratch(options, beside) as scratch,
    ):
        with closing(_open(reference, options, scratch, listen)) as source, open_spool(scratch) as spool:
            image = resolve(source, reference, options.platform)
            tree = merge(source, image, spool, options, listen)
            listen(Stage(f"packing {filesystem.name}"))
            draft = beside / "disk"
            with failures_named(draft):
                disk = filesystem.pack(tree, spool, disk_options(options, image.identity), scratch, draft, listen)
        # Syncing and hashing take long, so they come before anything that shows.
        sync(draft)
        record = b""
        if options.metadata_file:
            listen(Stage("hashing the disk"))
            record = render_json(describe_build(image, disk, disk_digest(draft), options.describe()))
        with ExitStack() as side_outputs:
            # In this order, whatever cuts us short: make must never see a disk without its dependencies, nor a
            # batch an older disk with newer metadata.
            finished = [(draft, output)]
            if options.depfile:
                place, rule = resolve_output(options.depfile), depfile(str(target), source.inputs())
                finished.insert(0, (side_outputs.enter_context(staged(place, rule)), place))
            if options.metadata_file:
                place = resolve_output(options.metadata_file)
                finished.append((side_outputs.enter_context(staged(place, record)), place))
            for path, place in finished:
                publish(path, place)
    return BuildResult(output, image, disk)


def unpack(
    reference: str, directory: Path | str, options: BuildOptions | None = None, listen: Listener = ignore
) -> list[Unrestored]:
    """Write the merged root file system of `reference` to `directory`, which must be new or empty.

    Returns what could not be restored for want of privileges: nothing, for root. The directory appears complete or
    not at all. Raises BuilderError.
    """
    options = options or BuildOptions()
    with failures_named():
        check_directory(Path(directory))
        directory = resolve_output(directory)
    with failures_named(), workspace(directory.parent, directory.name) as beside:
        with _scratch(options, beside) as scratch, closing(_open(reference, options, scratch, listen)) as source:
            with open_spool(scratch) as spool:
                image = resolve(source, reference, options.platform)
                tree = merge(source, image, spool, options, listen)
                listen(Stage("writing files"))
                unrestored = write_directory(tree, spool, beside / "root")
        os.rename(beside / "root", directory)
    return unrestored


def survey(reference: str, options: BuildOptions | None = None, listen: Listener = ignore) -> Survey:
    """Read the image at `reference` to its end, verify it, and find out what disks of it take by making them.

    The disks are thrown away. Formats whose tools are missing here are left out. Raises BuilderError.
    """
    options = options or BuildOptions()
    with failures_named(), workspace(options.workdir or Path(tempfile.gettempdir()), "survey") as scratch:
        with closing(_open(reference, options, scratch, listen)) as source, open_spool(scratch) as spool:
            image = resolve(source, reference, options.platform)
            tree = merge(source, image, spool, options, listen)
            disks = []
            for name, filesystem in FILESYSTEMS.items():
                place = scratch / name
                place.mkdir()
                with suppress(MissingRequirement):
                    filesystem.check(disk_options(options, seed=bytes(32)))
                    listen(Stage(f"measuring {name}"))
                    facts = filesystem.pack(
                        tree, spool, disk_options(options, image.identity), place, place / "disk", listen
                    )
                    disks.append(facts)
                remove_tree(place)
    return Survey(image, sum(1 for _ in tree.walk()) + 1, tuple(disks))


def merge(source: Source, image: Image, spool: Spool, options: BuildOptions, listen: Listener) -> Tree:
    """Read and verify every layer of `image`, bottom first, and apply each to the tree of those below it."""
    tree = Tree()
    account = Account(options.limits)
    for layer in image.layers:
        account.packed(layer.name, layer.descriptor.size)
    source.expect([layer.descriptor for layer in image.layers])
    for layer in image.layers:
        listen(Stage(f"reading {layer.name}", layer.descriptor.size))
        with open_layer(source, layer, account, listen) as stream:
            entries = read_layer(stream, spool)
        apply_layer(tree, layer.name, [each for each in entries if not stream.is_bookkeeping(each[0])])
    if options.source_date_epoch is not None:
        clamp_times(tree, options.source_date_epoch)
    return tree


def _open(reference: str, options: BuildOptions, scratch: Path, listen: Listener) -> Source:
    bounds = Bounds(options.limits.max_size, options.limits.max_ratio, options.limits.ratio_floor)
    return open_source(reference, replace(options.access, scratch=scratch, listen=listen, bounds=bounds))


def disk_options(options: BuildOptions, seed: bytes) -> DiskOptions:
    """Tell the disk stage what concerns it; `seed` stands for the content."""
    return DiskOptions(
        seed=seed,
        # Not 0: mke2fs takes that for "now". Not negative: superblocks cannot hold it.
        epoch=max(1, options.source_date_epoch or 1),
        uuid=options.uuid,
        label=options.label,
        size=options.size,
        free=options.free,
        inodes=options.inodes,
        journal=options.journal,
        compression=options.compress,
        dedupe=options.dedupe,
        fragments=options.fragments,
    )


def _check_outputs(target: Path, options: BuildOptions) -> None:
    side_outputs = [path for path in (options.depfile, options.metadata_file) if path]
    check_distinct([target, *side_outputs])
    check_output(target, options.force)
    for path in side_outputs:
        check_side_output(path)


@contextmanager
def _scratch(options: BuildOptions, beside: Path) -> Iterator[Path]:
    """Choose where temporary files go: the directory asked for, or the one beside the output."""
    chosen = workspace(options.workdir, "work") if options.workdir else nullcontext(beside)
    with chosen as scratch, failures_named(scratch):
        yield scratch
