"""Content held against its digest and size, as it passes and when it is whole."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.errors import DigestMismatch, SizeMismatch
from builder.image.digest import Digest
from builder.image.verifier import Verifier, verify


@given(st.lists(st.binary(max_size=8)), st.sampled_from(["sha256", "sha512"]))
def test_what_was_promised_passes_unchanged_in_any_pieces(chunks: list[bytes], algorithm: str) -> None:
    data = b"".join(chunks)
    digest = Digest.of(data, algorithm)
    for size in (None, len(data)):
        verifier = Verifier("it", digest, size)
        assert list(verifier.watch(chunks)) == chunks
        verifier.finish()
        assert (verifier.count, verifier.digest) == (len(data), digest)
        verify(data, digest, "it", size)


def test_more_than_promised_is_refused_before_it_passes() -> None:
    verifier = Verifier("it", Digest.of(b"abc"), 3)
    passed = verifier.watch([b"ab", b"c", b"d", b"e"])
    assert [next(passed), next(passed)] == [b"ab", b"c"]
    with pytest.raises(SizeMismatch) as caught:
        next(passed)
    assert (caught.value.what, caught.value.expected, caught.value.actual) == ("it", 3, 4)


def test_less_than_promised_is_refused_at_the_end_by_its_size() -> None:
    verifier = Verifier("it", Digest.of(b"abc"), 3)
    verifier.update(b"ab")
    with pytest.raises(SizeMismatch) as caught:
        verifier.finish()
    assert (caught.value.expected, caught.value.actual) == (3, 2)


@pytest.mark.parametrize("size", [None, 3])
def test_other_content_is_refused_at_the_end_by_its_digest(size: int | None) -> None:
    with pytest.raises(DigestMismatch) as caught:
        verify(b"abd", Digest.of(b"abc"), "it", size)
    assert (caught.value.what, caught.value.expected, caught.value.actual) == (
        "it",
        str(Digest.of(b"abc")),
        str(Digest.of(b"abd")),
    )


@pytest.mark.parametrize("count", [0, 1, 9, 10, 11])
def test_zeros_that_fill_a_record_may_be_missing_where_that_is_said(count: int) -> None:
    data = b"a" * count
    filled = data + bytes(-count % 10)
    for missing, record, is_right in ((0, 10, True), (0, 1, filled == data), (1, 10, False), (10, 10, False)):
        verifier = Verifier("it", Digest.of(filled + bytes(missing)))
        verifier.update(data)
        if is_right:
            verifier.finish(record)
        else:
            with pytest.raises(DigestMismatch) as caught:
                verifier.finish(record)
            assert caught.value.actual == str(Digest.of(data))
