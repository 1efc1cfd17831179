"""What is decided of a build before any layer is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from builder.additions.survey import Surveyed, check_outside
from builder.disk import FILESYSTEMS, format_of
from builder.disk.filesystem import Filesystem
from builder.disk.hash_tree import check_verity
from builder.disk.verity import UNKNOWN
from builder.events import Listener, Notice
from builder.guest.bootable import Guest, plan_guest
from builder.image.image import Image
from builder.options import BuildOptions
from builder.output.checks import check_apart, check_distinct, check_output, check_side_output, resolve_output
from builder.output.known_disk import KnownDisk, known_disk, reason_to_build
from builder.output.recipe import Recipe
from builder.sources.attestations import NOTHING, Attested
from builder.sources.resolve import say_foreign
from builder.vm.machine import Root

# The reason to build a disk whether it is up to date or not.
FORCED = "asked for by --force"


@dataclass(frozen=True, slots=True)
class Plan:
    """A disk to be built: of `image` and what is `surveyed`, perhaps with a `guest`; a machine has it as `root`.

    `described` are the options as metadata have them, `tools` the versions of what makes the disk, `attested` is what
    others say of the image, where it is to be handed on.
    """

    image: Image
    guest: Guest | None
    surveyed: Sequence[Surveyed]
    options: BuildOptions
    described: dict[str, Any]
    tools: dict[str, str]
    root: Root
    attested: Attested = NOTHING

    @property
    def recipe(self) -> Recipe:
        """What decides the disk's bytes."""
        return Recipe(str(self.image.config_digest), self.described, self.tools)

    def known_disk(self) -> KnownDisk | None:
        """Say what is known of the disk that is there, if it is what would be built."""
        options = self.options
        if options.force:
            return None
        known = known_disk(self.root.disk, self.recipe, options.metadata_file, checked=options.disk.check)
        return known if known and (known.guest is None) == (self.guest is None) else None

    def reason(self) -> str:
        """Say why the disk is not known, in a few words: `no disk`, `image changed`, `option size changed`."""
        options = self.options
        if options.force:
            return FORCED
        return reason_to_build(self.root.disk, self.recipe, options.metadata_file, checked=options.disk.check)


def choose(target: Path, options: BuildOptions) -> tuple[BuildOptions, Filesystem, dict[str, str]]:
    """Decide what was left open; return the file system, and the tools that it takes with their versions, too.

    Raises UsageError, MissingRequirement.
    """
    verity_tools = check_verity(options.disk)
    options = replace(
        options,
        format=options.format or format_of(target.name),
        disk=options.disk.decided(),
        guest=options.guest.decided(),
    )
    # Python may have said what no command line could.
    options = options.as_described(options.describe())
    filesystem = FILESYSTEMS[options.format or ""]
    return options, filesystem, filesystem.check(options.disk) | verity_tools


def check_outputs(target: Path, options: BuildOptions) -> None:
    """Look whether all that is to be written can be, and is in nobody's way. Raises UsageError, OutputError."""
    beside = options.beside()
    # First, since it says in words that the current directory is gone.
    check_distinct([target, *beside])
    options.vm.check([target, *beside])
    options.guest.check([target, *beside])
    check_output(target, options.force)
    written = [target, *beside, *([options.tmpdir] if options.tmpdir else [])]
    check_outside(options.additions, map(resolve_output, written))
    for path in beside:
        check_side_output(path)
    check_apart([target, *beside], options.access.inputs())


def plan(
    image: Image,
    surveyed: Sequence[Surveyed],
    output: Path,
    options: BuildOptions,
    tools: dict[str, str],
    listen: Listener,
    attested: Attested = NOTHING,
) -> Plan:
    """Decide what is to become of an image, and of what is `surveyed`. Raises BuilderError."""
    say_foreign(image, options.platform, listen)
    guest = plan_guest(image, options.guest, listen)
    has_init = guest is not None and guest.is_on_disk
    initrd = options.guest.initrd and resolve_output(options.guest.initrd)
    planned = Plan(
        image,
        guest,
        surveyed,
        options,
        options.describe() | {"additions": [each.record() for each in surveyed]},
        tools | ({"init": guest.digest} if guest and has_init else {}),
        Root(output, options.format or "", image.config.goarch, init=has_init, initrd=initrd),
        attested,
    )
    # That it can be run is known before any layer is read, its root hash only afterwards.
    options.vm.check_root(replace(planned.root, verity=UNKNOWN if options.disk.verity else None))
    for remark in options.vm.remarks():
        listen(Notice(remark))
    return planned
