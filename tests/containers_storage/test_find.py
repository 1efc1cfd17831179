"""Which image a name means, as podman sees it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.containers_storage.find import asked_digest, find_images, is_fixed
from builder.containers_storage.records import ImageRecord
from builder.errors import InvalidReference

DIGEST = f"sha256:{'d' * 64}"
OTHER = f"sha256:{'e' * 64}"


def image(letter: str, *names: str, digest: str = "") -> ImageRecord:
    return ImageRecord(letter * 64, digest, list(names))


LOCAL = image("1", "localhost/app:1", "localhost/app:latest")
HUB = image("2", "docker.io/library/busybox:latest", "docker.io/library/app:2", digest=DIGEST)
QUAY = image("3", "quay.io/team/tool:1", "registry.example.com:5000/team/tool:1")
NONE = ImageRecord("4" * 64, OTHER)
PINNED = image("5", f"docker.io/library/pinned@{OTHER}", "ODD NAME", digest=OTHER)
SHORT = image("6", "localhost/abc:latest")
PREFIX = ImageRecord("abc" + "7" * 61)
IMAGES = [LOCAL, HUB, QUAY, NONE, PINNED, SHORT, PREFIX]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("localhost/app:1", LOCAL),
        ("localhost/app", LOCAL),
        ("app:1", LOCAL),
        ("app:2", HUB),
        ("busybox", HUB),
        ("docker.io/busybox", HUB),
        ("index.docker.io/library/busybox:latest", HUB),
        ("quay.io/team/tool:1", QUAY),
        ("team/tool:1", QUAY),
        ("tool:1", QUAY),
        ("registry.example.com:5000/team/tool:1", QUAY),
        ("1" * 64, LOCAL),
        ("sha256:" + "1" * 64, LOCAL),
        ("sha256:" + "1" * 12, LOCAL),
        ("@" + "1" * 64, LOCAL),
        ("localhost/app@" + "1" * 64, LOCAL),
        ("app:7@" + "1" * 12, LOCAL),
        ("111", LOCAL),
        ("4444", NONE),
        (DIGEST, HUB),
        (f"busybox@{DIGEST}", HUB),
        (f"busybox:7@{DIGEST}", HUB),
        (f"docker.io/library/busybox@{DIGEST}", HUB),
        (f"pinned@{OTHER}", PINNED),
        # A name comes before the start of an ID.
        ("abc", SHORT),
        ("abc7", PREFIX),
    ],
)
def test_an_image_is_found_by_its_names_and_ids(text: str, found: ImageRecord) -> None:
    assert list(find_images(IMAGES, text)) == [found]


@pytest.mark.parametrize(
    "text",
    [
        "app:3",
        "quay.io/app:1",
        "localhost/busybox",
        "team:1",
        "ool:1",
        "docker.io/team/tool:1",
        "tool",
        "11",
        "f" * 64,
        "sha256:" + "f" * 64,
        "localhost/other@" + "1" * 64,
        f"app@{DIGEST[:-1]}0",
        f"quay.io/busybox@{DIGEST}",
        # Without a name, an image is nobody's but by its ID.
        f"anything@{OTHER}",
    ],
)
def test_a_name_of_nothing_finds_nothing(text: str) -> None:
    assert list(find_images(IMAGES, text)) == []


def test_all_that_a_short_name_can_mean_are_found() -> None:
    hub = image("8", "docker.io/library/app:1")
    assert list(find_images([*IMAGES, hub], "app:1")) == [LOCAL, hub]
    assert list(find_images([*IMAGES, hub], "localhost/app:1")) == [LOCAL]
    other = image("9", "example.com/tool:1")
    assert list(find_images([*IMAGES, other], "tool:1")) == [QUAY, other]


def test_all_images_whose_id_begins_so_are_found() -> None:
    assert len(find_images([LOCAL, image("1")], "1111")) == 2


@pytest.mark.parametrize("text", ["UPPER", "a b", "a:b c", "x@sha256:12", "x@", "ODD NAME", "/x", "a\n"])
def test_what_is_neither_name_nor_id_is_refused(text: str) -> None:
    with pytest.raises(InvalidReference):
        find_images(IMAGES, text)


def test_a_digest_that_is_asked_for() -> None:
    assert str(asked_digest(f"app@{DIGEST}")) == DIGEST
    assert str(asked_digest(DIGEST)) == DIGEST
    assert asked_digest("app:1") is None
    assert asked_digest("app@" + "1" * 64) is None


@pytest.mark.parametrize("text", ["1" * 64, "111", "sha256:1111", f"app@{DIGEST}", "app@111"])
def test_ids_and_digests_always_mean_the_same_image(text: str) -> None:
    assert is_fixed(text, LOCAL)


def test_a_name_can_come_to_mean_another_image() -> None:
    assert not is_fixed("localhost/app:1", LOCAL)


@pytest.mark.heavy
@given(st.text(alphabet="aApp1:@/.shd256-_ \n[", max_size=40) | st.text(max_size=20))
def test_any_text_finds_something_nothing_or_is_refused(text: str) -> None:
    try:
        found = find_images(IMAGES, text)
    except InvalidReference:
        return
    assert all(image in IMAGES for image in found)
    asked_digest(text)
