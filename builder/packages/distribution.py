"""Which distribution a disk says to be (os-release(5))."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

from builder.packages.files import DiskFiles
from builder.words import legible

PATHS = ("/etc/os-release", "/usr/lib/os-release")
_MAX_SIZE = 1 << 20
# What shlex takes for a word grows with the square of its length.
_MAX_LINE = 4096
_ID = re.compile(r"[a-z0-9._-]{1,64}", re.ASCII)
_VERSION = re.compile(r"[A-Za-z0-9._+~-]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Distribution:
    """A distribution: `id` as `debian`, `version` as `12` or nothing, `name` for people."""

    id: str
    version: str
    name: str


def read_distribution(files: DiskFiles) -> Distribution | None:
    """Read it; None where the disk does not say, or not in words that are any distribution's."""
    for path in PATHS:
        data = files.read(path, _MAX_SIZE)
        if data is not None:
            stated = dict(map(_assignment, data.decode("utf-8", "replace").splitlines()))
            if not _ID.fullmatch(id := stated.get("ID", "")):
                return None
            version = stated.get("VERSION_ID", "")
            name = stated.get("PRETTY_NAME") or stated.get("NAME") or id
            return Distribution(id, version if _VERSION.fullmatch(version) else "", legible(name, 200))
    return None


def _assignment(line: str) -> tuple[str, str]:
    """Read `NAME=VALUE`, quoted as in a shell; what is none of that, or too long, is not meant for anybody."""
    name, _, value = line.partition("=")
    if len(line) > _MAX_LINE:
        return name, ""
    try:
        return name, "".join(shlex.split(value, comments=False))
    except ValueError:
        return name, ""
