"""How disks of a batch are called: as the list says, by a template, or after the image."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import PurePosixPath

from builder.disk import format_in
from builder.errors import InvalidReference, UsageError
from builder.image.name import ImageName
from builder.image.platform import Platform
from builder.options import BuildOptions
from builder.sources.transport import Reference
from builder.words import quoted

_FIELD = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


class Template:
    """A name with fields in braces, as `{arch}/{name}-{tag}.{format}`. Raises UsageError for fields that there are not.

    `{{` and `}}` stand for braces.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        for match in _FIELD.finditer(text):
            if match[0] not in ("{{", "}}") and match[1] not in FIELDS:
                fields = ", ".join(f"{{{name}}}" for name in FIELDS)
                raise UsageError(f"--name has {quoted(match[0], 100)}, which is no field; there are {fields}")

    def __str__(self) -> str:
        return self._text

    def fill(self, reference: Reference, options: BuildOptions) -> str:
        """Give the name of an image's disk. Raises UsageError for a field of which the image says nothing."""

        def value(match: re.Match[str]) -> str:
            if match[0] in ("{{", "}}"):
                return match[0][0]
            found = FIELDS[match[1]](reference, options)
            if not found:
                raise UsageError(f"--name asks for {{{match[1]}}}, and {reference.text} names none; say output=NAME")
            return _plain(found)

        return _FIELD.sub(value, self._text)


def file_name(
    output: str | None, reference: Reference, options: BuildOptions, template: Template | None
) -> PurePosixPath:
    """Choose the name of a disk, a path below the directory of all; its suffix tells the format. Raises UsageError."""
    said = "output"
    if output is None:
        output = template.fill(reference, options) if template else _default_name(reference, options.platform)
        said = "--name" if template else said
    name = PurePosixPath(output)
    if name.is_absolute() or ".." in name.parts or not name.name:
        raise UsageError(f"{said}={output} is not a path below the output directory")
    told = format_in(name.name)
    if told is None:
        return name.with_name(f"{name.name}.{options.format or 'ext4'}")
    if options.format not in (None, told):
        raise UsageError(f"{said}={output} says {told}, format={options.format} something else")
    return name


def _default_name(reference: Reference, platform: Platform | None) -> str:
    """Name a disk after its image: the last part of the place, the tag, the architecture if one was asked for."""
    parts = [_place(reference)]
    parts += [reference.tag] if reference.tag else []
    parts += [reference.digest.hex[:12]] if reference.digest else []
    parts += [str(platform).partition("/")[2]] if platform else []
    return _plain("-".join(parts)) or "disk"


def _plain(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._+-]+", "-", text).strip("-.")


def _place(reference: Reference) -> str:
    place = PurePosixPath(reference.place)
    return place.stem if reference.names_a_file else place.name


def _image_name(reference: Reference) -> ImageName | None:
    """Take apart the name of an image that is in no file."""
    if reference.names_a_file:
        return None
    try:
        # Behind where it is kept, as containers-storage has it.
        return ImageName.parse(re.sub(r"^\[[^\]]*\]", "", reference.place).removeprefix("//"))
    except InvalidReference:
        return None


def _name(reference: Reference, _options: BuildOptions) -> str:
    image = _image_name(reference)
    return image.path.rpartition("/")[2] if image else _place(reference)


def _tag(reference: Reference, _options: BuildOptions) -> str | None:
    image = _image_name(reference)
    if image is None:
        return reference.tag
    return image.tag or (None if image.digest else "latest")


def _digest(reference: Reference, _options: BuildOptions) -> str | None:
    image = _image_name(reference)
    digest = image.digest if image else reference.digest
    return digest.hex[:12] if digest else None


def _arch(_reference: Reference, options: BuildOptions) -> str:
    return str(options.platform or Platform.host()).partition("/")[2]


# What stands for each field; nothing where the reference does not say it.
FIELDS: dict[str, Callable[[Reference, BuildOptions], str | None]] = {
    "name": _name,
    "tag": _tag,
    "digest": _digest,
    "arch": _arch,
    "format": lambda _reference, options: options.format or "ext4",
}
