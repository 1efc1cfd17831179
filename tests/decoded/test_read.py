"""What is asked of a source whose layers are kept, and what of a layer is never kept."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import pytest
from support.tars import file, tar

from builder.decoded.options import CacheOptions
from builder.decoded.read import Layers
from builder.errors import SizeMismatch
from builder.events import ignore
from builder.image.descriptor import Descriptor
from builder.image.digest import Digest
from builder.image.image import Layer
from builder.image.media_types import OCI_LAYER
from builder.layers.account import Account
from builder.limits import Limits
from builder.tree.spool import Spool

PLAIN = (tar(file("a", b"a" * 5000)), tar(file("b", b"b")))


@dataclass
class Blobs:
    """A source of plain layers that notes what it is asked for."""

    rebuilt: bool = False
    damage: bytes = b""
    expected: list[int] = field(default_factory=list)
    opened: list[int] = field(default_factory=list)

    def root(self) -> Descriptor:
        raise AssertionError("nobody asks for the root")

    def open(self, descriptor: Descriptor) -> BinaryIO:
        data = next(each for each in PLAIN if Digest.of(each) == descriptor.digest)
        self.opened.append(PLAIN.index(data))
        return io.BytesIO(data + self.damage)

    def expect(self, layers: Sequence[Descriptor]) -> None:
        self.expected += [[Digest.of(each) for each in PLAIN].index(layer.digest) for layer in layers]

    def original(self, _manifest: Descriptor) -> Digest | None:
        return None

    def is_rebuilt(self, _layer: Descriptor) -> bool:
        return self.rebuilt

    def inputs(self) -> list[str]:
        return []

    def close(self) -> None:
        pass


def read(source: Blobs, cache: Path, spool: Spool, *numbers: int) -> list[list[bytes]]:
    """Read these layers, and give the names in each."""
    layers = []
    for index, number in enumerate(numbers):
        digest = Digest.of(PLAIN[number])
        descriptor = Descriptor(OCI_LAYER, digest, len(PLAIN[number]))
        layers.append(Layer(index, len(numbers), descriptor, digest))
    with closing(Layers(source, spool, Account(Limits()), CacheOptions(place=cache), ignore)) as reader:
        return [[entry.path for entry in entries] for _, entries in reader.read(layers)]


def test_a_blob_whose_layer_is_kept_is_neither_fetched_nor_opened(tmp_path: Path, spool: Spool) -> None:
    first, second, third = Blobs(), Blobs(), Blobs()
    assert read(first, tmp_path / "cache", spool, 0) == [[b"a"]]
    assert read(second, tmp_path / "cache", spool, 0, 1) == [[b"a"], [b"b"]]
    assert read(third, tmp_path / "cache", spool, 1, 0, 1) == [[b"b"], [b"a"], [b"b"]]
    assert [(each.expected, each.opened) for each in (first, second, third)] == [([0], [0]), ([1], [1]), ([], [])]


def test_what_nothing_vouches_for_is_neither_kept_nor_taken(tmp_path: Path, spool: Spool) -> None:
    rebuilt = Blobs(rebuilt=True)
    read(rebuilt, tmp_path / "cache", spool, 0)
    assert list((tmp_path / "cache" / "layers").iterdir()) == []
    read(Blobs(), tmp_path / "cache", spool, 0)
    read(rebuilt, tmp_path / "cache", spool, 0)
    assert rebuilt.opened == [0, 0]


def test_a_layer_that_fails_is_not_kept(tmp_path: Path, spool: Spool) -> None:
    damaged = Blobs(damage=b"more")
    with pytest.raises(SizeMismatch):
        read(damaged, tmp_path / "cache", spool, 0)
    assert list((tmp_path / "cache" / "layers").iterdir()) == []
    # Once: that the cache is there is no reason to try again.
    assert damaged.opened == [0]


def test_an_image_of_many_layers_takes_few_open_files(tmp_path: Path, spool: Spool) -> None:
    """Each layer of the cache takes one until the disk is packed, and a process may have a thousand."""
    source, numbers = Blobs(), [0, 1] * 100
    for _ in range(2):
        before = len(os.listdir("/proc/self/fd"))
        assert read(source, tmp_path / "cache", spool, *numbers) == [[b"ab"[number : number + 1]] for number in numbers]
        assert len(os.listdir("/proc/self/fd")) - before <= 128
