"""Shell scripts that start a machine: POSIX shell, and to be started from anywhere."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence

from builder.vm.vmm import Configuration

# It is started by its name, by a link to that, or through PATH; the shell's `cd` would follow CDPATH.
_HOME = """\
here=$(readlink -f -- "$0") || exit
cd -- "${here%/*}/" || exit
"""


def script(about: Iterable[str], choices: str, command: Sequence[str]) -> Configuration:
    """Make a script that runs `command`, words of the shell's, with the script's own arguments behind.

    `about` are lines for who reads it; `choices` is shell that comes before.
    """
    head = "".join(f"# {line}\n" for line in about)
    lines: list[str] = []
    for word in command:
        if lines and not word.startswith("-"):
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    body = " \\\n  ".join([*lines, '"$@"'])
    text = f"#!/bin/sh\n{head}\n{_HOME}{choices}\nexec {body}\n"
    return Configuration(text.encode("utf-8", "surrogateescape"), executable=True)


def quoted_words(words: Iterable[str]) -> list[str]:
    """Quote words, for a shell, that hold anything."""
    return [shlex.quote(word) for word in words]
