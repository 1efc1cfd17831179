"""A tar of the user's own as a layer: through the same reader, under the same limits as the layers of an image."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Generator, Iterator
from contextlib import closing
from itertools import chain

from builder.additions.addition import AddedTar
from builder.additions.host import changed, content, open_file
from builder.archive.compression import COMPRESSIONS, detect
from builder.archive.entry import Entry
from builder.archive.tar import TarReader
from builder.errors import CorruptStream, LayerRefused, MalformedTar
from builder.layers.account import Account
from builder.tree.entries import Entries
from builder.tree.read import read_layer
from builder.tree.spool import Spool


def read_tar(added: AddedTar, digest: str, spool: Spool, account: Account, name: str) -> Entries:
    """Read a tar to its end, content into the spool; `name` is what errors call it, `digest` its sha256 in hex.

    Raises LayerRefused, LimitExceeded, and AdditionFailed where it is not what that digest says.
    """
    packed = _Packed(added, account, name)
    with closing(packed), closing(_Stream(packed, account, name)) as stream:
        try:
            entries = read_layer(stream, spool)
            stream.finish()
        except MalformedTar as error:
            raise LayerRefused(name, error.entry, error.reason) from error
        except CorruptStream as error:
            raise LayerRefused(name, None, error.reason) from error
    if packed.digest != digest:
        raise changed(name, b"")
    return entries


class _Packed:
    """The bytes of the file as they are, hashed and counted."""

    def __init__(self, added: AddedTar, account: Account, name: str) -> None:
        self.count = 0
        self._hasher = hashlib.sha256()
        self._chunks = self._watched(_chunks(added, account, name))

    def __iter__(self) -> Iterator[bytes]:
        return self._chunks

    @property
    def digest(self) -> str:
        """The sha256 of what has passed, in hex."""
        return self._hasher.hexdigest()

    def close(self) -> None:
        """Close the file."""
        self._chunks.close()

    def _watched(self, chunks: Generator[bytes, None, None]) -> Generator[bytes, None, None]:
        with closing(chunks):
            for chunk in chunks:
                self._hasher.update(chunk)
                self.count += len(chunk)
                yield chunk


class _Stream:
    """The entries of the tar, as read_layer wants them."""

    def __init__(self, packed: _Packed, account: Account, name: str) -> None:
        self._account = account
        self._name = name
        self._packed = packed
        self._plain = self._inflated()
        self._tar = TarReader(self._plain)

    def __iter__(self) -> Iterator[Entry]:
        for entry in self._tar:
            self._account.entry(self._name, entry, self._tar.headers_size)
            yield entry

    def content(self) -> Iterator[tuple[int, memoryview]]:
        return self._tar.content()

    def finish(self) -> None:
        """Read what is behind the end of the archive, as the digest is of all."""
        for _ in chain(self._plain, self._packed):
            pass

    def close(self) -> None:
        self._tar.close()

    def _inflated(self) -> Iterator[bytes]:
        packed = iter(self._packed)
        head = next(packed, b"")
        plain = 0
        for chunk in COMPRESSIONS[detect(head[:512])].decompress(chain([head] if head else [], packed)):
            plain += len(chunk)
            self._account.unpacked(self._name, len(chunk))
            self._account.ratio(self._name, self._packed.count, plain)
            yield chunk


def _chunks(added: AddedTar, account: Account, name: str) -> Generator[bytes, None, None]:
    if isinstance(added.source, bytes):
        account.packed(name, len(added.source))
        yield added.source
        return
    with open_file(os.fspath(added.source), name) as file:
        account.packed(name, file.size)
        yield from content(file, name)
