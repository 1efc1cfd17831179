"""PyFilesystem without setuptools, whose `pkg_resources` its last release asks for and setuptools 82 no longer has.

Two functions of it are all that `fs` uses, and the standard library has both: while `fs` is imported, a module with
these two stands in. Nobody else sees it, also not who has the real one.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pkgutil import extend_path
from threading import Lock
from types import ModuleType
from typing import TYPE_CHECKING

from builder.errors import MissingRequirement

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

_ASKED_FOR = "pkg_resources"
_lock = Lock()


def import_fs() -> None:
    """Import PyFilesystem, after which `fs` and all below it can be imported as anything else.

    Raises MissingRequirement where it is not installed or does not work.
    """
    with _lock:
        if "fs.opener.registry" in sys.modules:
            return
        try:
            with _standing_in():
                importlib.import_module("fs.opener.registry")
            # A file of a damaged archive that could not be opened is closed all the same, by its destructor; what that
            # stumbles over is printed from Python 3.13 on.
            importlib.import_module("fs.iotools").RawWrapper._f = _NotOpened()
        except ImportError as error:
            raise MissingRequirement(
                f"PyFilesystem cannot be loaded ({error}); URLs need it: pip install fs"
            ) from error


class _NotOpened:
    """What stands for the file of a wrapper that has none yet."""

    def flush(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


def incomplete(where: str, error: ImportError) -> MissingRequirement:
    """Say that the file system at `where` has an opener, but not what that imports."""
    return MissingRequirement(f"{where}: its opener cannot be loaded ({error}); install what is missing")


@contextmanager
def _standing_in() -> Iterator[None]:
    stand_in = ModuleType(_ASKED_FOR)
    stand_in.__dict__.update(declare_namespace=_declare_namespace, iter_entry_points=_iter_entry_points)
    real = {name: module for name, module in sys.modules.items() if name == _ASKED_FOR}
    sys.modules[_ASKED_FOR] = stand_in
    try:
        yield
    finally:
        del sys.modules[_ASKED_FOR]
        sys.modules.update(real)


def _declare_namespace(name: str) -> None:
    """Let a package consist of all directories of that name on `sys.path`: openers may be installed into `fs`."""
    package = sys.modules[name]
    package.__path__ = extend_path(package.__path__, name)


def _iter_entry_points(group: str, name: str | None = None) -> Iterator[EntryPoint]:
    """Find what installed distributions offer in a group, under one name or under all."""
    # Here, because it takes long to import.
    from importlib.metadata import entry_points

    found = entry_points(group=group)
    return iter(found if name is None else found.select(name=name))
