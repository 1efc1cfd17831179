"""The user's home directory, which not every user has: containers run under numbers that no file knows."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def home_directory(environment: Mapping[str, str] | None = None) -> Path | None:
    """Give $HOME, or what the system knows of this user; None where that is no absolute path."""
    home = (os.environ if environment is None else environment).get("HOME") or _recorded()
    return Path(home) if os.path.isabs(home) else None


def config_directories() -> list[Path]:
    """Give where the user keeps settings: one place, or none for who has no home (XDG Base Directory Specification)."""
    named = os.environ.get("XDG_CONFIG_HOME")
    if named:
        return [Path(named)]
    home = home_directory()
    return [] if home is None else [home / ".config"]


def expand_home(path: str) -> str | None:
    """Put a home in place of a leading `~` or `~NAME`, as a shell does; None where there is no such home."""
    if not path.startswith("~"):
        return path
    name, slash, rest = path.partition("/")
    if name == "~":
        home = home_directory()
        return None if home is None else f"{home}{slash}{rest}"
    expanded = os.path.expanduser(path)
    return None if expanded.startswith("~") else expanded


def _recorded() -> str:
    # Here, because few need it, and where a directory service answers it may take a while.
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return ""
