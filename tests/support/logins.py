"""Files of credentials, and what is found in them."""

from __future__ import annotations

import json
from base64 import b64encode
from pathlib import Path

from support.remote import listen_to

from builder.registry.credentials import find_credentials


def auth(user: str, password: str = "secret") -> dict[str, str]:
    return {"auth": b64encode(f"{user}:{password}".encode()).decode()}


def write(path: Path, **content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def user(authfile: Path | None, host: str = "registry.example", path: str = "team/app") -> str | None:
    found = find_credentials(authfile, host, path)
    return None if found is None else found.username


def told(authfile: Path | None, host: str = "registry.example", path: str = "team/app") -> tuple[str | None, list[str]]:
    """Give the user name that is found, and what the user is told."""
    heard: list[str] = []
    found = find_credentials(authfile, host, path, listen_to(heard))
    return None if found is None else found.username, heard


def places(home: Path) -> dict[str, Path]:
    return {
        "runtime": home / "run" / "containers" / "auth.json",
        "config": home / ".config" / "containers" / "auth.json",
        "docker": home / ".docker" / "config.json",
    }
