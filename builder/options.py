"""What a build can be told, and the table of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from builder.additions.addition import ADD, ADD_TAR, REMOVE, Change
from builder.decoded.options import CacheOptions
from builder.disk import FILESYSTEMS
from builder.disk.filesystem import DiskOptions
from builder.errors import UsageError
from builder.form import DIRECTORY, FILE, SECONDS, SWITCH, Form
from builder.guest.options import GuestOptions
from builder.image.platform import Platform
from builder.limits import Limits
from builder.option import DISK, FILES, IMAGE, OUTPUT, Option, Written, declared, in_one_order, option
from builder.sandbox.policy import AUTO, POLICY
from builder.sources.access import Access
from builder.vm.options import VmOptions
from builder.words import quoted


def parse_format(text: str) -> str:
    """Read the name of a file system format."""
    if text not in FILESYSTEMS:
        raise UsageError(f"{quoted(text, 100)} is not a format; there are {' and '.join(sorted(FILESYSTEMS))}")
    return text


FORMAT = Form("|".join(FILESYSTEMS), parse_format)
REFERENCE = Form("docker://REGISTRY/REPO:TAG", str)
PLATFORM = Form("OS/ARCH[/VARIANT]", Platform.parse)


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """How to build a disk; what is None is chosen by the build. Sizes in bytes.

    `format` is a key of FILESYSTEMS, by default told from the output's name. `additions` are made one after the other.
    `source_date_epoch` (seconds since 1970) is the latest time that any file keeps. `tmpdir` holds temporary files, by
    default beside the output. `access` says how images are reached and what is kept of them, `cache` what is kept of
    decoded layers. `vm` is the machine that the disk is for. `force` builds what would come out the same, and lets the
    output replace a file that is no disk. `wait` is for another process that makes the same output. `sandbox` is
    `auto`, `require` or `off`. `metadata_file`, `provenance`, `sbom`, `attestations` and `depfile` are written with
    the disk. `push` names a place in a registry where the disk goes as well; metadata are in OUTPUT.json then, if not
    elsewhere. What `disk` holds besides options is the build's own to set.

    Text in the place of a path, a size, a number, a UUID or a platform is read as on the command line.
    """

    format: str | None = option(None, FORMAT, DISK, "File system of the disk; by default as the output's name says.")
    disk: DiskOptions = field(default_factory=DiskOptions)
    guest: GuestOptions = field(default_factory=GuestOptions)
    # Not `decides`: what is in the files decides, and is described with its digest (additions/survey.py).
    additions: tuple[Change, ...] = in_one_order(
        option(
            (),
            ADD,
            FILES,
            "Add a file, what is in a directory, or a symlink; ,mode=0755 and ,owner=UID:GID may follow. This option "
            "and the next two act in the order in which they are said.",
            name="add",
            repeats=True,
        ),
        option((), ADD_TAR, FILES, "Add what is in a tar, as one more layer.", name="add-tar", repeats=True),
        option((), REMOVE, FILES, "Take a file, or a directory with all in it, out.", name="remove", repeats=True),
    )
    platform: Platform | None = option(
        None, PLATFORM, IMAGE, "Which image of an index; by default this machine's.", decides=True
    )
    limits: Limits = field(default_factory=Limits)
    source_date_epoch: int | None = option(
        None,
        SECONDS,
        IMAGE,
        "The latest time that any file keeps, in seconds since 1970.",
        decides=True,
        variable="SOURCE_DATE_EPOCH",
    )
    tmpdir: Path | None = option(
        None, DIRECTORY, IMAGE, "Where temporary files go; by default beside the output, or in TMPDIR."
    )
    access: Access = field(default_factory=Access)
    cache: CacheOptions = field(default_factory=CacheOptions)
    vm: VmOptions = field(default_factory=VmOptions)
    force: bool = option(False, SWITCH, OUTPUT, "Build what is up to date, too; replace an output that is no disk.")
    wait: bool = option(
        True, SWITCH, OUTPUT, "Fail, instead of waiting, if another process is building the output.", name="no-wait"
    )
    sandbox: str = option(
        AUTO,
        POLICY,
        OUTPUT,
        "Keep tools, and what reads images and disks, from files and networks that they do not need: where the kernel "
        "can, or else fail, or not at all.",
        commands=frozenset({"build", "batch", "unpack", "verify", "inspect"}),
    )
    metadata_file: Path | None = option(
        None, FILE, OUTPUT, "Write digests, sizes, UUID and image config here, as JSON.", commands=frozenset({"build"})
    )
    depfile: Path | None = option(
        None, FILE, OUTPUT, "Write the files the disk was made from here, for make.", commands=frozenset({"build"})
    )
    provenance: Path | None = option(
        None,
        FILE,
        OUTPUT,
        "Write what the disk was made of and by what here: an in-toto statement, SLSA provenance v1.",
        commands=frozenset({"build"}),
    )
    sbom: Path | None = option(
        None,
        FILE,
        OUTPUT,
        "Write which packages are on the disk here, by its own databases: CycloneDX 1.6.",
        commands=frozenset({"build"}),
    )
    attestations: Path | None = option(
        None,
        FILE,
        OUTPUT,
        "Write what the image's index has attested of it here: in-toto statements, a line for each.",
        commands=frozenset({"build"}),
    )
    push: str | None = option(
        None,
        REFERENCE,
        OUTPUT,
        "Put the disk, and its metadata, which are beside it then, into a registry as well; provenance and bill of "
        "materials, too, where they are written.",
    )

    def beside(self) -> list[Path]:
        """Name all files that are to be written besides the disk."""
        files = (self.depfile, self.metadata_file, self.provenance, self.sbom, self.attestations, self.guest.initrd)
        return [*(path for path in files if path), *(config.file for config in self.vm.vm_config)]

    def but(self, changes: Mapping[str, Any]) -> Self:
        """These options, with other values for the options of these names in OPTIONS."""
        changed = self
        for name, value in changes.items():
            changed = _placed(changed, OPTIONS[name].path, value)
        return changed

    def settled(self) -> Self:
        """These options, with text in the place of a path, a size and so on read as on the command line.

        Raises UsageError.
        """
        values = {name: self.value(entry) for name, entry in OPTIONS.items()}
        said = {name: value for name, value in values.items() if value and isinstance(value, str)}
        for name, text in said.items():
            if OPTIONS[name].repeats:
                # To Python, a text is a sequence, of its characters.
                raise UsageError(f"--{name} may be said several times, and is a tuple: write ({quoted(text, 200)},)")
        read = {name: OPTIONS[name].form.parse(text) for name, text in said.items()}
        return self.but({name: value for name, value in read.items() if value != said[name]})

    def value(self, entry: Option) -> Any:
        """Give what these options say for an entry of OPTIONS."""
        held: Any = self
        for name in entry.path:
            held = getattr(held, name)
        return held

    def describe(self) -> dict[str, Written]:
        """Describe, as plain JSON values, what of these options decides the bytes of the disk."""
        return {_camel(entry.name): entry.write(self.value(entry)) for entry in OPTIONS.values() if entry.decides}

    def as_described(self, written: Mapping[str, Any]) -> Self:
        """These options, with what `describe` wrote of others. Raises UsageError."""
        changes = {}
        for name, entry in OPTIONS.items():
            value = written.get(_camel(name))
            if entry.decides and value is not None:
                if entry.repeats:
                    fits = isinstance(value, list) and all(isinstance(each, str) for each in value)
                else:
                    # To Python, a bool is an int.
                    fits = isinstance(value, bool) if entry.is_switch else type(value) in (str, int)
                if not fits:
                    raise UsageError(f"{quoted(_camel(name))} is not what is written of --{name}")
                changes[name] = entry.reread(value)
        return self.but(changes)


def _placed(holder: Any, path: tuple[str, ...], value: Any) -> Any:
    first, *rest = path
    return replace(holder, **{first: _placed(getattr(holder, first), tuple(rest), value) if rest else value})


def _camel(name: str) -> str:
    first, *rest = name.split("-")
    return first + "".join(map(str.capitalize, rest))


# Every option of a build by its name, from which the command line, lists of images, jobs and metadata are made.
OPTIONS: Mapping[str, Option] = {entry.name: entry for entry in declared(BuildOptions())}
