"""What references resolved to: one small JSON file each, written in one step."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing

import msgspec

from builder.errors import InvalidReference, MalformedDocument, StoreCorrupt
from builder.image.descriptor import Descriptor, DescriptorFields, read_descriptor
from builder.image.document import MAX_DOCUMENT_SIZE, read_document
from builder.image.name import ImageName
from builder.image.shape import convert_document
from builder.store.reference_files import MANIFESTS, directory_of, is_reference, path_of, recorded
from builder.store.room import Room
from builder.words import quoted


class _Reference(msgspec.Struct):
    name: str
    descriptor: DescriptorFields


class References:
    """The references of one store."""

    def __init__(self, room: Room, temporary: str) -> None:
        """`temporary` is the room's directory for drafts."""
        self._room = room
        self._temporary = temporary

    def get(self, name: ImageName) -> Descriptor | None:
        """Say what a reference resolved to, or None when there is no such reference. Raises StoreCorrupt."""
        path = path_of(name)
        content = self._content(path)
        return None if content is None else self._parse(path, content)[1]

    def put(self, name: ImageName, descriptor: Descriptor) -> None:
        """Record, durably, what a reference resolved to; all that it needs must be there and leased."""
        resolved = {"mediaType": descriptor.media_type, "digest": str(descriptor.digest), "size": descriptor.size}
        data = json.dumps({"name": str(recorded(name)), "descriptor": resolved}, indent=2).encode() + b"\n"
        path = path_of(name)
        if self._content(path) == data:
            return  # and its date stays, for make
        with closing(self._room.create(self._temporary, "reference")) as draft:
            draft.append(data)
            draft.sync()
            with self._room.lock(exclusive=False):
                self._room.rename(draft.path, path)
        self._room.sync(directory_of(name))

    def files(self) -> Iterator[str]:
        """Yield the path of every reference."""
        for repository in self._room.names(MANIFESTS):
            for file in self._room.names(f"{MANIFESTS}/{repository}"):
                if is_reference(file):
                    yield f"{MANIFESTS}/{repository}/{file}"

    def load(self, path: str) -> tuple[ImageName, Descriptor]:
        """Read the reference at a path; raises StoreCorrupt for what is none, or is gone by now."""
        content = self._content(path)
        if content is None:
            raise StoreCorrupt(f"{self._room.place}/{path}", "the reference is gone")
        return self._parse(path, content)

    def remove(self, name: ImageName) -> bool:
        """Forget a reference, and say whether there was one."""
        path = path_of(name)
        # Exclusively, so that nobody is about to put another into the directory.
        with self._room.lock(exclusive=True):
            if self._room.stamp(path) is None:
                return False
            self._room.remove(path)
            self._room.sync(directory_of(name))
            self._room.remove(directory_of(name))
        return True

    def _parse(self, path: str, content: bytes) -> tuple[ImageName, Descriptor]:
        where = f"{self._room.place}/{path}"
        try:
            fields = convert_document(read_document(content, where), _Reference, where)
            name = ImageName.parse(fields.name)
            descriptor = read_descriptor(fields.descriptor, where, "$.descriptor")
        except MalformedDocument as error:
            raise StoreCorrupt(where, f"is no reference: at {error.path}, {error.reason}") from error
        except InvalidReference as error:
            raise StoreCorrupt(where, f"is no reference: {quoted(error.reference, 200)} is no image name") from error
        if path_of(name) != path:
            raise StoreCorrupt(where, f"is a reference of {name}, whose file has another name")
        if name.digest not in (None, descriptor.digest):
            raise StoreCorrupt(where, f"is a reference of {name}, but resolves to {descriptor.digest}")
        return name, descriptor

    def _content(self, path: str) -> bytes | None:
        file = self._room.open(path)
        if file is None:
            return None
        with file:
            return file.read(MAX_DOCUMENT_SIZE + 1)
