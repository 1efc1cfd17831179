"""A whole build on one screen: reference, source, image, layers, tree, disk, published file."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

from builder.actions.opening import disk_options, open_image, scratch_directory
from builder.actions.result import BuildResult
from builder.additions.survey import Surveyed, check_outside, identity_with, survey
from builder.disk import FILESYSTEMS, format_of
from builder.disk.filesystem import DiskFacts, Filesystem
from builder.disk.hash_tree import add_hash_tree, check_verity
from builder.disk.verity import UNKNOWN
from builder.errors import UsageError
from builder.events import Listener, Notice, Stage, ignore
from builder.files.workspace import workspace_of
from builder.guest.bootable import Guest, make_bootable, plan_guest
from builder.guest.facts import Initrd, Resolved
from builder.image.image import Image
from builder.options import BuildOptions
from builder.output.checks import check_distinct, check_output, check_side_output, resolve_output
from builder.output.depfile import depfile
from builder.output.failures import failures_named
from builder.output.metadata import describe_build, disk_digest, render_json
from builder.output.publish import Draft, publish_in_order, staged, sync
from builder.output.recipe import keep_recipe, known_disk, recipe
from builder.sources.reference import parse_reference
from builder.sources.resolve import check_layers, find_image
from builder.sources.source import Source
from builder.tree.spool import open_spool
from builder.vm.machine import Root, path_from
from builder.words import quoted


def build(
    reference: str, output: Path | str, options: BuildOptions | None = None, listen: Listener = ignore
) -> BuildResult:
    """Turn the image at `reference` into a disk at `output`.

    The output appears complete and synced, or not at all, and replaces an older disk in one step; one that would come
    out the same is left as it is. Another process that makes the same output is waited for. Raises BuilderError;
    nothing is left behind then.
    """
    target = Path(output)
    if not target.name:
        raise UsageError(f"output {quoted(str(output))} names no file; call it NAME.ext4 or NAME.erofs")
    options = options or BuildOptions()
    verity_tools = check_verity(options.disk)
    options = replace(options, format=options.format or format_of(target.name), disk=options.disk.decided())
    options = replace(options, guest=options.guest.decided())
    filesystem = FILESYSTEMS[options.format or ""]
    tools = filesystem.check(options.disk) | verity_tools
    with failures_named():
        _check_outputs(target, options)
        output = resolve_output(target)

    with (
        workspace_of(output, listen, wait=options.wait) as beside,
        scratch_directory(options, beside, listen) as scratch,
    ):
        draft = Draft(beside, "disk", output)
        with closing(open_image(reference, options, scratch, listen)) as source:
            image = find_image(source, reference, options.platform, listen)
            guest = plan_guest(image, options.guest, listen)
            has_init = guest is not None and guest.is_on_disk
            tools |= {"init": guest.digest} if guest and has_init else {}
            surveyed = survey(options.additions, options.limits, listen)
            described = options.describe() | {"additions": [each.record() for each in surveyed]}
            wanted = recipe(str(image.config_digest), described, tools)
            initrd = options.guest.initrd and resolve_output(options.guest.initrd)
            root = Root(output, filesystem.name, image.config.architecture, init=has_init, initrd=initrd)
            # That it can be run is known before any layer is read, its root hash only afterwards.
            options.vm.check_root(replace(root, verity=UNKNOWN if options.disk.verity else None))
            for remark in options.vm.remarks():
                listen(Notice(remark))
            known = None
            if not options.force:
                known = known_disk(output, wanted, options.metadata_file, checked=options.disk.check)
            if known and (known.guest is None) != (guest is None):
                known = None
            if known is None or options.depfile:
                # What is seen to be there is also what the disk depends on.
                check_layers(source, image)
            if known:
                facts, resolved = known.facts, known.guest
            else:
                packed, resolved = _pack(source, image, surveyed, guest, options, filesystem, scratch, draft, listen)
                facts = replace(packed, tools=tools)
            inputs = _inputs(source, reference, surveyed) + (guest.inputs if guest else [])
            rule = depfile(str(target), inputs) if options.depfile else b""
        root = replace(root, verity=facts.verity)
        configurations = list(options.vm.configurations(root))
        drafts = []
        if known is None:
            if options.disk.check:
                listen(Stage(f"checking the {filesystem.name} file system"))
                filesystem.verify(draft.path)
                facts = replace(facts, checked=True)
            # Syncing and hashing take long, so they come before anything that shows.
            sync(draft)
            known = keep_recipe(draft.path, wanted, facts, resolved)
            drafts = [draft]
        archive = guest.initramfs(resolved) if guest and resolved and initrd else b""
        boots = guest.facts(resolved, _described(archive, options)) if guest and resolved else None
        record = b""
        if options.metadata_file:
            if known.digest is None:
                listen(Stage("hashing the disk"))
            digest = known.digest or disk_digest(draft.path if drafts else output)
            lines = options.vm.lines(root)
            record = render_json(describe_build(image, boots, facts, digest, described, lines))
        with ExitStack() as stack:
            rules = stack.enter_context(staged(options.depfile, rule, listen))
            rules += stack.enter_context(staged(options.guest.initrd, archive, listen))
            for path, each in configurations:
                rules += stack.enter_context(staged(path, each.content, listen, executable=each.executable))
            records = stack.enter_context(staged(options.metadata_file, record, listen, known.mtime_ns))
            # In this order, whatever cuts us short: make must never see a disk with older dependencies or machines, nor
            # anybody an older disk with newer metadata.
            publish_in_order((*rules, *drafts, *records))
    return BuildResult(output, image, facts, root, boots, built=bool(drafts))


def _pack(
    source: Source,
    image: Image,
    surveyed: Sequence[Surveyed],
    guest: Guest | None,
    options: BuildOptions,
    filesystem: Filesystem,
    scratch: Path,
    draft: Draft,
    listen: Listener,
) -> tuple[DiskFacts, Resolved | None]:
    # Here, because it imports what reads layers, for which no disk that is up to date should wait.
    from builder.actions.merge import merge

    with open_spool(scratch) as spool:
        tree = merge(source, image, spool, options, listen, surveyed)
        identity, resolved = identity_with(image.identity, surveyed), None
        if guest is not None:
            resolved, identity = make_bootable(tree, spool, guest, identity, listen)
        listen(Stage(f"packing {filesystem.name}"))
        with failures_named(draft.path):
            packed = filesystem.pack(tree, spool, disk_options(options, identity), scratch, draft.path, listen)
            if not options.disk.verity:
                return packed, resolved
            listen(Stage("hashing for dm-verity"))
            return add_hash_tree(draft.path, packed, identity), resolved


def _described(archive: bytes, options: BuildOptions) -> Initrd | None:
    """Describe an initramfs for metadata, which stand somewhere else on the machine that has both."""
    path, beside = options.guest.initrd, options.metadata_file
    if path is None:
        return None
    place = path_from(path, beside.parent) if beside else str(path)
    return Initrd(place, len(archive), hashlib.sha256(archive).hexdigest())


def _inputs(source: Source, reference: str, surveyed: Sequence[Surveyed]) -> list[str]:
    """Name the files that the disk depends on.

    Where make cannot watch what the image is, that is the reference, which is no file: so make asks us each time, and
    what is up to date is left as it is.
    """
    inputs = source.inputs()
    parsed = parse_reference(reference)
    # In the name of an image, an @ comes before a digest.
    pinned = parsed.digest or (not parsed.names_a_file and "@" in parsed.place)
    if not inputs and not pinned:
        inputs = [reference]
    return list(dict.fromkeys([*inputs, *(path for each in surveyed for path in each.inputs)]))


def _check_outputs(target: Path, options: BuildOptions) -> None:
    configurations = [config.file for config in options.vm.vm_config]
    side_outputs = [
        path for path in (options.depfile, options.metadata_file, options.guest.initrd, *configurations) if path
    ]
    options.vm.check([target, *side_outputs])
    check_distinct([target, *side_outputs])
    check_output(target, options.force)
    written = [target, *side_outputs, *([options.tmpdir] if options.tmpdir else [])]
    check_outside(options.additions, map(resolve_output, written))
    for path in side_outputs:
        check_side_output(path)
