"""What references resolved to: one small JSON file each, written in one step."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing

import msgspec

from builder.errors import InvalidReference, MalformedDocument
from builder.image.descriptor import Descriptor, DescriptorFields, read_descriptor
from builder.image.document import MAX_DOCUMENT_SIZE, convert_document, read_document, shown
from builder.image.name import ImageName
from builder.store.names import MANIFESTS, directory_of, is_reference, path_of, recorded
from builder.store.room import Room


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
        """Say what a reference resolved to, or None when there is no such reference. Raises MalformedDocument."""
        return self._read(path_of(name))

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

    def all(self) -> Iterator[tuple[ImageName, Descriptor]]:
        """Yield every reference and what it resolved to. Raises MalformedDocument."""
        for repository in self._room.names(MANIFESTS):
            directory = f"{MANIFESTS}/{repository}"
            for file in self._room.names(directory):
                path = f"{directory}/{file}"
                content = self._content(path) if is_reference(file) else None
                if content is not None:
                    name, descriptor = self._parse(path, content)
                    yield name, descriptor

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

    def _read(self, path: str) -> Descriptor | None:
        content = self._content(path)
        return None if content is None else self._parse(path, content)[1]

    def _parse(self, path: str, content: bytes) -> tuple[ImageName, Descriptor]:
        where = f"{self._room.place}/{path}"
        fields = convert_document(read_document(content, where), _Reference, where)
        try:
            name = ImageName.parse(fields.name)
        except InvalidReference as error:
            raise MalformedDocument(where, "$.name", f"{shown(fields.name)} is no image name") from error
        if path_of(name) != path:
            raise MalformedDocument(where, "$.name", f"is {name}, whose file has another name")
        return name, read_descriptor(fields.descriptor, where, "$.descriptor")

    def _content(self, path: str) -> bytes | None:
        file = self._room.open(path)
        if file is None:
            return None
        with file:
            return file.read(MAX_DOCUMENT_SIZE + 1)
