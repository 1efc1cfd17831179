"""zstd:chunked: an ordinary layer in zstd, whose table of contents is in frames that every reader passes over.

containers/storage, pkg/chunked: the table is found through annotations of the layer's descriptor.
"""

from __future__ import annotations

from collections.abc import Mapping

# tar writes its archives in whole records, in bytes: zeros fill the last one. Some writers of zstd:chunked (skopeo 1.9,
# for one) copy a tar up to its end and not those zeros, while the diff_id stays that of all of it.
RECORD = 20 * 512

TOC_ANNOTATION = "io.containers.zstd-chunked.manifest-checksum"


def is_chunked(annotations: Mapping[str, str]) -> bool:
    """Whether a layer is zstd:chunked, given its descriptor's annotations."""
    return TOC_ANNOTATION in annotations
