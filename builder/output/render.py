"""JSON documents as files: for people and programs alike, and for everybody's parsers."""

from __future__ import annotations

import json
import re
from typing import Any

# JSON may hold these as they are, and a terminal takes some for the beginning of a command.
_OBEYED = re.compile("[\x7f-\x9f]")


def render_portable(document: dict[str, Any]) -> bytes:
    """Write JSON for everybody's parsers: a byte that is no UTF-8, which ours have as Python does, is `\\xff` there."""
    return render_json(_portable(document))


def _portable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    if isinstance(value, dict):
        return {_portable(key): _portable(each) for key, each in value.items()}
    return [_portable(each) for each in value] if isinstance(value, (list, tuple)) else value


def render_json(document: dict[str, Any]) -> bytes:
    """Render a JSON document for people and programs alike."""
    text = _OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(document, indent=2, ensure_ascii=False))
    # Bytes of a path that are no UTF-8 become JSON's own escapes, so that the document stays JSON.
    return text.encode("utf-8", "backslashreplace") + b"\n"
