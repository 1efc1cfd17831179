"""The tree that a disk was made of, made again as metadata say: the image's, with what was added and with init."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from builder.actions.confinement import added
from builder.actions.merge import merge_whole
from builder.additions.addition import AddedTar, Addition, Change, Removal, parse_owner
from builder.additions.host import AdditionFailed
from builder.additions.survey import Surveyed, survey
from builder.errors import BuilderError, MissingRequirement, UsageError
from builder.events import Listener, ignore
from builder.guest.bootable import Guest, plan_guest
from builder.guest.host_files import HostFileRefused
from builder.guest.layer import HOME
from builder.guest.options import AUTO, NONE
from builder.guest.process import NothingToRun
from builder.guest.program import NoInit
from builder.image.image import Image
from builder.options import BuildOptions
from builder.output.schema import Made
from builder.sources.resolve import resolve
from builder.sources.source import Source
from builder.tree.compare import LeftOut
from builder.tree.spool import Spool
from builder.tree.tree import Tree
from builder.words import legible, quoted


class AnotherImage(BuilderError):
    """A reference leads to another image than the one that a disk was made of; digests are of configs."""

    def __init__(self, reference: str, expected: str, actual: str) -> None:
        made = f"the disk was made of {expected}, and this is {actual}"
        super().__init__(f"{reference}: is another image now: {made}; name the one to compare with as IMAGE")
        self.reference = reference
        self.expected = expected
        self.actual = actual


@dataclass(frozen=True, slots=True)
class Recalled:
    """What a disk was made of, by the documents of its image and by its record: `options` are those it was made with.

    `left_out` says, by path, what nobody knows any more, and why.
    """

    image: Image
    surveyed: Sequence[Surveyed]
    guest: Guest | None
    options: BuildOptions
    left_out: Mapping[bytes, str]

    def inputs(self) -> list[str]:
        """Name the files of this machine that went in."""
        return [*added([each.change for each in self.surveyed]), *(self.guest.inputs if self.guest else [])]


@dataclass(frozen=True, slots=True)
class Remade:
    """What should be on a disk; `remarks` say of what is `left_out` why nobody knows what it should be."""

    image: Image
    tree: Tree
    left_out: LeftOut
    remarks: tuple[str, ...]


def recall(
    source: Source, reference: str, recorded: Made | None, options: BuildOptions, listen: Listener, *, same: bool
) -> Recalled:
    """Find out what a disk was made of, whose image is at `reference`, and of which this is `recorded`; read no layer.

    With `same` it must be the image that the disk was made of. Raises AnotherImage, and what a build raises before it
    reads layers.
    """
    # Each layer is read once more: what was kept of it may be what is wrong.
    options = replace(options, cache=replace(options.cache, keep=False))
    additions: Sequence[Any] = ()
    if recorded is not None:
        options = options.as_described(recorded.options)
        additions = recorded.options.get("additions") or ()
        if not isinstance(additions, Sequence):
            raise UsageError(f"the metadata say {quoted(str(additions), 200)} of additions, which are none")
    image = resolve(source, reference, options.platform, listen)
    if same and recorded is not None and str(image.config_digest) != recorded.image.config.digest:
        raise AnotherImage(reference, recorded.image.config.digest, str(image.config_digest))
    surveyed, gone = _additions(additions, options)
    guest, lost = _guest(image, options, recorded)
    return Recalled(image, surveyed, guest, options, gone | lost)


def remake(source: Source, recalled: Recalled, spool: Spool, listen: Listener, *, booting: bool = False) -> Remade:
    """Make the tree that a disk was made of.

    Of a disk that is `booting`, though nothing recorded says so, it is the image's with init as builds without options
    have it. Raises what a build raises up to the packing.
    """
    guest, remarks = recalled.guest, tuple(recalled.left_out.values())
    if booting:
        with suppress(NothingToRun, NoInit, HostFileRefused):
            guest = plan_guest(recalled.image, recalled.options.guest, ignore)
            remarks = (f"/{HOME} and network files are held against those of a build without options: {_UNKNOWN}",)
    image = recalled.image
    tree, _, _ = merge_whole(source, image, guest, recalled.surveyed, spool, recalled.options, listen)
    return Remade(image, tree, LeftOut(frozenset(recalled.left_out)), remarks)


def _guest(image: Image, options: BuildOptions, recorded: Made | None) -> tuple[Guest | None, dict[bytes, str]]:
    """Plan what boots, if init is on the disk; and tell why this is not known of init."""
    if recorded is None or recorded.guest is None or recorded.guest.initrd is not None or options.guest.init == NONE:
        return None, {}
    place = HOME.encode()
    try:
        guest = plan_guest(image, options.guest, ignore)
    except (HostFileRefused, NoInit) as error:
        # All that depends on it is what it is itself.
        guest = plan_guest(image, replace(options.guest, init=AUTO), ignore)
        return guest, {place: f"/{HOME} is not compared: {error}"}
    if guest is not None and guest.digest != recorded.tools.get("init"):
        return guest, {
            place: f"/{HOME} is not compared: the disk has another init, of rootfs-builder {recorded.builder}"
        }
    return guest, {}


def _additions(records: Sequence[Any], options: BuildOptions) -> tuple[list[Surveyed], dict[bytes, str]]:
    """Look at what was added, where that is still here as it was; and tell why it is not known of the rest."""
    surveyed, gone = [], {}
    for record in records:
        change = _change(record)
        try:
            (found,) = survey([change], options.limits)
            reason = None if found.record() == record else "it is not what it was when the disk was made"
        except AdditionFailed as error:
            found, reason = Surveyed(change), error.reason
        except MissingRequirement as error:
            found, reason = Surveyed(change), str(error)
        if reason is None:
            surveyed.append(found)
            continue
        path = b"/".join(found.target)
        if not path:
            raise AdditionFailed(str(change), f"{reason}; without it nothing can be compared")
        gone[path] = f"{legible(b'/' + path)} is not compared: {change}: {reason}"
    return surveyed, gone


def _change(record: Mapping[str, Any]) -> Change:
    """Read what metadata say of a change (see Surveyed.record). Raises UsageError."""
    try:
        if "remove" in record:
            return Removal(record["remove"])
        target = record["target"]
        # Bytes that a program added are nowhere any more.
        if "addTar" in record:
            return AddedTar(record["addTar"] or _NOWHERE, target)
        mode, owner = record["mode"], record["owner"]
        return Addition(
            record["add"] or _NOWHERE,
            target,
            None if mode is None else int(mode, 8),
            None if owner is None else parse_owner(owner),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(f"the metadata say {quoted(str(record), 200)} of an addition, which is none") from error


_NOWHERE = "(bytes of a program)"
_UNKNOWN = "no metadata that are believed say how it was built; if you have them, name them with --metadata"
