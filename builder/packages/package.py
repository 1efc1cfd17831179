"""What is known of a package, whatever database names it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from builder.errors import ImageRefused
from builder.words import legible, quoted

# Where rpm keeps its database: of old, newly, and of ostree.
RPM_DIRECTORIES = ("/var/lib/rpm", "/usr/lib/sysimage/rpm", "/usr/share/rpm")

# dpkg, apk and rpm take far less for a name or a version; no control character, no space.
_WORD = re.compile(rb"[\x21-\x7e]{1,256}")
# A purl has a slash between names, and none in one.
_NAME = re.compile(rb"[\x21-\x2e\x30-\x7e]{1,256}")
_MAX_LICENCE = 1000


class PackagesUnreadable(ImageRefused):
    """A database of packages cannot be read, or is of a kind that is not; `database` is its path on the disk."""

    def __init__(self, database: str, reason: str) -> None:
        super().__init__(f"{quoted(database)}: {reason}; without --sbom nobody asks for it")
        self.database = database
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Package:
    """A package as its own system names it; `system` is the type of its purl: `deb`, `apk` or `rpm`.

    `version` is whole, as `1:2.3-4`; `source` is what it was built from, where that has another name or version.
    """

    system: str
    name: str
    version: str
    architecture: str = ""
    source: str = ""
    licence: str = ""


def package_name(value: bytes, database: str) -> str:
    """Take the name of a package, which is one word of ASCII without a slash. Raises PackagesUnreadable."""
    if not _NAME.fullmatch(value):
        raise PackagesUnreadable(database, f"{quoted(value, 100)} is no name of a package")
    return value.decode()


def word(value: bytes, what: str, database: str) -> str:
    """Take a version or the like, which is one word of ASCII. Raises PackagesUnreadable."""
    if not _WORD.fullmatch(value):
        raise PackagesUnreadable(database, f"{quoted(value, 100)} is no {what}")
    return value.decode()


def licence(value: bytes) -> str:
    """Take what is said of a licence, which may be anything."""
    return legible(value.strip(), _MAX_LICENCE)
