"""Click parameter types over the project's own parsers, so that a value is spelled the same everywhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from builder.errors import UsageError

if TYPE_CHECKING:
    _ParamType = click.ParamType[Any]
else:
    _ParamType = click.ParamType  # older click's is not generic


class Parsed(_ParamType):
    """A parameter read by `parse`; its UsageError becomes click's."""

    def __init__(self, name: str, parse: Callable[[str], Any]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Parse text; what is parsed already (a default) passes."""
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except UsageError as error:
            self.fail(str(error), param, ctx)


class _Image(_ParamType):
    """An image reference; as it may be a plain path, shells complete it as one."""

    name = "image"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Leave it to the shell."""
        return [CompletionItem(incomplete, type="file")]


class _Path(click.Path):
    """A file, or a directory; not the current one, which is what an empty variable of a Makefile names."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Make a path of what is one."""
        if value == "":
            self.fail(f"an empty name names no {self.name}", param, ctx)
        return super().convert(value, param, ctx)


class _Disk(_ParamType):
    """A disk: a file, or what names one in a registry."""

    name = "disk"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Make a path of what is one."""
        if isinstance(value, str) and value.startswith("docker://"):
            return value
        return FILE.convert(value, param, ctx)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Leave it to the shell."""
        return [CompletionItem(incomplete, type="file")]


IMAGE = _Image()
DISK = _Disk()
# Not readable=True, click's default: whether a place can be written is told where it is known, with its status.
FILE = _Path(dir_okay=False, readable=False, path_type=Path)
DIRECTORY = _Path(file_okay=False, readable=False, path_type=Path)
