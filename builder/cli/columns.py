"""Text in the columns of a terminal: how wide it is, and cut to fit."""

from __future__ import annotations

import os
import shutil
import sys
import unicodedata

# In lines and columns, for who reads later, or through a pipe.
_NO_TERMINAL = os.terminal_size((100, 50))
# A terminal that is narrower folds lines; nothing is readable then anyway.
_NARROWEST = 20


def terminal_size() -> os.terminal_size:
    """Return the columns and lines there are for what goes to standard output, where no terminal is, some."""
    size = shutil.get_terminal_size(_NO_TERMINAL) if sys.stdout.isatty() else _NO_TERMINAL
    columns = os.environ.get("COLUMNS", "")
    if columns.isascii() and columns.isdigit() and 0 < int(columns) < 10_000:
        size = os.terminal_size((int(columns), size.lines))
    return os.terminal_size((max(size.columns, _NARROWEST), size.lines))


def width(text: str) -> int:
    """Return how many columns printable text takes: two for each wide character, none for what combines."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def fitted(text: str, columns: int) -> str:
    """Cut printable text to as many columns, with an ellipsis where something is missing."""
    if len(text) * 2 <= columns or width(text) <= columns:
        return text
    kept, room = [], columns - 1
    for character in text:
        room -= width(character)
        if room < 0:
            break
        kept.append(character)
    return "".join(kept) + "…"
