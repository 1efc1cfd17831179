"""The list of images: one reference a line, options after it, comments."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from builder.disk import FILESYSTEMS, format_of
from builder.errors import BuilderError, UsageError
from builder.image.platform import Platform
from builder.options import OPTIONS, BuildOptions
from builder.output.beside import metadata_path
from builder.sources.reference import parse_reference
from builder.sources.transport import Reference
from builder.words import quoted

# What a line of a list may say besides the output.
KEYS = {name: entry for name, entry in OPTIONS.items() if "batch" in entry.commands}


class InvalidList(UsageError):
    """A list of images that cannot be meant; `line` counts from 1."""

    def __init__(self, name: str, line: int, reason: str) -> None:
        super().__init__(f"{name} line {line}: {reason}")
        self.line = line
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Job:
    """One disk to build: line `line` of the list."""

    line: int
    reference: str
    output: Path
    options: BuildOptions


def parse_list(text: str, name: str, directory: Path, defaults: BuildOptions) -> list[Job]:
    """Read a list of images; disks go below `directory`, and what a line does not say is as in `defaults`.

    A line is `REFERENCE [KEY=VALUE ...]`, words quoted as in a shell; the keys are those of KEYS and `output`, a
    path below `directory`. Raises InvalidList for the first line that does not parse, and when two lines would
    write the same file.
    """
    jobs: dict[str, Job] = {}
    for number, words in _lines(text, name):
        try:
            job = _job(number, words, directory, defaults)
        except BuilderError as error:
            raise InvalidList(name, number, str(error)) from error
        named = [config.file for config in job.options.vm.vm_config]
        named += [job.options.guest.initrd] if job.options.guest.initrd else []
        for path in (job.output, metadata_path(job.output), *named):
            place = os.path.realpath(path)
            if place in jobs:
                advice = "name another" if path in named else "give one of them output=NAME"
                reason = f"writes {path}, and so does line {jobs[place].line}; {advice}"
                raise InvalidList(name, number, reason)
            jobs[place] = job
    return list(dict.fromkeys(jobs.values()))


def _lines(text: str, name: str) -> Iterator[tuple[int, list[str]]]:
    # Not splitlines(): a name may hold what only Unicode takes for the end of a line.
    for number, line in enumerate(text.split("\n"), start=1):
        if "\0" in line:
            raise InvalidList(name, number, "this is no text; name a list of images")
        try:
            words = shlex.split(re.sub(r"(^|\s)#.*", "", line))
        except ValueError as error:
            raise InvalidList(name, number, f"{error}; quote words as in a shell") from error
        if words:
            yield number, words


def _job(number: int, words: list[str], directory: Path, defaults: BuildOptions) -> Job:
    reference = parse_reference(words[0])
    output: str | None = None
    changes: dict[str, Any] = {}
    for word in words[1:]:
        key, equals, value = word.partition("=")
        if not equals or (key != "output" and key not in KEYS):
            raise UsageError(f"{quoted(word)} is no option; write KEY=VALUE with one of output, {', '.join(KEYS)}")
        repeats = key in KEYS and KEYS[key].repeats
        if (key in changes and not repeats) or (key == "output" and output is not None):
            raise UsageError(f"{key} is given twice")
        if key == "output":
            output = value
        elif repeats:
            # Under one name for all that share an order.
            first = KEYS[key].first
            changes[first] = (*changes.get(first, ()), KEYS[key].read(value))
        else:
            changes[key] = KEYS[key].read(value)
    # What is said for all is for those that have somebody to tell it.
    options = replace(defaults, vm=defaults.vm if "vm-config" in changes else defaults.vm.if_configured()).but(changes)
    path = directory / _file_name(output, reference, options)
    return Job(
        number,
        words[0],
        path,
        replace(options, format=format_of(path.name), metadata_file=metadata_path(path)),
    )


def _file_name(output: str | None, reference: Reference, options: BuildOptions) -> PurePosixPath:
    """Choose the name of a disk: what the line says, else what the reference says; the suffix tells the format."""
    name = PurePosixPath(output if output is not None else _default_name(reference, options.platform))
    if name.is_absolute() or ".." in name.parts or not name.name:
        raise UsageError(f"output={output} is not a path below the output directory")
    told = name.suffix.removeprefix(".")
    if told not in FILESYSTEMS:
        return name.with_name(f"{name.name}.{options.format or 'ext4'}")
    if options.format not in (None, told):
        raise UsageError(f"output={output} says {told}, format={options.format} something else")
    return name


def _default_name(reference: Reference, platform: Platform | None) -> str:
    """Name a disk after its image: the last part of the place, the tag, the architecture if one was asked for."""
    place = PurePosixPath(reference.place)
    parts = [place.stem if reference.names_a_file else place.name]
    parts += [reference.tag] if reference.tag else []
    parts += [reference.digest.hex[:12]] if reference.digest else []
    parts += [str(platform).partition("/")[2]] if platform else []
    return re.sub(r"[^A-Za-z0-9._+-]+", "-", "-".join(parts)).strip("-.") or "disk"
