"""What a disk holds, short enough for an extended attribute: of those a file has 4 KiB in all on ext4."""

from __future__ import annotations

import json
import zlib
from base64 import b64decode, b64encode

import msgspec

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
