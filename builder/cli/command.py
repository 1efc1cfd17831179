"""What all commands share: options that may stand anywhere on the line, help in sections, and imports put off."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

from builder.cli.console import LOG_FORMATS, PROGRESS, Console
from builder.signals import ended_at_once


class GroupedOption(click.Option):
    """An option that help shows in the section `group`."""

    def __init__(self, declarations: list[str] | tuple[str, ...], *, group: str, **words: Any) -> None:
        super().__init__(declarations, **words)
        self.group = group


def _tell(ctx: click.Context, option: click.Parameter, value: Any) -> None:
    """Tell the console what was said; the last word on the line holds."""
    if value and isinstance(console := ctx.find_root().obj, Console):
        setattr(console, option.name or "", value)


# Early, so that what is wrong with other words is said in the form that is asked for.
_SPEECH: dict[str, Any] = {"group": "Messages", "expose_value": False, "is_eager": True, "callback": _tell}
SPEECH = (
    GroupedOption(["-q", "--quiet"], is_flag=True, help="Say nothing but errors.", **_SPEECH),
    GroupedOption(
        ["-v", "--verbose"], is_flag=True, help="Say what each stage took, and what caused an error.", **_SPEECH
    ),
    GroupedOption(
        ["--log-format"], type=click.Choice(LOG_FORMATS), help="Form of messages.  [default: text]", **_SPEECH
    ),
    GroupedOption(
        ["--progress"],
        type=click.Choice(PROGRESS),
        help="How to show progress on standard error.  [default: auto]",
        **_SPEECH,
    ),
)


# Where a command's context has the names of its options as they were said, one after the other.
ORDER = f"{__name__}.order"


class Command(click.Command):
    """A command with the options of all commands, whose help shows options by their groups, its own first."""

    def __init__(self, *positional: Any, **named: Any) -> None:
        super().__init__(*positional, **named)
        self.params += SPEECH

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse as click does, and keep the order of the options: with values, click gives none across them."""
        try:
            _, _, said = self.make_parser(ctx).parse_args(list(args))
        except click.UsageError as error:
            # Click leaves out of some mistakes which command they were made with.
            error.ctx = error.ctx or ctx
            raise
        ctx.meta[ORDER] = [parameter.name for parameter in said]
        return super().parse_args(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a section for each group of options."""
        sections: dict[str, list[tuple[str, str]]] = {"Options": []}
        for parameter in self.get_params(ctx):
            # Arguments are told in the usage line, and by the words below it.
            if isinstance(parameter, click.Option) and (record := parameter.get_help_record(ctx)):
                group = parameter.group if isinstance(parameter, GroupedOption) else "Options"
                sections.setdefault(group, []).append(record)
        for title, records in sections.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


if TYPE_CHECKING:
    _Commands = dict[str, click.Command]
else:
    _Commands = Mapping


class Commands(_Commands):
    """Commands by name, each imported when it is asked for; `summaries` are the first sentences of their help."""

    def __init__(self, places: Mapping[str, tuple[str, str]]) -> None:
        self._places = places
        self.summaries = {name: summary for name, (_, summary) in places.items()}

    def __getitem__(self, name: str) -> click.Command:
        """Import a command. Raises KeyError."""
        module, _, attribute = self._places[name][0].partition(":")
        with ended_at_once():
            command: click.Command = getattr(import_module(module), attribute)
        return command

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names."""
        return iter(self._places)

    def __len__(self) -> int:
        """Count the commands."""
        return len(self._places)


class Group(Command, click.Group):
    """A command of commands, in the order of their table."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the commands."""
        return list(self.commands)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, and the commands below them."""
        Command.format_options(self, ctx, formatter)
        self.format_commands(ctx, formatter)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands, without importing them."""
        if isinstance(self.commands, Commands):
            with formatter.section("Commands"):
                formatter.write_dl(list(self.commands.summaries.items()))
        else:
            super().format_commands(ctx, formatter)
