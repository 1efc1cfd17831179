"""What hatchling makes besides when it builds the package: init for guests, and manual pages for `man`."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Contents(BuildHookInterface[Any]):
    """Init, compiled for every architecture; and pages of all commands, written anew from the commands themselves."""

    def dependencies(self) -> list[str]:
        """Ask for the compiler of init where that is to be compiled, and for what the commands import."""
        with self._imports():
            from programs import COMPILER
        compiler = [] if self._init_programs().are_current else [COMPILER]
        return [*compiler, *self.metadata.core.dependencies]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Make what the wheel gets; a checkout gets init, and has no pages."""
        programs = self._init_programs()
        programs.make()
        build_data["artifacts"] += [path.relative_to(self.root).as_posix() for path in programs.paths]
        if version == "editable":
            return
        self._folder = TemporaryDirectory()
        for name, page in self._pages().items():
            path = Path(self._folder.name, name)
            path.write_text(page)
            build_data["shared_data"][str(path)] = f"share/man/man1/{name}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what was packed."""
        if version != "editable":
            self._folder.cleanup()

    def _init_programs(self) -> Any:
        with self._imports():
            from programs import Programs
        guest = Path(self.root, "builder", "guest")
        return Programs(guest / "init", guest / "programs")

    def _pages(self) -> dict[str, str]:
        with self._imports():
            from manual import pages

            from builder.cli.main import cli
        return pages(cli, self.metadata.name, self.metadata.version, _date())

    @contextmanager
    def _imports(self) -> Iterator[None]:
        """Find the modules beside this one, and the package that is being built."""
        sys.path[:0] = [self.root, str(Path(__file__).parent)]
        try:
            yield
        finally:
            del sys.path[:2]


def _date() -> str:
    """Give the day of SOURCE_DATE_EPOCH; without it none, for the same sources shall make the same wheel."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    return time.strftime("%Y-%m-%d", time.gmtime(int(epoch))) if epoch else ""
