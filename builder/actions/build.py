"""A whole build on one screen: reference, source, image, layers, tree, disk, published file."""

from __future__ import annotations

import os
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from builder.actions.companions import companions, dependencies
from builder.actions.confinement import Places, confine_build
from builder.actions.opening import disk_options, open_image, read_attested, scratch_directory
from builder.actions.plan import Plan, check_outputs, choose, plan
from builder.actions.result import BuildResult
from builder.additions.survey import survey
from builder.disk.filesystem import DiskFacts, Filesystem
from builder.disk.hash_tree import add_hash_tree
from builder.errors import BuilderError
from builder.events import Listener, Stage, Step, ignore
from builder.files.workspace import workspace_of
from builder.guest.facts import Resolved
from builder.options import BuildOptions
from builder.output.beside import metadata_path
from builder.output.checks import check_apart, named_output, resolve_output
from builder.output.depfile import depfile
from builder.output.failures import failures_named
from builder.output.known_disk import KnownDisk, keep_recipe
from builder.output.publish import Draft, publish_in_order, sync
from builder.sandbox.policy import policy
from builder.sources.resolve import check_layers, find_image
from builder.sources.source import Source
from builder.tree.contents import Contents, contents
from builder.tree.spool import open_spool


def build(
    reference: Path | str, output: Path | str, options: BuildOptions | None = None, listen: Listener = ignore
) -> BuildResult:
    """Turn the image at `reference` into a disk at `output`.

    The output appears complete and synced, or not at all, and replaces an older disk in one step; one that would come
    out the same is left as it is. Another process that makes the same output is waited for. Raises BuilderError;
    nothing is left behind then. A disk that is to be pushed is there, whole, before it is.
    """
    reference, target = os.fspath(reference), named_output(output)
    options, filesystem, tools = choose(target, _with_metadata(target, (options or BuildOptions()).settled()))
    with failures_named():
        check_outputs(target, options)
        output = resolve_output(target)

    with (
        policy(options.sandbox),
        workspace_of(output, listen, wait=options.wait) as beside,
        scratch_directory(options, beside, listen) as scratch,
    ):
        draft = Draft(beside, "disk", output)
        listen(Step("opening the image"))
        with closing(open_image(reference, options, scratch, listen)) as source:
            image = find_image(source, reference, options.platform, listen)
            surveyed = survey(options.additions, options.limits, listen)
            planned = plan(
                image, surveyed, output, options, tools, listen, read_attested(source, image, options, listen)
            )
            there = planned.known_disk()
            if there is None or options.depfile:
                # For the depfile, too: a source names the files that it has opened.
                check_layers(source, planned.image)
            check_apart([target, *options.beside()], _inputs(source, planned))
            rule = depfile(str(target), dependencies(source, reference, planned)) if options.depfile else b""
            sandbox = there.facts.sandbox if there else confine_build(source, reference, options, _places(planned))
            disk = there or _pack(source, planned, filesystem, scratch, draft, listen)
        # Nobody needs the image any more, and what follows takes long.
        known = disk if isinstance(disk, KnownDisk) else _finish(disk, planned, filesystem, draft, sandbox, listen)
        made = [] if there else [draft]
        with companions(planned, known, draft.path if made else output, rule, listen) as staged:
            listen(Step("publishing"))
            # In this order, whatever cuts us short: make must never see a disk with older dependencies or machines, nor
            # anybody an older disk with newer metadata.
            publish_in_order((*staged.before, *made, *staged.after))
    result = BuildResult(output, planned.image, known.facts, staged.root, staged.guest, built=bool(made))
    return result if options.push is None else replace(result, pushed=_push(output, options.push, options, listen))


def _with_metadata(target: Path, options: BuildOptions) -> BuildOptions:
    """See that a disk that is to be pushed can be, and has metadata, which go with it. Raises InvalidReference."""
    if options.push is None:
        return options
    # Here, because it imports an HTTP client, which nobody else should wait for.
    from builder.actions.push_target import check_target

    check_target(options.push)
    return replace(options, metadata_file=options.metadata_file or metadata_path(target))


def _push(disk: Path, reference: str, options: BuildOptions, listen: Listener) -> str:
    from builder.actions.push import push

    pushed = push(
        disk,
        reference,
        options.access,
        metadata=options.metadata_file,
        provenance=options.provenance,
        sbom=options.sbom,
        tmpdir=options.tmpdir,
        sandbox=options.sandbox,
        listen=listen,
    )
    return f"{pushed.name.repository}@{pushed.digest}"


@dataclass(frozen=True, slots=True)
class _Packed:
    """What the tools made of which contents, and what the image's own files say of the process that boots."""

    disk: DiskFacts
    guest: Resolved | None
    contents: Contents


def _pack(source: Source, plan: Plan, filesystem: Filesystem, scratch: Path, draft: Draft, listen: Listener) -> _Packed:
    # Here, because it imports what reads layers, for which no disk that is up to date should wait.
    from builder.actions.merge import merge_whole

    options = plan.options
    with open_spool(scratch, tails=filesystem.tails, spent=True) as spool:
        tree, identity, resolved = merge_whole(source, plan.image, plan.guest, plan.surveyed, spool, options, listen)
        held = contents(tree)
        listen(Stage(f"packing {filesystem.name}"))
        with failures_named(draft.path):
            packed = filesystem.pack(tree, spool, disk_options(options, identity), scratch, draft.path, listen)
            if not options.disk.verity:
                return _Packed(packed, resolved, held)
            listen(Stage("hashing for dm-verity"))
            return _Packed(add_hash_tree(draft.path, packed, identity), resolved, held)


def _inputs(source: Source, plan: Plan) -> list[str]:
    """Name the files of this machine that the image is read from, its layers' among them."""
    # Nobody has opened the layers of a disk that is up to date. They matter where something is written near them.
    near = {resolve_output(each).parent for each in source.inputs()}
    if any(path.exists() and near.intersection(resolve_output(path).parents) for path in plan.options.beside()):
        with suppress(BuilderError):
            check_layers(source, plan.image)
    return source.inputs()


def _places(plan: Plan) -> Places:
    """List the directories in which a disk is made and published, and the files of this machine that go into it."""
    options = plan.options
    directories = [resolve_output(file).parent for file in (plan.root.disk, *options.beside())]
    read = plan.guest.inputs if plan.guest else []
    return Places(read, [*directories, *([options.tmpdir] if options.tmpdir else [])])


def _finish(
    packed: _Packed, plan: Plan, filesystem: Filesystem, draft: Draft, sandbox: str, listen: Listener
) -> KnownDisk:
    """Check and sync a disk, before anything of it shows, and keep with it what it was made from."""
    checked = plan.options.disk.check
    if checked:
        listen(Stage(f"checking the {filesystem.name} file system"))
        filesystem.verify(draft.path, draft.work.path)
    listen(Step("syncing the disk"))
    sync(draft)
    facts = replace(packed.disk, tools=plan.tools, checked=checked, sandbox=sandbox)
    return keep_recipe(draft.path, plan.recipe.digest(), facts, packed.guest, packed.contents)
