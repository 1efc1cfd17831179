"""PyFilesystem URLs: taken apart, shown without passwords, and opened.

PyFilesystem is imported when the first URL is used, for it takes long and warns.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from builder.errors import MissingRequirement

if TYPE_CHECKING:
    from fs.opener.parse import ParseResult


def is_url(text: str) -> bool:
    """Say whether a place is a URL rather than a path."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text) is not None


def parse_url(url: str) -> ParseResult:
    """Take a PyFilesystem URL apart: protocol, resource (a path or host), and the path after `!`."""
    with quiet():
        from fs.opener.parse import parse_fs_url

        return parse_fs_url(url)


def without_password(url: str) -> str:
    """Leave the password out of a URL, for messages."""
    return re.sub(r"(?<=://)([^/@:]*):[^/@]*@", r"\1@", url)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep to ourselves what PyFilesystem makes Python warn of: it uses pkg_resources, which is deprecated.

    Raises MissingRequirement where it cannot be imported.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except ImportError as error:
            raise MissingRequirement(
                f"PyFilesystem cannot be loaded ({error}); URLs need it: pip install fs 'setuptools<82'"
            ) from error
