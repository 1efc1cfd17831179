"""Dependencies for make, as gcc's -MMD -MP writes them."""

from __future__ import annotations

from collections.abc import Sequence

from builder.errors import UsageError
from builder.words import quoted


def depfile(target: str, inputs: Sequence[str]) -> bytes:
    """Render a rule that makes `target` depend on `inputs`, and an empty rule for each of them.

    The empty rules keep make going when an input has been removed, for instance a blob of an older image. Raises
    UsageError for a name with a line end in it, for which make has no form.
    """
    for name in (target, *inputs):
        if "\n" in name:
            raise UsageError(f"make knows no file {quoted(name)}: rename it, or leave --depfile out")
    names = [_escape(name) for name in inputs]
    rule = " \\\n  ".join([f"{_as_target(_escape(target))}:", *names])
    return "\n\n".join([rule, *(f"{_as_target(name)}:" for name in names)]).encode("utf-8", "surrogateescape") + b"\n"


def _escape(name: str) -> str:
    """Quote what make would take for syntax (GNU make manual, "Rule Syntax"), as gcc's dependency writer does."""
    return name.replace("$", "$$").replace("#", "\\#").replace(" ", "\\ ").replace(":", "\\:")


def _as_target(name: str) -> str:
    """Keep a name from being a pattern, which only a target can be."""
    return name.replace("%", "\\%")
