"""The command `rootfs-builder` itself: the table of its commands, and how everything ends."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from itertools import pairwise

import click

from builder.cli.command import Commands, Group
from builder.cli.console import LOG_FORMATS, Console
from builder.cli.streams import open_standard_streams
from builder.denied import denial
from builder.errors import BuilderError, MissingRequirement, UsageError
from builder.shortage import LACKING, shortage
from builder.version import VERSION

_NAME = "rootfs-builder"

COMMANDS = Commands(
    {
        "build": ("builder.cli.build:build", "Build the root disk of IMAGE."),
        "batch": ("builder.cli.batch:batch", "Build a disk of every image in a list."),
        "boot": ("builder.cli.boot:boot", "Boot DISK under QEMU, and exit with its process's status."),
        "blank": ("builder.cli.blank:blank", "Make an empty ext4 disk for a guest's writes."),
        "verify": (
            "builder.cli.verify:verify",
            "Hold DISK against IMAGE, or against the image that its metadata name.",
        ),
        "push": ("builder.cli.push:push", "Put DISK into a registry, as an OCI artifact."),
        "pull": ("builder.cli.pull_disk:pull", "Write a disk that was pushed to a registry."),
        "unpack": ("builder.cli.unpack:unpack", "Write the root file system of IMAGE to DIRECTORY."),
        "inspect": ("builder.cli.inspect:inspect", "Say what IMAGE or DISK is, and what a disk of the image takes."),
        "store": ("builder.cli.store:store", "Keep images in a store of blobs, each of which is there once."),
        "cache": ("builder.cli.cache:cache", "Look after the layers that are kept decoded."),
        "completion": (
            "builder.cli.completion:completion",
            "Print a script that completes what is typed.",
        ),
    }
)


def _print_version(ctx: click.Context, _option: click.Parameter, asked: bool) -> None:
    if not asked:
        return
    click.echo(f"{_NAME}, version {VERSION}")
    ctx.exit()


@click.group(
    cls=Group,
    commands=COMMANDS,
    no_args_is_help=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=_print_version, help="Show the version."
)
def cli() -> None:
    """Turn a container image into the root disk of a microVM.

    An image is named as skopeo and podman name it:

    \b
      oci:DIR[:TAG]                   OCI image layout
      oci:DIR@DIGEST                  the same, by digest
      oci-archive:FILE[:TAG]          the same in a tar
      dir:DIR                         what `skopeo copy … dir:` writes
      docker-archive:FILE[:NAME:TAG]  what `docker save` writes
      docker://NAME[:TAG][@DIGEST]    an image in a registry
      store:NAME[:TAG]                this tool's own store, see `store --help`
      store:NAME@DIGEST               the same, by digest
      containers-storage:NAME-or-ID   podman's store; also [overlay@ROOT]NAME
      a plain path                    recognised by what is there

    \b
    Exit status: 0 done; 1 failed; 2 wrong usage; 3 the image was refused
    (malformed, corrupt or hostile); 4 a tool or a permission is missing;
    129, 130, 143 hung up, interrupted, terminated.
    """
    # Written out, and held to the tables by tests: help should not have to import what it tells of.


def run(words: Sequence[str]) -> int:
    """Run the command that `words` are, and return its exit status; every failure ends as one line."""
    console = Console()
    try:
        open_standard_streams()
        # Python's are for who writes programs, not for who runs them.
        if not sys.warnoptions:
            warnings.simplefilter("ignore")
        status: int | None = cli.main(list(words), prog_name=_NAME, standalone_mode=False, obj=console)
        return status or 0
    except click.ClickException as error:
        if (failure := _behind(error.__context__)) is not None:
            console.fail(failure)
            return failure.exit_status
        console.log_format = console.log_format or _form_asked_for(words)
        ctx = error.ctx if isinstance(error, click.UsageError) else None
        # Click lists choices over several lines, with tabs.
        message = " ".join(error.format_message().split())
        console.fail(UsageError(f"{message} (see {ctx.command_path if ctx else _NAME} --help)"))
        return UsageError.exit_status
    except BuilderError as error:
        console.fail(error)
        return error.exit_status
    except (ImportError, *LACKING) as error:
        failure = _named(error)
        if failure is None:
            raise
        failure.__cause__ = error
        console.fail(failure)
        return failure.exit_status
    except BaseException:
        # A signal cuts short what is going on.
        console.abandon()
        raise
    finally:
        console.end()


def _behind(error: BaseException | None) -> BuilderError | None:
    """Say why click could not open a file, where it was not misnamed: it may not be read, or the machine lacks room."""
    if isinstance(error, PermissionError):
        return denial(error, os.fsdecode(error.filename or "a file"))
    return None if error is None else shortage(error)


def _named(error: BaseException) -> BuilderError | None:
    """Say in this program's words what can go wrong anywhere; None for what else an error means."""
    if (short := shortage(error)) is not None:
        return short
    if isinstance(error, ImportError):
        return MissingRequirement(f"{error}; install rootfs-builder again")
    # Here, because few come to this.
    from builder.output.failures import directory_gone

    return directory_gone(error)


def _form_asked_for(words: Sequence[str]) -> str | None:
    """Find the form of messages in words that click cannot parse."""
    for word, following in pairwise([*words, ""]):
        option, _, value = word.partition("=")
        if option == "--log-format" and (value or following) in LOG_FORMATS:
            return value or following
    return None
