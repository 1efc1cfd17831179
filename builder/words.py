"""Words of images, registries and file names, for people: one line, nothing that a terminal obeys, no end of it.

Escaped is whatever `str.isprintable` says is not to be printed: control characters (C0, C1), line ends of any kind, the
marks that turn the direction of text, surrogates, and bytes that are no UTF-8, as `\\xff`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import islice

# What is longer than any path is cut: archives hold names of megabytes.
_LONGEST = 4096
# An image may name tens of thousands of what could be asked for instead.
_LISTED = 20
# The password of a URL that names a user; a path before it, a host and a port, or a tag before a digest, is none.
_PASSWORD = re.compile(r"(?<=://)([^/@:]*):[^/\s]*@(?!sha[0-9]+:)")


def legible(words: str | bytes, longest: int | None = None) -> str:
    """Write words as one line of printable text; only the first `longest` characters or bytes, and an ellipsis."""
    cut = longest is not None and len(words) > longest
    words = words[:longest] if cut else words
    text = words if isinstance(words, str) else words.decode("utf-8", "surrogateescape")
    # Nearly everything is printable, and then this is quick.
    shown = text if text.isprintable() else "".join(c if c.isprintable() else _escaped(c) for c in text)
    return shown + "…" if cut else shown


def quoted(name: str | bytes, longest: int = _LONGEST) -> str:
    """Write a name in quotes, legibly."""
    return f"'{legible(name, longest)}'"


def listed(names: Iterable[str]) -> str:
    """Write names for a message, on one line and not without end: they are the image's words."""
    names = iter(names)
    shown = [legible(name, 200) for name in islice(names, _LISTED)]
    more = sum(1 for _ in names)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def without_password(text: str) -> str:
    """Leave out the passwords of URLs in a text: what people and other machines are to see."""
    return _PASSWORD.sub(r"\1@", text)


def _escaped(character: str) -> str:
    # How Python keeps the bytes of a file name that is no UTF-8 (PEP 383).
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()
