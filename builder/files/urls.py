"""PyFilesystem URLs, taken apart.

PyFilesystem is imported when the first URL is used, for it takes long.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from builder.errors import InvalidReference
from builder.files.import_fs import import_fs
from builder.words import without_password

if TYPE_CHECKING:
    from fs.opener.parse import ParseResult


# Whose resource is a file of this machine, and whose openers are PyFilesystem's own.
ARCHIVES = ("zip", "tar")


def is_url(text: str) -> bool:
    """Say whether a place is a URL rather than a path."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text) is not None


def parse_url(url: str) -> ParseResult:
    """Take a PyFilesystem URL apart: protocol, resource (a path or host), and the path after `!`.

    Raises InvalidReference for one that is not in its form, MissingRequirement where PyFilesystem cannot be imported.
    """
    import_fs()
    from fs.opener.errors import ParseError
    from fs.opener.parse import parse_fs_url

    try:
        return parse_fs_url(url)
    except ParseError as error:
        raise InvalidReference(without_password(url), "is no URL: write %0A for the end of a line in it") from error


def archive_of(url: str) -> str | None:
    """Name the file of this machine that all of a URL is in, as of zip:// and tar://; None for others.

    What those are opened with may need anything. Raises MissingRequirement.
    """
    parsed = parse_url(url)
    return parsed.resource if parsed.protocol in ARCHIVES else None
