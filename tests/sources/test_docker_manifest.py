"""The manifest.json of docker-archive: what anybody may write there."""

from __future__ import annotations

import pytest

from builder.errors import MalformedDocument
from builder.sources.docker_manifest import parse_saved_images


def test_more_images_than_an_archive_lists_are_refused_before_each_is_kept_with_what_is_wrong_with_it() -> None:
    with pytest.raises(MalformedDocument) as caught:
        parse_saved_images(b"[" + b"0," * 32768 + b"0]", "manifest.json")
    assert (caught.value.path, caught.value.reason) == ("$", "has more than 32768 images, which are refused")
    assert not parse_saved_images(b"[0,{}]", "manifest.json").images
