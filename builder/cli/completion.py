"""`rootfs-builder completion`: teach a shell to complete the command."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from builder.cli.command import Command


@click.command(cls=Command)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print a script that completes what is typed.

    Commands, options and files are completed.

    \b
    Examples:
      source <(rootfs-builder completion bash)
      rootfs-builder completion fish | source
    """
    complete = get_completion_class(shell)
    assert complete is not None, "click completes these three"
    click.echo(complete(ctx.find_root().command, {}, "rootfs-builder", "_ROOTFS_BUILDER_COMPLETE").source())
