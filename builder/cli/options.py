"""The command line's half of the table of options: which a command has, how help shows them, how they become values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from builder import option
from builder.cli.command import GroupedOption
from builder.cli.types import DIRECTORY, FILE, Parsed
from builder.options import OPTIONS, BuildOptions

F = TypeVar("F", bound=Callable[..., Any])
# Forms for which shells can complete what is typed.
_COMPLETED = {option.FILE: FILE, option.DIRECTORY: DIRECTORY}


def table_options(command: str) -> Callable[[F], F]:
    """Give a command the options that the table has for it."""
    return all_of(*(table_option(name) for name, entry in OPTIONS.items() if command in entry.commands))


def table_option(name: str, **changes: Any) -> Callable[[F], F]:
    """Give a command the option `name` of the table; `changes` are words of click's about it."""
    entry = OPTIONS[name]
    declarations = [f"--{name}", name.replace("-", "_")]
    words: dict[str, Any] = {"group": entry.group.title, "help": entry.help}
    if entry.is_switch:
        words |= {"is_flag": True, "default": entry.held(entry.default)}
        if words["default"] is not False:
            declarations[0] += f"/--no-{name}"
    else:
        completed = _COMPLETED.get(entry.form)
        words |= {"type": completed or Parsed(entry.form.shown, entry.form.parse), "metavar": entry.form.shown}
        words |= {"envvar": entry.variable, "show_envvar": True, "multiple": entry.repeats}
        if entry.repeats:
            words["help"] += "  [may be repeated]"
        if entry.shown_default:
            words["help"] += f"  [default: {entry.shown_default}]"
    return click.option(*declarations, cls=GroupedOption, **{**words, **changes})


def build_options(**said: Any) -> BuildOptions:
    """Gather the parsed options of a command; what was not said keeps its default."""
    entries = {name: OPTIONS[name.replace("_", "-")] for name in said}
    return BuildOptions().but(
        {entry.name: entry.held(said[name]) for name, entry in entries.items() if said[name] not in (None, ())}
    )


def all_of(*decorators: Callable[[F], F]) -> Callable[[F], F]:
    """Make one decorator of several, which are shown in this order."""

    def decorate(function: F) -> F:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


# For commands below one that has the option as well: what is said there comes before the environment.
store_option_below = table_option("store", envvar=None)
