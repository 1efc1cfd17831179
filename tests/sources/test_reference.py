"""How references are taken apart."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.errors import InvalidReference
from builder.image.digest import Digest
from builder.sources.reference import parse_reference
from builder.sources.transport import Reference
from builder.sources.transports import TRANSPORTS

DIGEST = Digest.of(b"content")
AVAILABLE = ", ".join(each.forms[0] for each in TRANSPORTS.values())


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("layout", "with:colon", "with", "with@sha256:at", "dir"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("text", "transport", "place", "tag"),
    [
        ("oci:layout", "oci", "layout", None),
        ("oci:layout:latest", "oci", "layout", "latest"),
        ("oci:layout:example.com:5000/app:1.0", "oci", "layout", "example.com:5000/app:1.0"),
        ("oci:layout:name@sha256:abc", "oci", "layout", "name@sha256:abc"),
        ("oci:absent:tag", "oci", "absent", "tag"),
        ("oci:absent:a/b:tag", "oci", "absent", "a/b:tag"),
        ("oci:user@absent:tag", "oci", "user@absent", "tag"),
        ("oci-archive:file.tar:1", "oci-archive", "file.tar", "1"),
        ("docker-archive:file.tar:busybox:latest", "docker-archive", "file.tar", "busybox:latest"),
        ("docker://host:5000/app:1", "docker", "//host:5000/app:1", None),
        ("./layout", None, "./layout", None),
        ("layout:1", None, "layout", "1"),
        ("dir:layout", "dir", "layout", None),
        ("./dir:1", None, "./dir", "1"),
        ("./absent:1", None, "./absent", "1"),
        ("/absent/file:example.com/app:1", None, "/absent/file", "example.com/app:1"),
        ("absent", None, "absent", None),
    ],
)
def test_a_reference_is_a_transport_a_place_and_a_tag(
    text: str, transport: str | None, place: str, tag: str | None
) -> None:
    assert parse_reference(text) == Reference(text, TRANSPORTS.get(transport or ""), place, tag)


@pytest.mark.parametrize(
    ("text", "place", "tag"),
    [
        ("oci:with:colon", "with:colon", None),
        ("oci:with:colon:tag", "with:colon", "tag"),
        ("oci:with:other", "with", "other"),
        ("oci:with@sha256:at:tag", "with@sha256:at", "tag"),
        ("with:colon:tag", "with:colon", "tag"),
    ],
)
def test_the_longest_existing_path_is_the_place(text: str, place: str, tag: str | None) -> None:
    reference = parse_reference(text)
    assert (reference.place, reference.tag) == (place, tag)


@pytest.mark.parametrize("place", ["layout", "absent", "./absent", "/absent/a@b"])
@pytest.mark.parametrize("transport", ["oci:", "oci-archive:", ""])
def test_a_digest_stands_behind_an_at_sign(transport: str, place: str) -> None:
    text = f"{transport}{place}@{DIGEST}"
    assert parse_reference(text) == Reference(text, TRANSPORTS.get(transport[:-1]), place, digest=DIGEST)


def test_a_position_stands_behind_a_colon_and_an_at_sign() -> None:
    text = "docker-archive:file.tar:@12"
    assert parse_reference(text) == Reference(text, TRANSPORTS["docker-archive"], "file.tar", position=12)


@pytest.mark.parametrize(
    ("text", "place", "choice"),
    [
        ("oci:zip://a.zip", "zip://a.zip", None),
        ("oci:zip://a.zip:1.0", "zip://a.zip", "1.0"),
        ("oci:zip:///x/a.zip!/below:example.com:5000/app:1", "zip:///x/a.zip!/below", "example.com:5000/app:1"),
        (f"oci:zip://a.zip@{DIGEST}", "zip://a.zip", DIGEST),
        ("oci:mem://", "mem://", None),
        ("oci:mem://:tag", "mem://", "tag"),
        ("oci:ftp://me:secret@host:21/dir:tag", "ftp://me:secret@host:21/dir", "tag"),
        (f"oci:ftp://host:21/dir@{DIGEST}", "ftp://host:21/dir", DIGEST),
        ("oci:osfs:///home/a@b:tag", "osfs:///home/a@b", "tag"),
        ("osfs://layout:tag", "osfs://layout", "tag"),
    ],
)
def test_a_urls_own_colons_and_at_signs_choose_nothing(text: str, place: str, choice: str | Digest | None) -> None:
    reference = parse_reference(text)
    assert reference.is_url
    assert (reference.place, reference.tag or reference.digest) == (place, choice)


@pytest.mark.parametrize(
    "name", ["busybox", "localhost/a:1", "[overlay@/var/lib]busybox:1@sha256:abc", "a@b:c", "layout:1"]
)
def test_a_transport_of_names_takes_them_as_they_are(name: str) -> None:
    text = f"containers-storage:{name}"
    assert parse_reference(text) == Reference(text, TRANSPORTS["containers-storage"], name)


def test_paths_are_no_urls() -> None:
    assert not parse_reference("oci:layout:tag").is_url
    assert not parse_reference("oci:/a//b").is_url


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", f"names no image; available are {AVAILABLE} or a plain path"),
        ("oci:", "names no image"),
        ("oci::tag", "has no path before the tag"),
        (":tag", "has no path before the tag"),
        ("oci:layout:", "ends with an empty tag"),
        ("oci:layout:@x", "'@x' is not @ and the position of an image"),
        ("oci:layout:@-1", "'@-1' is not @ and the position of an image"),
        ("oci:layout@sha256:abc", "'sha256:abc' is not a digest"),
        (f"oci:layout@{str(DIGEST).upper().replace('SHA', 'sha')}", "is not a digest"),
        ("oci:lay\0out", "holds a NUL character"),
    ],
)
def test_malformed_references_are_refused(text: str, reason: str) -> None:
    with pytest.raises(InvalidReference) as caught:
        parse_reference(text)
    assert reason in caught.value.reason
    assert caught.value.exit_status == 2


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("docker-daemon:busybox:latest", "save the image with docker save, and write docker-archive:FILE"),
        ("sif:image.sif", "copy the image with skopeo copy, and write oci:DIR"),
    ],
)
def test_transports_that_are_not_available_are_named_with_what_to_do(text: str, advice: str) -> None:
    with pytest.raises(InvalidReference) as caught:
        parse_reference(text)
    assert caught.value.reason == f"{text.partition(':')[0]}: is not available in this version; {advice}"


@pytest.mark.parametrize("text", ["nginx:latest", "OCI:layout", "oic:layout:tag"])
def test_a_name_that_is_neither_path_nor_transport_lists_the_transports(text: str) -> None:
    with pytest.raises(InvalidReference) as caught:
        parse_reference(text)
    assert "no transport of that name" in caught.value.reason
    assert f"available are {AVAILABLE} or a plain path" in caught.value.reason


@given(st.text(alphabet="aoci-:@/.shdker256!0\0", max_size=40) | st.text(max_size=40))
def test_any_text_parses_or_is_refused(text: str) -> None:
    try:
        reference = parse_reference(text)
    except InvalidReference:
        return
    assert reference.place
    assert reference.place in text
    assert [reference.tag, reference.digest, reference.position].count(None) >= 2
