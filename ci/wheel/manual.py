"""Manual pages of a click command and of all below it, from what click itself knows: nothing is written twice."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from itertools import groupby

import click
from roff import bold, entry, escape, filled, heading, literal, title, usage

# A paragraph of a docstring that begins so is a section of the page.
_HEADINGS = {"Examples:": "EXAMPLES", "Exit status:": "EXIT STATUS"}


def pages(command: click.Command, name: str, version: str, date: str) -> dict[str, str]:
    """Write the page of `command` and of each command below it; gives them by file name, as `NAME-SUB.1`."""
    contexts = [_context(command, name, None)]
    for context in contexts:
        contexts.extend(_below(context))
    return {f"{_name(each)}.1": _page(each, f"{name} {version}", date) for each in contexts}


def _context(command: click.Command, name: str, parent: click.Context | None) -> click.Context:
    return click.Context(command, parent, name, **command.context_settings)


def _below(context: click.Context) -> list[click.Context]:
    group = context.command
    if not isinstance(group, click.Group):
        return []
    return [_context(command, name, context) for name, command in sorted(group.commands.items()) if not command.hidden]


def _name(context: click.Context) -> str:
    return context.command_path.replace(" ", "-")


def _page(context: click.Context, version: str, date: str) -> str:
    name, synopsis = _name(context), " ".join(context.command.collect_usage_pieces(context))
    sections = {
        "NAME": [rf"{escape(name)} \- {escape(_summary(context))}"],
        "SYNOPSIS": [f"{bold(context.command_path)} {usage(synopsis)}"],
        "DESCRIPTION": [],
        "OPTIONS": list(_options(context)),
        "COMMANDS": [line for each in _below(context) for line in entry(bold(each.info_name or ""), _summary(each))],
        **{section: [] for section in _HEADINGS.values()},
        "SEE ALSO": [_see_also(context)],
    }
    for paragraph in _paragraphs(context.command):
        start = next((each for each in _HEADINGS if paragraph.startswith(each)), "")
        section = sections[_HEADINGS.get(start, "DESCRIPTION")]
        section += [".PP"] if section else []
        section += _lines(paragraph.removeprefix(start).removeprefix(" ") if start else paragraph)
    lines = [title(name.upper(), date, version)]
    for section_name, content in sections.items():
        lines += [heading(section_name), *content] if content else []
    return "\n".join(lines) + "\n"


def _summary(context: click.Context) -> str:
    return context.command.get_short_help_str(limit=200).removesuffix(".")


def _paragraphs(command: click.Command) -> list[str]:
    """Take a docstring apart; click's mark of a paragraph that stays as it is goes."""
    text = inspect.cleandoc(command.help or "").replace("\b\n", "")
    return [paragraph.strip("\n") for paragraph in text.split("\n\n")]


def _lines(paragraph: str) -> Iterator[str]:
    for indented, group in groupby(filter(None, paragraph.splitlines()), lambda each: each.startswith(" ")):
        lines = list(group)
        yield from literal(each[2:] for each in lines) if indented else map(filled, lines)


def _options(context: click.Context) -> Iterator[str]:
    """Give the options as `--help` does, and under its headings: those that belong to no group come first."""
    options = [each for each in context.command.get_params(context) if isinstance(each, click.Option)]
    for group in dict.fromkeys(["", *(getattr(each, "group", "") for each in options)]):
        records = [each.get_help_record(context) for each in options if getattr(each, "group", "") == group]
        yield from [heading(group, "SS")] if group else []
        for names, text in filter(None, records):
            yield from entry(usage(names), text)


def _see_also(context: click.Context) -> str:
    others = [*([context.parent] if context.parent else []), *_below(context)]
    return ",\n".join(rf"{bold(_name(each))}(1)" for each in others)
