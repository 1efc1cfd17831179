"""PyFilesystem URLs, taken apart.

PyFilesystem is imported when the first URL is used, for it takes long.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from builder.files.import_fs import import_fs

if TYPE_CHECKING:
    from fs.opener.parse import ParseResult


def is_url(text: str) -> bool:
    """Say whether a place is a URL rather than a path."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text) is not None


def parse_url(url: str) -> ParseResult:
    """Take a PyFilesystem URL apart: protocol, resource (a path or host), and the path after `!`.

    Raises MissingRequirement where PyFilesystem cannot be imported.
    """
    import_fs()
    from fs.opener.parse import parse_fs_url

    return parse_fs_url(url)
