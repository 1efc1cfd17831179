"""Documents that are written here are read as what they were, and are the same every time."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.documents import DIGEST

from builder.image.descriptor import Descriptor
from builder.image.digest import Digest
from builder.image.manifest import Index, Manifest, parse_document
from builder.image.media_types import DOCKER_CONFIG, OCI_CONFIG, OCI_INDEX, OCI_LAYER_GZIP, OCI_MANIFEST
from builder.image.platform import Platform
from builder.image.render import render_document

WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
ANNOTATIONS = st.dictionaries(WORDS, WORDS, max_size=3)
PLATFORMS = st.none() | st.builds(Platform, WORDS, WORDS, st.none() | WORDS.filter(bool))
NO_PLATFORM: st.SearchStrategy[Platform | None] = st.none()
DIGESTS = st.binary(max_size=4).map(Digest.of)


def descriptors(
    media_type: str, *more: str, platforms: st.SearchStrategy[Platform | None] = NO_PLATFORM
) -> st.SearchStrategy[Descriptor]:
    return st.builds(
        Descriptor,
        st.sampled_from([media_type, *more]),
        DIGESTS,
        st.integers(0, (1 << 63) - 1),
        st.lists(WORDS, max_size=2).map(tuple),
        ANNOTATIONS,
        platforms,
    )


MANIFESTS = st.builds(
    Manifest,
    st.just(OCI_MANIFEST),
    descriptors(OCI_CONFIG, DOCKER_CONFIG),
    st.lists(descriptors(OCI_LAYER_GZIP), max_size=3).map(tuple),
    ANNOTATIONS,
)
ENTRIES = st.lists(descriptors(OCI_MANIFEST, platforms=PLATFORMS), max_size=3).map(tuple)
INDEXES = st.builds(Index, st.just(OCI_INDEX), ENTRIES, ANNOTATIONS)


@pytest.mark.heavy
@given(MANIFESTS | INDEXES)
def test_what_is_written_is_read_as_it_was(document: Manifest | Index) -> None:
    assert parse_document(render_document(document), document.media_type, "it") == document
    assert parse_document(render_document(document), None, "it") == document


def test_the_bytes_depend_on_nothing_but_the_document() -> None:
    one = Descriptor(OCI_LAYER_GZIP, DIGEST, 7, (), {"b": "1", "a": "2"})
    other = Descriptor(OCI_LAYER_GZIP, DIGEST, 7, (), {"a": "2", "b": "1"})
    config = Descriptor(OCI_CONFIG, DIGEST, 7)
    written = render_document(Manifest(OCI_MANIFEST, config, (one,)))
    assert written == render_document(Manifest(OCI_MANIFEST, config, (other,)))
    assert json.loads(written) == {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {"mediaType": OCI_CONFIG, "digest": str(DIGEST), "size": 7},
        "layers": [
            {"mediaType": OCI_LAYER_GZIP, "digest": str(DIGEST), "size": 7, "annotations": {"a": "2", "b": "1"}}
        ],
    }
