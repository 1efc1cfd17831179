"""What hatchling does besides when it builds a wheel: manual pages, for `man rootfs-builder` where it is installed."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ManualPages(BuildHookInterface[Any]):
    """Pages of all commands, written anew for every wheel, from the commands themselves."""

    def dependencies(self) -> list[str]:
        """Ask for what the commands import."""
        return list(self.metadata.core.dependencies)

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Write the pages and have them packed; what runs from a checkout has none."""
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

    def _pages(self) -> dict[str, str]:
        sys.path[:0] = [self.root, str(Path(__file__).parent)]
        try:
            from manual import pages

            from builder.cli.main import cli
        finally:
            del sys.path[:2]
        return pages(cli, self.metadata.name, self.metadata.version, _date())


def _date() -> str:
    """Give the day of SOURCE_DATE_EPOCH; without it none, for the same sources shall make the same wheel."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    return time.strftime("%Y-%m-%d", time.gmtime(int(epoch))) if epoch else ""
