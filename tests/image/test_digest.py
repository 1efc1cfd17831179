from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.errors import ImageRefused, InvalidDigest
from builder.image.digest import Digest

EMPTY_SHA256 = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

digests = st.sampled_from(["sha256", "sha512"]).flatmap(
    lambda algorithm: st.binary(
        min_size=hashlib.new(algorithm).digest_size, max_size=hashlib.new(algorithm).digest_size
    ).map(lambda value: f"{algorithm}:{value.hex()}")
)


@given(digests)
def test_a_digest_is_written_as_it_was_read(text: str) -> None:
    assert str(Digest.parse(text)) == text


@given(st.binary(max_size=100), st.sampled_from(["sha256", "sha512"]))
def test_digest_of_data_is_what_its_hasher_says(data: bytes, algorithm: str) -> None:
    digest = Digest.of(data, algorithm)
    hasher = digest.hasher()
    hasher.update(data)
    assert digest == Digest(algorithm, hashlib.new(algorithm, data).hexdigest())
    assert hasher.hexdigest() == digest.hex


def test_sha256_is_the_default_algorithm() -> None:
    assert str(Digest.of(b"")) == EMPTY_SHA256


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "must be written algorithm:hex"),
        ("sha256", "must be written algorithm:hex"),
        ("e" * 64, "must be written algorithm:hex"),
        (":" + "e" * 64, "must be written algorithm:hex"),
        (" " + EMPTY_SHA256, "must be written algorithm:hex"),
        ("SHA256:" + "e" * 64, "must be written algorithm:hex"),
        ("sha256/x:" + "e" * 64, "must be written algorithm:hex"),
        ("sha384:" + "e" * 96, "algorithm 'sha384' is not supported, only sha256 and sha512 are"),
        ("md5:" + "e" * 32, "algorithm 'md5' is not supported, only sha256 and sha512 are"),
        ("sha256+b64:" + "e" * 64, "algorithm 'sha256+b64' is not supported, only sha256 and sha512 are"),
        ("sha256:", "sha256 takes 64 hex digits, this has 0 characters"),
        ("sha256:" + "e" * 63, "sha256 takes 64 hex digits, this has 63 characters"),
        ("sha256:" + "e" * 65, "sha256 takes 64 hex digits, this has 65 characters"),
        ("sha512:" + "e" * 64, "sha512 takes 128 hex digits, this has 64 characters"),
        ("sha256:" + "E" * 64, "only the hex digits 0-9 and a-f (lower case) may follow the colon"),
        ("sha256:" + "g" * 64, "only the hex digits 0-9 and a-f (lower case) may follow the colon"),
        ("sha256:" + "e" * 63 + "\n", "only the hex digits 0-9 and a-f (lower case) may follow the colon"),
        ("sha256:" + "٣" * 64, "only the hex digits 0-9 and a-f (lower case) may follow the colon"),
        ("sha256:../../" + "e" * 58, "only the hex digits 0-9 and a-f (lower case) may follow the colon"),
        ("sha256::" + "e" * 63, "only the hex digits 0-9 and a-f (lower case) may follow the colon"),
    ],
)
def test_anything_but_a_supported_digest_is_refused(text: str, reason: str) -> None:
    with pytest.raises(InvalidDigest) as caught:
        Digest.parse(text)
    assert caught.value.text == text
    assert caught.value.reason.startswith(reason)
    assert isinstance(caught.value, ImageRefused)


def test_a_digest_cannot_be_made_malformed() -> None:
    with pytest.raises(InvalidDigest):
        Digest("sha256", "abc")
