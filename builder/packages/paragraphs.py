"""Files of paragraphs: lines of `name: value`, and an empty line after each (deb-control(5), and apk's database)."""

from __future__ import annotations

import io
from collections.abc import Collection, Iterator


def paragraphs(data: bytes, wanted: Collection[bytes]) -> Iterator[dict[bytes, bytes]]:
    """Yield what each paragraph says of the fields that are wanted, if it says anything of them.

    Further lines of a field, which begin with a space or a tab, do not count; of equal fields the first does.
    """
    found: dict[bytes, bytes] = {}
    for line in io.BytesIO(data):
        if not line.strip():
            if found:
                yield found
            found = {}
            continue
        name, colon, value = line.partition(b":")
        if colon and name in wanted:
            found.setdefault(name, value.strip())
    if found:
        yield found
