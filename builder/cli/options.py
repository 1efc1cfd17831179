"""The command line's half of the table of options: which a command has, how help shows them, how they become values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from builder import form
from builder.cli.command import ORDER, GroupedOption
from builder.cli.types import DIRECTORY, FILE, Parsed
from builder.options import OPTIONS, BuildOptions

F = TypeVar("F", bound=Callable[..., Any])
# Forms for which shells can complete what is typed.
_COMPLETED = {form.FILE: FILE, form.DIRECTORY: DIRECTORY}


def table_options(command: str) -> Callable[[F], F]:
    """Give a command the options that the table has for it."""
    return all_of(*(table_option(name) for name, entry in OPTIONS.items() if command in entry.commands))


def table_option(name: str, **changes: Any) -> Callable[[F], F]:
    """Give a command the option `name` of the table; `changes` are words of click's about it."""
    entry = OPTIONS[name]
    declarations = [f"--{name}", name.replace("-", "_")]
    words: dict[str, Any] = {"group": entry.group.title, "help": changes.pop("help", entry.help)}
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
    changes: dict[str, Any] = {}
    together: dict[str, dict[str, Sequence[Any]]] = {}
    for name, value in said.items():
        entry = OPTIONS[name.replace("_", "-")]
        # An option that can be repeated is () where it was not given; an empty --entrypoint or --cmd was given.
        if value is None or (entry.repeats and value == ()):
            continue
        if entry.repeats:
            together.setdefault(entry.first, {})[name] = value
        else:
            changes[entry.name] = entry.held(value)
    return BuildOptions().but(changes | {first: _in_order(values) for first, values in together.items()})


def _in_order(values: dict[str, Sequence[Any]]) -> tuple[Any, ...]:
    """Put the values of options, each's in order, into the order in which all were said on the line."""
    if len(values) == 1:
        return tuple(*values.values())
    rest = {name: iter(each) for name, each in values.items()}
    return tuple(next(rest[name]) for name in click.get_current_context().meta[ORDER] if name in rest)


def all_of(*decorators: Callable[[F], F]) -> Callable[[F], F]:
    """Make one decorator of several, which are shown in this order."""

    def decorate(function: F) -> F:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


registry_options = all_of(table_option("authfile"), table_option("cert-dir"), table_option("tls-verify"))
# For commands below one that has the option as well: what is said there comes before the environment.
store_option_below = table_option("store", envvar=None)
