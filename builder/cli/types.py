"""Click parameter types over the project's own parsers, so that a value is spelled the same everywhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from builder.errors import UsageError
from builder.form import parse_directory, parse_file

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

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Offer the words of a choice such as `auto|none|PATH`, and files for its PATH."""
        words = self.name.split("|") if "|" in self.name else []
        items = [CompletionItem(word) for word in words if word.islower() and word.startswith(incomplete)]
        return items + [CompletionItem(incomplete, type="file") for word in words if word == "PATH"]


class _Image(_ParamType):
    """An image reference; as it may be a plain path, shells complete it as one."""

    name = "image"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Leave it to the shell."""
        return [CompletionItem(incomplete, type="file")]


class _Path(click.Path):
    """A file, or a directory, by a name that `parse` takes; not an empty one, such as a variable of a Makefile."""

    def __init__(self, parse: Callable[[str], Path], **words: Any) -> None:
        # Not readable=True, click's default: whether a place can be written is told where it is known, with its status.
        super().__init__(readable=False, path_type=Path, **words)
        self._name = Parsed(self.name, parse)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Make a path of what is one."""
        self._name.convert(value, param, ctx)
        return super().convert(value, param, ctx)


class _Disk(_Image):
    """A disk: a file, or what names one in a registry."""

    name = "disk"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Make a path of what is one."""
        if isinstance(value, str) and value.startswith("docker://"):
            return value
        return FILE.convert(value, param, ctx)


IMAGE = _Image()
DISK = _Disk()
FILE = _Path(parse_file, dir_okay=False)
DIRECTORY = _Path(parse_directory, file_okay=False)
