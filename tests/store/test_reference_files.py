"""File names of references: every name has one of its own, and can be read back from it."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace

import pytest
from hypothesis import example, given
from support.names import DIGESTS, NAMES

from builder.errors import InvalidReference
from builder.image.name import ImageName
from builder.store.reference_files import path_of, recorded


@pytest.mark.heavy
@given(NAMES)
@example(ImageName.parse(f"localhost/{'a' * 126}:b"))
@example(ImageName.parse(f"localhost/{'a' * 127}:b"))
@example(ImageName.parse(f"localhost/a:{'T' * 68}"))
@example(ImageName.parse(f"localhost/a:{'T' * 68}t"))
def test_a_name_can_be_read_back_from_its_file_name_or_from_the_file(name: ImageName) -> None:
    path = path_of(name)
    if "~" not in path:
        assert read_back(path) == recorded(name)
    assert ("~" in path) == any(len(part) > 136 for part in spelled(name).removesuffix(".json").split("/"))


def read_back(path: str) -> ImageName:
    """The name that a path spells, by the table at the head of the module."""
    _, repository, file = path.removesuffix(".json").split("/")
    tag = re.sub(r"^@(\w+)-", r"@\1:", file) if file.startswith("@") else f":{file}"
    spelled = re.sub(r"!([a-z])", lambda match: match[1].upper(), repository + tag)
    return ImageName.parse(spelled.replace("+", "/").replace("=", ":"))


def spelled(name: ImageName) -> str:
    """The path if nothing were too long, in other words than the code's."""
    name = recorded(name)
    repository = "".join(f"!{c.lower()}" if c.isupper() else c for c in name.repository)
    tag = "".join(f"!{c.lower()}" if c.isupper() else c for c in name.tag or "")
    file = tag if name.digest is None else str(name.digest)
    return f"{repository.replace('/', '+').replace(':', '=')}/{file}.json"


@pytest.mark.heavy
@given(NAMES, NAMES)
def test_two_names_never_share_a_file_even_where_case_does_not_count(one: ImageName, other: ImageName) -> None:
    same = recorded(one) == recorded(other)
    assert (path_of(one).casefold() == path_of(other).casefold()) == same


@pytest.mark.heavy
@given(NAMES)
def test_a_file_is_below_its_directory_and_its_name_is_not_too_long(name: ImageName) -> None:
    parts = path_of(name).split("/")
    assert len(parts) == 3
    assert parts[0] == "manifests"
    assert [part for part in parts if part in ("", ".", "..") or len(part.encode()) > 143 or "\0" in part] == []


def test_names_that_look_alike_do_not_collide() -> None:
    names = [
        "example.com/a_slash_b", "example.com/a/b", "example.com/a__b", "example.com/a-b", "example.com/a.b",
        "example.com/a/b:c", "example.com/a/b:C", "example.com/a:b_c", "Example.com/a/b", "example.com:80/a/b",
        "example.com:8080/a", "localhost/a/b", "localhost:80/a/b", "docker.io/a/b", "docker.io/library/a",
        "[::1]:5000/a",
        "[::1]/a", "example.com/latest.json", "example.com/a:latest.json", "example.com/a/latest.json",
        f"example.com/a@sha256:{'0' * 64}", f"example.com/a:sha256-{'0' * 64}", f"example.com/a@sha512:{'0' * 128}",
        "example.com/" + "a" * 200, "example.com/" + "a" * 201, "example.com/a:" + "T" * 128,
        "example.com/a:" + "t" * 128,
    ]  # fmt: skip
    paths = {text: path_of(ImageName.parse(text)).casefold() for text in names}
    assert [pair for pair in itertools.combinations(names, 2) if paths[pair[0]] == paths[pair[1]]] == []


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("docker.io/library/busybox:1.36", "manifests/docker.io+library+busybox/1.36.json"),
        ("docker.io/busybox", "manifests/docker.io+library+busybox/latest.json"),
        ("index.docker.io/busybox", "manifests/docker.io+library+busybox/latest.json"),
        ("localhost:5000/a/b:RC1", "manifests/localhost=5000+a+b/!r!c1.json"),
        (f"quay.io/x:1@sha256:{'ab' * 32}", f"manifests/quay.io+x/@sha256-{'ab' * 32}.json"),
    ],
)
def test_where_a_reference_is(text: str, path: str) -> None:
    assert path_of(ImageName.parse(text)) == path


def test_a_short_name_has_no_place() -> None:
    with pytest.raises(InvalidReference) as caught:
        path_of(ImageName.parse("busybox:1"))
    assert "write docker.io/library/busybox:1 or localhost/busybox:1" in caught.value.reason


@pytest.mark.parametrize("text", ["docker.io/" + "a" * 245, "index.docker.io/" + "a" * 238])
def test_a_name_that_is_too_long_in_full_has_no_place(text: str) -> None:
    with pytest.raises(InvalidReference, match="characters, 255 at most"):
        path_of(ImageName.parse(text))


@pytest.mark.heavy
@given(NAMES, DIGESTS)
def test_a_digest_comes_before_a_tag(name: ImageName, digest: ImageName) -> None:
    assert path_of(replace(name, digest=digest.digest)) == path_of(replace(name, digest=digest.digest, tag=None))
