"""From an image to the layers in the stores that its config's diff_ids stand for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from builder.containers_storage.records import LayerRecord
from builder.errors import MalformedArchive, MalformedDocument
from builder.image.digest import Digest
from builder.words import quoted

_TODO = "pull or build the image again"
# An imagestore has images and their files; which layers there are is written down in the graphroot.
_IMAGESTORE = "where it is an imagestore, write [overlay@GRAPHROOT:imagestore=IMAGESTORE]NAME"


def find_chain(
    image: str, top: str, layers: Sequence[Mapping[str, LayerRecord]], diff_ids: Sequence[Digest]
) -> list[LayerRecord]:
    """Follow the parents of the top layer, whose IDs may be in any of the stores, to the bottom; lowest layer first.

    `image` names the image in errors. Raises MalformedArchive for a layer that is missing or not all there, and
    MalformedDocument where the layers are not those of the config.
    """
    chain: list[LayerRecord] = []
    below = top
    # No more steps than there are diff_ids: parents may go round in circles.
    while below and len(chain) < len(diff_ids):
        record = next((store[below] for store in layers if below in store), None)
        if record is None:
            todo = _TODO if any(layers) else f"{_IMAGESTORE}, else {_TODO}"
            raise MalformedArchive(image, f"its layer {below} is in none of the stores; {todo}")
        if record.is_incomplete:
            raise MalformedArchive(image, f"its layer {below} is not complete: another program is pulling it, or was")
        chain.append(record)
        below = record.parent
    if below or len(chain) < len(diff_ids):
        count = f"more than {len(chain)}" if below else str(len(chain))
        reason = f"has {len(diff_ids)} entries, but the store has {count} layers; {_TODO}"
        raise MalformedDocument(f"{image}: image config", "$.rootfs.diff_ids", reason)
    chain.reverse()
    for number, (record, diff_id) in enumerate(zip(chain, diff_ids, strict=True)):
        # One that the store noted wrongly is found out when the layer is read.
        if record.diff_digest not in ("", str(diff_id)) and not record.is_chunked:
            reason = f"is {diff_id}, but the store's layer {record.id} is {quoted(record.diff_digest, 200)}; {_TODO}"
            raise MalformedDocument(f"{image}: image config", f"$.rootfs.diff_ids[{number}]", reason)
    return chain
