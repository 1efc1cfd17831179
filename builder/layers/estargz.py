"""eStargz: an ordinary gzip layer whose last members are bookkeeping and no part of the root file system.

containerd/stargz-snapshotter, docs/estargz.md: the table of contents is a tar entry of the layer, found through
a footer that is an empty gzip member with an extra field.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

# At most, in bytes.
FOOTER_SIZE = 64

TOC_ANNOTATION = "containerd.io/snapshot/stargz/toc.digest"

_NAMES = frozenset({b"stargz.index.json", b".prefetch.landmark", b".no.prefetch.landmark"})
# The offset of the table of contents in hex, then the magic word; newer footers wrap both in a subfield "SG". Where the
# table is elsewhere (estargz/externaltoc), only a word says so, and landmarks are all that the layer has of it.
_FOOTER = re.compile(
    rb"\x1f\x8b\x08\x04.{6}"
    rb"(?:(?:\x1a\x00SG\x16\x00|\x16\x00)[0-9a-f]{16}STARGZ|\x15\x00SG\x11\x00STARGZEXTERNALTOC)"
    rb"\x01\x00\x00\xff\xff\x00{8}\Z",
    re.DOTALL,
)


def has_name_of_bookkeeping(path: bytes) -> bool:
    """Whether the tar entry `path` is eStargz's own if its blob is eStargz."""
    return path.removeprefix(b"./") in _NAMES


def is_bookkeeping(path: bytes, annotations: Mapping[str, str], tail: bytes) -> bool:
    """Whether the tar entry `path` is eStargz's own, given its blob's descriptor annotations and last bytes."""
    return has_name_of_bookkeeping(path) and (TOC_ANNOTATION in annotations or _FOOTER.search(tail) is not None)
