"""Text as the macros of man(7) want it; every function but `escape` gives whole lines, or a part that fits in one."""

from __future__ import annotations

import re
from collections.abc import Iterable

# Characters that a formatter turns into prettier ones: options and examples are to be copied from the screen.
_LITERAL = {"\\": r"\(rs", "-": r"\-", "'": r"\(aq", "`": r"\(ga", "^": r"\(ha", "~": r"\(ti", '"': r"\(dq"}


def escape(text: str) -> str:
    """Have each character mean itself; what is not ASCII is written as its number in Unicode."""
    return "".join(_LITERAL.get(each) or (each if each.isascii() else rf"\[u{ord(each):04X}]") for each in text)


def bold(text: str) -> str:
    """Set what is typed as it stands."""
    return rf"\fB{escape(text)}\fR"


def usage(text: str) -> str:
    """Set options in bold, other words in italics and punctuation plainly, as in `-o, --output FILE`."""
    return re.sub(r"(-[\w-]+)|(\w[\w-]*)|([^\w-]+|-)", _styled, text)


def _styled(found: re.Match[str]) -> str:
    option, word, other = found.groups()
    if option:
        return bold(option)
    return rf"\fI{escape(word)}\fR" if word else escape(other)


def title(name: str, date: str, version: str) -> str:
    """Begin a page; `date` is YYYY-MM-DD or empty, `version` that of the program."""
    return f'.TH "{escape(name)}" 1 "{date}" "{escape(version)}" "User Commands"'


def heading(name: str, level: str = "SH") -> str:
    """Begin a section, or with SS a part of one."""
    return f".{level} {escape(name)}"


def filled(text: str) -> str:
    """Give a line of running text, which must not be taken for a request."""
    escaped = escape(text)
    return rf"\&{escaped}" if escaped.startswith(".") else escaped


def literal(lines: Iterable[str]) -> list[str]:
    """Give lines that stay as they are."""
    return [".RS 4", ".EX", *map(filled, lines), ".EE", ".RE"]


def entry(tag: str, text: str) -> list[str]:
    """Give an entry of a list: a tag that was set already, and what it means."""
    return [".TP", tag, filled(text)]
