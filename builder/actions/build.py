"""A whole build on one screen: reference, source, image, layers, tree, disk, published file."""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path

from builder.actions.merge import disk_options, merge, open_image, scratch_directory
from builder.disk import FILESYSTEMS, format_of
from builder.disk.filesystem import DiskFacts
from builder.errors import UsageError
from builder.events import Listener, Stage, ignore
from builder.files.workspace import workspace_of
from builder.image.image import Image
from builder.options import BuildOptions
from builder.output.depfile import depfile
from builder.output.failures import failures_named
from builder.output.metadata import describe_build, disk_digest, render_json
from builder.output.publish import (
    Draft,
    check_distinct,
    check_output,
    check_side_output,
    publish,
    resolve_output,
    staged,
    sync,
)
from builder.sources.resolve import resolve
from builder.tree.spool import open_spool
from builder.words import quoted


@dataclass(frozen=True, slots=True)
class BuildResult:
    """A disk that was built: where it is, of which image, and what the tools made of it."""

    output: Path
    image: Image
    disk: DiskFacts


def build(
    reference: str, output: Path | str, options: BuildOptions | None = None, listen: Listener = ignore
) -> BuildResult:
    """Turn the image at `reference` into a disk at `output`.

    The output appears complete and synced, or not at all, and replaces an older disk in one step. Raises
    BuilderError; nothing is left behind then.
    """
    target = Path(output)
    if not target.name:
        raise UsageError(f"output {quoted(str(output))} names no file; call it NAME.ext4 or NAME.erofs")
    options = options or BuildOptions()
    options = replace(options, format=options.format or format_of(target.name))
    filesystem = FILESYSTEMS[options.format or ""]
    filesystem.check(options.disk)
    with failures_named():
        _check_outputs(target, options)
        output = resolve_output(target)

    with (
        workspace_of(output, listen) as beside,
        scratch_directory(options, beside, listen) as scratch,
    ):
        with closing(open_image(reference, options, scratch, listen)) as source, open_spool(scratch) as spool:
            image = resolve(source, reference, options.platform, listen)
            tree = merge(source, image, spool, options, listen)
            listen(Stage(f"packing {filesystem.name}"))
            draft = Draft(beside, "disk", output)
            with failures_named(draft.path):
                disk = filesystem.pack(tree, spool, disk_options(options, image.identity), scratch, draft.path, listen)
            inputs = source.inputs()
        if options.disk.check:
            listen(Stage(f"checking the {filesystem.name} file system"))
            filesystem.verify(draft.path)
        # Syncing and hashing take long, so they come before anything that shows.
        sync(draft)
        with ExitStack() as staging:
            # In this order, whatever cuts us short: make must never see a disk without its dependencies, nor a
            # batch an older disk with newer metadata.
            drafts = [draft]
            if options.depfile:
                drafts.insert(0, staging.enter_context(staged(options.depfile, depfile(str(target), inputs), listen)))
            if options.metadata_file:
                listen(Stage("hashing the disk"))
                record = describe_build(image, disk, disk_digest(draft.path), options.describe())
                drafts.append(staging.enter_context(staged(options.metadata_file, render_json(record), listen)))
            for each in drafts:
                publish(each)
    return BuildResult(output, image, disk)


def _check_outputs(target: Path, options: BuildOptions) -> None:
    side_outputs = [path for path in (options.depfile, options.metadata_file) if path]
    check_distinct([target, *side_outputs])
    check_output(target, options.force)
    for path in side_outputs:
        check_side_output(path)
