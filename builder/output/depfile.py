"""Dependencies for make, as gcc's -MMD -MP writes them, and for names that gcc leaves to luck."""

from __future__ import annotations

import re
from collections.abc import Sequence

from builder.errors import UsageError
from builder.words import quoted

# Line ends and tabs; what would be somebody's home; at an end, what another rule is for; and what it refuses itself.
_NO_FORM = re.compile(r"[\n\t]|\A~|[ \\\r]\Z|\(\(.*\)\)\Z")
# What make would take for a pattern, as a shell does, and put the files in its place that match.
_PATTERN = re.compile(r"[*?]|\[.*\]")


def depfile(target: str, inputs: Sequence[str]) -> bytes:
    """Render a rule that makes `target` depend on `inputs`, and an empty rule for each of them.

    The empty rules keep make going when an input has been removed, for instance a blob of an older image. No name is
    more than a name there, though a file that is added may be called anything. Raises UsageError for one that make has
    no form for.
    """
    for name in (target, *inputs):
        if _NO_FORM.search(name):
            raise UsageError(f"make knows no file {quoted(name)}: rename it, or leave --depfile out")
    rule = " \\\n  ".join([f"{_target(target)}:", *map(_prerequisite, inputs)])
    return "\n\n".join([rule, *(f"{_target(name)}:" for name in inputs)]).encode("utf-8", "surrogateescape") + b"\n"


def _target(name: str) -> str:
    # Only a target can be a pattern; and one before `&:` would be of a group.
    return re.sub(r"&\Z", "$(strip &)", _escape(name, " :#%"))


def _prerequisite(name: str) -> str:
    # What is behind a | need not be newer.
    return _escape(name, " :#|")


def _escape(name: str, special: str) -> str:
    """Quote what make would take for syntax (GNU make manual, "Rule Syntax"): backslashes count only before that."""
    if _PATTERN.search(name):
        # In a pattern, backslashes count everywhere.
        name = re.sub(r"([\\*?[\]])", r"\\\1", name)
    name = name.replace("$", "$$")
    name = re.sub(rf"(\\*)([{special}])", r"\1\1\\\2", name)
    # Looked for twice, before variables are expanded and after that: the rest would be run.
    name = re.sub(r"(\\*);", r"\1\1\1\1\\\\\\;", name)
    # Not looked for in a reference; else the rest would be a variable's value, or run for one.
    return name.replace("=", "$(strip =)")
