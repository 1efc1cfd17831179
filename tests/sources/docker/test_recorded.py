"""Which images of registries the store knows afterwards: those that it has whole."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
from support.registry import Registry
from support.remote import BLOBS, IMAGE, NAME, listen_to

from builder.image.descriptor import Descriptor
from builder.sources import open_source
from builder.sources.access import Access, Means
from builder.sources.resolve import resolve
from builder.sources.source import expect
from builder.store import open_store


@pytest.mark.parametrize("fetched", [0, 1, len(BLOBS)])
def test_an_image_of_which_layers_are_kept_elsewhere_is_not_recorded_and_nothing_is_said(
    tmp_path: Path, registry: Registry, fetched: int
) -> None:
    """Of layers that are kept decoded, nobody asks for the blobs."""
    registry.push(NAME, IMAGE)
    reference, heard = f"docker://{registry.host}/{NAME}", list[str]()
    access = Access(store=str(tmp_path / "store"))
    with closing(open_source(reference, access, Means(tmp_path, listen_to(heard)))) as source:
        wanted: Sequence[Descriptor] = [layer.descriptor for layer in resolve(source, reference, None).layers][:fetched]
        expect(source, wanted)
        for layer in wanted:
            with source.open(layer) as blob:
                blob.read()
    assert heard == []
    with closing(open_store(access.store or "")) as store:
        assert len(list(store.references())) == (fetched == len(BLOBS))
