"""What a disk holds, where it is kept with it: in its metadata, and short enough for an extended attribute.

Of those a file has 4 KiB in all on ext4.
"""

from __future__ import annotations

import json
import zlib
from base64 import b64decode, b64encode
from pathlib import Path

import msgspec

from builder.errors import BuilderError
from builder.output.beside import read_as
from builder.tree.contents import Contents

# Contents are never longer (tree/contents.py); what is came from elsewhere.
_LONGEST = 64 << 10


def pack_contents(contents: Contents) -> str:
    """Write contents as base64 of their deflated JSON."""
    return b64encode(zlib.compress(json.dumps(msgspec.to_builtins(contents)).encode(), 9)).decode()


def unpack_contents(text: str) -> Contents:
    """Read what `pack_contents` wrote. Raises ValueError."""
    try:
        plain = zlib.decompressobj().decompress(b64decode(text), _LONGEST)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    return msgspec.convert(json.loads(plain), Contents)


class _Described(msgspec.Struct):
    contents: Contents | None = None


def contents_beside(disk: Path) -> Contents | None:
    """Read what the metadata beside a disk say of what it holds; None without any, and for what is none."""
    try:
        said = read_as(_Described, disk)
    except (BuilderError, OSError):
        return None
    return said.contents if said else None
