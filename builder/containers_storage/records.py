"""What the store's JSON files say of images and layers (containers/storage, images.go and layers.go)."""

from __future__ import annotations

import base64
import re
from typing import TypeVar

import msgspec

from builder.errors import MalformedDocument
from builder.words import quoted

# In bytes: tens of thousands of images. The files of a busy machine have a few hundred KiB.
MAX_FILE = 64 << 20

# IDs become file names; the store's own are 64 hex digits.
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_PLAIN_KEY = re.compile(r"[0-9a-z.]+")


class ImageRecord(msgspec.Struct, rename="kebab", frozen=True):
    """An image: its names, its top layer's ID (none without layers), and what is kept of it under which keys."""

    id: str
    digest: str = ""
    names: list[str] | None = None
    top_layer: str = msgspec.field(name="layer", default="")
    big_data_names: list[str] | None = None
    big_data_digests: dict[str, str] | None = None

    @property
    def digests(self) -> set[str]:
        """The digests of the manifests and indexes by which the image can be asked for."""
        stored = self.big_data_digests or {}
        return {self.digest, *(digest for key, digest in stored.items() if key.startswith("manifest"))} - {""}


class IdRange(msgspec.Struct, frozen=True):
    """`size` IDs from `container_id` on, which are those from `host_id` on outside of the container."""

    container_id: int
    host_id: int
    size: int


class LayerRecord(msgspec.Struct, rename="kebab", frozen=True):
    """A layer: its ID, its parent's (none at the bottom), the digest of its tar, and how its owners are mapped."""

    id: str
    parent: str = ""
    diff_digest: str = ""
    uid_map: list[IdRange] | None = msgspec.field(name="uidmap", default=None)
    gid_map: list[IdRange] | None = msgspec.field(name="gidmap", default=None)
    big_data_names: list[str] | None = None
    flags: dict[str, msgspec.Raw] | None = None

    @property
    def is_chunked(self) -> bool:
        """Say whether it was pulled in parts, from zstd:chunked; some versions note another digest then."""
        return any(name.startswith("zstd-chunked-") for name in self.big_data_names or ())

    @property
    def is_incomplete(self) -> bool:
        """Say whether a pull of it is under way, or was cut off."""
        return bytes((self.flags or {}).get("incomplete", msgspec.Raw(b""))) == b"true"


Record = TypeVar("Record", ImageRecord, LayerRecord)


def parse_records(data: bytes, kind: type[Record], name: str) -> dict[str, Record]:
    """Read images.json, layers.json or volatile-layers.json, by ID; `name` says in errors which one it is.

    Raises MalformedDocument for what is no such file, for IDs that repeat and those that are no file name.
    """
    records: dict[str, Record] = {}
    try:
        items = msgspec.json.decode(data, type=list[kind] | None) if data else None  # type: ignore[valid-type]
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        reason, _, path = str(error).partition(" - at `")
        raise MalformedDocument(name, path.removesuffix("`") or "$", f"{reason}; the store is damaged") from error
    for number, item in enumerate(items or ()):
        for text in (item.id, item.top_layer if isinstance(item, ImageRecord) else item.parent):
            if not _ID.fullmatch(text) and (text or text is item.id):
                raise MalformedDocument(name, f"$[{number}]", f"{quoted(text, 200)} is no ID")
        if item.id in records:
            raise MalformedDocument(name, f"$[{number}].id", f"{item.id} is there more than once")
        records[item.id] = item
    return records


def data_name(key: str) -> str:
    """Name the file that holds what is kept under a key (store.go, makeBigDataBaseName)."""
    return key if _PLAIN_KEY.fullmatch(key) else "=" + base64.b64encode(key.encode()).decode()
