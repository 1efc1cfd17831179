"""The command `rootfs-builder` itself: options that come before a sub-command, and how everything ends."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import NoReturn

import click

from builder.cli.batch import batch
from builder.cli.build import build
from builder.cli.completion import completion
from builder.cli.console import Console
from builder.cli.inspect import inspect
from builder.cli.store import store
from builder.cli.unpack import unpack
from builder.errors import BuilderError, UsageError
from builder.signals import end_on_signals
from builder.sources.transports import TRANSPORTS


class ReportingGroup(click.Group):
    """A group under which every failure ends as one line on standard error and an exit status."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the options before the sub-command; what cannot be parsed is said in the form that they ask for."""
        words = list(args)
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            # Click's parser leaves that out for some mistakes.
            error.ctx = error.ctx or ctx
            # To a parser that knows nothing else, all others are just words.
            form = [option for option in self.params if option.name == "log_format"]
            parser = click.Command(None, params=form).make_parser(ctx)
            parser.ignore_unknown_options = True
            with suppress(click.UsageError):
                ctx.params |= parser.parse_args(words)[0]
            raise

    def invoke(self, ctx: click.Context) -> object:
        """Run the sub-command."""
        try:
            return super().invoke(ctx)
        except BuilderError as error:
            ctx.obj.fail(error)
            ctx.exit(error.exit_status)
        finally:
            if ctx.obj:
                ctx.obj.end()


def _help() -> str:
    """Write the help, of whose lines click keeps those as they are that follow on \\b."""
    forms = [(form, each.summary) for each in TRANSPORTS.values() for form in each.forms]
    forms.append(("a plain path", "recognised by what is there"))
    width = max(len(form) for form, _ in forms) + 2
    references = "\n".join(f"  {form:{width}}{summary}" for form, summary in forms)
    return f"""Turn a container image into the root disk of a microVM.

An image is named as skopeo and podman name it:

\b
{references}

\b
Exit status: 0 done; 1 failed; 2 wrong usage; 3 the image was refused
(malformed, corrupt or hostile); 4 a tool or a permission is missing;
129, 130, 143 hung up, interrupted, terminated.
"""


@click.group(
    cls=ReportingGroup,
    help=_help(),
    no_args_is_help=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="rootfs-builder", prog_name="rootfs-builder")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors.")
@click.option("-v", "--verbose", is_flag=True, help="With an error, also say what caused it.")
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Form of messages.",
)
@click.pass_context
def cli(ctx: click.Context, quiet: bool, verbose: bool, log_format: str) -> None:
    """Make the console that all sub-commands speak through."""
    ctx.obj = Console(quiet=quiet, verbose=verbose, json_lines=log_format == "json")


for command in (build, batch, unpack, inspect, store, completion):
    cli.add_command(command)


def main() -> NoReturn:
    """Run the command and exit."""
    _open_closed_streams()
    end_on_signals()
    try:
        sys.exit(cli.main(prog_name="rootfs-builder", standalone_mode=False))
    except click.ClickException as error:
        ctx = error.ctx if isinstance(error, click.UsageError) else None
        where = ctx.command_path if ctx else "rootfs-builder"
        # Click lists choices over several lines, with tabs.
        message = " ".join(error.format_message().split())
        _console_of(ctx).fail(click.ClickException(f"{message} (see {where} --help)"))
        sys.exit(UsageError.exit_status)


def _console_of(ctx: click.Context | None) -> Console:
    """Find the console that the options ask for, also where a mistake came before it was made."""
    root = ctx.find_root() if ctx else None
    if root and isinstance(root.obj, Console):
        return root.obj
    return Console(json_lines=root is not None and root.params.get("log_format") == "json")


def _open_closed_streams() -> None:
    """Open standard streams that are closed: the next file opened would get their number, and our messages."""
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(fd, True)
    os.close(fd)
    sys.stdin = sys.stdin or os.fdopen(0)
    sys.stdout = sys.stdout or os.fdopen(1, "w")
    sys.stderr = sys.stderr or os.fdopen(2, "w")
