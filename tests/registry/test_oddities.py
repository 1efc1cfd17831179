"""What registries of this world answer oddly, and what is made of it: an image, or the one right word."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from support.images import OCI, Spec, digest
from support.odd import BLOB, CONFIG, HTML, LAYER, MADE, MANIFEST, PAGE, always, reads, refused, wants_token
from support.raw import RawRegistry, answer

from builder.errors import BlobMissing, ImageNotFound, SourceUnreadable, UnsupportedImage
from builder.image.media_types import INDEXES, MANIFESTS
from builder.registry.failures import AccessDenied
from builder.sources import open_source
from builder.sources.access import Access
from builder.sources.resolve import resolve


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 406, 429, 500, 501, 503])
@pytest.mark.parametrize("resource", ["manifests", "blobs"])
def test_what_is_refused_to_head_is_asked_with_get(
    raw: RawRegistry, access: Access, status: int, resource: str
) -> None:
    raw.odd[f"HEAD .*{resource}"] = always(answer(status, b"", "WWW-Authenticate: Basic realm=x"))
    assert reads(raw, access) == []


def test_a_layer_that_an_image_has_several_times_is_asked_for_once(raw: RawRegistry, access: Access) -> None:
    raw.spec = Spec((LAYER, LAYER, LAYER), platform="linux/s390x")
    with closing(open_source(reference := f"docker://{raw.host}/image", access)) as source:
        assert len(resolve(source, reference, None).layers) == 3
    assert len(raw.lines(f"HEAD .*{MADE.layers[0]}")) == 1


def test_a_blob_that_neither_head_nor_get_finds_is_missing(raw: RawRegistry, access: Access) -> None:
    raw.odd[f"blobs/{MADE.layers[0]}"] = always(answer(404))
    assert isinstance(refused(raw, access), BlobMissing)
    assert raw.lines("blobs")[-1] == f"GET /v2/image/blobs/{MADE.layers[0]}"


V2: dict[str, bytes] = {
    "wants a password": answer(401, b"", "WWW-Authenticate: Basic realm=x"),
    "wants a token of nobody": answer(401, b"", 'WWW-Authenticate: Bearer realm="https://raw.invalid/token"'),
    "wants what is not known": answer(401, b"", "WWW-Authenticate: Negotiate"),
    "wants, and does not say what": answer(401),
    "is forbidden": answer(403),
    "is not there": answer(404, PAGE, HTML),
    "is broken": answer(503),
    "is elsewhere": answer(307, b"", "Location: http://raw.invalid/v2/"),
    "is a page": answer(200, PAGE, HTML),
}


@pytest.mark.parametrize("said", V2.values(), ids=V2)
def test_what_is_said_of_v2_is_no_word_about_the_repository(raw: RawRegistry, access: Access, said: bytes) -> None:
    raw.odd[r"/v2/$"] = always(said)
    assert reads(raw, access) == []


@pytest.mark.parametrize("status", [401, 403])
def test_only_the_repository_refuses(raw: RawRegistry, access: Access, status: int) -> None:
    raw.odd["GET .*manifests"] = always(answer(status, b'{"errors":[{"code":"DENIED"}]}'))
    error = refused(raw, access)
    assert isinstance(error, AccessDenied)
    assert f"answered {status}" in error.reason
    assert "(DENIED)" in error.reason


@pytest.mark.parametrize(
    "stated", ["", "nonsense", "sha256:abc", "md5:0123", f"sha256:{'0' * 64}"], ids=["none", *"1234"]
)
def test_head_need_not_know_the_digest(raw: RawRegistry, access: Access, stated: str) -> None:
    raw.odd["HEAD .*manifests"] = always(answer(200, b"", f"Docker-Content-Digest: {stated}"))
    assert reads(raw, access) == []


def test_what_head_says_of_a_tag_is_believed_if_size_and_digest_agree(raw: RawRegistry, tmp_path: Path) -> None:
    access = Access(str(tmp_path / "store"))
    reads(raw, access)
    raw.odd["GET .*manifests"] = always(answer(404))
    stated = f"Docker-Content-Digest: {MADE.manifest}"
    raw.odd["HEAD .*manifests"] = always(answer(200, b"", stated, f"Content-Length: {len(MANIFEST)}", length=False))
    assert reads(raw, access) == []
    for length in ("0", str(len(MANIFEST) + 1), "x"):
        raw.odd["HEAD .*manifests"] = always(answer(200, b"", stated, f"Content-Length: {length}", length=False))
        assert isinstance(refused(raw, access), ImageNotFound)


def test_a_digest_that_is_none_is_none(raw: RawRegistry, access: Access) -> None:
    raw.odd["GET .*manifests"] = always(answer(200, MANIFEST, "Docker-Content-Digest: nonsense"))
    assert reads(raw, access) == []


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "in chunks": lambda data: (
        b"".join(b"%x\r\n%b\r\n" % (1, bytes([value])) for value in gzip.compress(data)) + b"0\r\n\r\n"
    ),
}


@pytest.mark.parametrize("how", PACKED)
@pytest.mark.parametrize(("place", "plain"), [("manifests", MANIFEST), (f"blobs/{MADE.config}", CONFIG)])
def test_documents_that_come_packed_are_unpacked(
    raw: RawRegistry, access: Access, place: str, plain: bytes, how: str
) -> None:
    chunked = how == "in chunks"
    headers = ["Content-Encoding: gzip"] + ["Transfer-Encoding: chunked"] * chunked
    raw.odd[f"GET .*{place}"] = always(answer(200, PACKED[how](plain), *headers, length=not chunked))
    assert reads(raw, access) == []


def test_a_token_that_comes_packed_is_unpacked(raw: RawRegistry, access: Access) -> None:
    packed = gzip.compress(b'{"token":"packed"}')
    raw.odd["/token"] = always(answer(200, packed, "Content-Encoding: gzip"))
    wants_token(raw, "packed")
    assert reads(raw, access) == []


def test_a_layer_is_not_unpacked_whatever_its_encoding_is_called(raw: RawRegistry, access: Access) -> None:
    raw.odd[f"GET .*{MADE.layers[0]}"] = always(answer(200, BLOB, "Content-Encoding: gzip", length=False))
    assert reads(raw, access) == []


@pytest.mark.heavy
def test_what_unpacks_without_end_is_refused(raw: RawRegistry, access: Access) -> None:
    bomb = gzip.compress(b" " * 100_000_000)
    raw.odd["GET .*manifests"] = always(answer(200, bomb, "Content-Encoding: gzip"))
    assert "documents of more than 4194304 bytes are refused" in str(refused(raw, access))


@pytest.mark.parametrize(
    "body",
    [gzip.compress(MANIFEST)[:-20], b"\x1f\x8b" + MANIFEST, gzip.compress(b"x")[:5]],
    ids=["cut", "no gzip behind the magic", "cut in the header"],
)
def test_what_cannot_be_unpacked_is_said(raw: RawRegistry, access: Access, body: bytes) -> None:
    raw.odd["GET .*manifests"] = always(answer(200, body, "Content-Encoding: gzip"))
    assert "packed with gzip that is" in str(refused(raw, access))


def test_another_packing_is_named(raw: RawRegistry, access: Access) -> None:
    raw.odd["GET .*manifests"] = always(answer(200, zlib.compress(MANIFEST), "Content-Encoding: deflate"))
    assert "sent a manifest packed as deflate, which it was not asked to" in str(refused(raw, access))


@pytest.mark.parametrize("length", [True, False])
@pytest.mark.parametrize(("place", "what"), [("manifests", "a manifest"), (f"blobs/{MADE.layers[0]}", "a blob")])
def test_a_page_in_place_of_content_is_named_as_what_it_is(
    raw: RawRegistry, access: Access, place: str, what: str, length: bool
) -> None:
    raw.odd[f"GET .*{place}"] = always(answer(200, PAGE, HTML, length=length))
    error = refused(raw, access)
    assert isinstance(error, SourceUnreadable)
    assert f"sent a page of HTML with status 200 where {what} should be; check the address" in error.reason
    assert len(raw.lines(f"GET .*{place}")) == 1


def test_a_page_in_place_of_a_token_is_named(raw: RawRegistry, access: Access) -> None:
    wants_token(raw, "t")
    raw.odd["/token"] = always(answer(200, PAGE, HTML))
    assert "sent a page of HTML with status 200 where a token should be" in str(refused(raw, access))


@pytest.mark.parametrize("status", [200, 204, 300, 304])
def test_nothing_in_place_of_a_manifest_is_the_registrys_failure_and_no_odd_image(
    raw: RawRegistry, access: Access, status: int
) -> None:
    raw.odd["GET .*/manifests/"] = always(answer(status))
    error = refused(raw, access)
    assert error.exit_status == 1
    assert re.fullmatch(rf".*/image: answered {status} .*, and nothing where a manifest should be, .*", str(error))


def test_not_found_is_not_found_in_whatever_words(raw: RawRegistry, access: Access) -> None:
    raw.odd["manifests"] = always(answer(404, PAGE, HTML))
    assert isinstance(refused(raw, access), ImageNotFound)


@pytest.mark.parametrize("kind", ["text/html", "text/plain", 'application/json; charset="utf-8"', "", "nonsense"])
def test_a_careless_content_type_says_nothing(raw: RawRegistry, access: Access, kind: str) -> None:
    raw.odd["GET .*manifests"] = always(answer(200, MANIFEST, f"Content-Type: {kind}"))
    raw.odd["GET .*blobs/" + MADE.config] = always(answer(200, CONFIG, f"Content-Type: {kind}", length=False))
    assert reads(raw, access) == []


def test_a_content_type_may_have_parameters(raw: RawRegistry, access: Access) -> None:
    kind = f"Content-Type: {OCI}manifest.v1+json; charset=utf-8"
    raw.odd["GET .*manifests"] = always(answer(200, MANIFEST, kind))
    assert reads(raw, access) == []


@pytest.mark.parametrize("status", [200, 206])
@pytest.mark.parametrize("ranged", ["", "bytes 0-9/10", "bytes 5-", "bytes */5", f"bytes 7-9/{len(BLOB)}"])
def test_ranges_that_are_none(raw: RawRegistry, access: Access, status: int, ranged: str) -> None:
    """The first answer breaks off; what then comes for a range is no range."""
    answers = iter(
        [
            answer(200, BLOB)[:-20],
            answer(status, BLOB if status == 200 else BLOB[:10], f"Content-Range: {ranged}"),
            answer(200, BLOB),
        ]
    )
    raw.odd[f"GET .*{MADE.layers[0]}"] = lambda _: [next(answers)]
    heard = reads(raw, replace(access))
    assert len(heard) == (1 if status == 200 else 2)
    assert digest(BLOB) == MADE.layers[0]


@pytest.mark.parametrize("status", [100, 102, 103])
def test_interim_answers_are_no_answers(raw: RawRegistry, access: Access, status: int) -> None:
    interim = f"HTTP/1.1 {status} Odd\r\nLink: </style.css>; rel=preload\r\n\r\n".encode()
    ordinary = raw.ordinary
    raw.odd["/v2/"] = lambda line: [interim, interim, *ordinary(line)]
    assert reads(raw, access) == []


@pytest.mark.parametrize(
    "said",
    [answer(200, PAGE, HTML), answer(200, b"{"), answer(200, MANIFEST, f"Docker-Content-Digest: {digest(b'x')}")],
    ids=["a page", "no document", "another digest"],
)
def test_a_mirror_that_answers_oddly_is_passed_over(
    raw: RawRegistry, access: Access, said: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conf = tmp_path / "registries.conf"
    conf.write_text(f"""
        [[registry]]
        location = "{raw.host}"
        [[registry.mirror]]
        location = "{raw.host}/mirror"
    """)
    monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(conf))
    raw.odd["/v2/mirror/"] = always(said)
    (notice,) = reads(raw, access)
    assert notice.startswith(f"mirror {raw.host}/mirror/image: ")
    assert notice.endswith("; asking the next")


def test_what_is_accepted_is_said_in_a_line_each(raw: RawRegistry, access: Access) -> None:
    """Registries before 2.6 take a list in one line for one type that they do not know, and convert to schema 1."""
    assert reads(raw, access) == []
    (asked,) = [head for head in raw.heads if head.startswith(b"GET /v2/image/manifests/")]
    accepted = [line.partition(b": ")[2].decode() for line in asked.split(b"\r\n") if line.startswith(b"Accept:")]
    assert accepted == sorted(MANIFESTS | INDEXES)


def test_a_signed_manifest_of_schema_1_is_said_to_be_that(raw: RawRegistry, access: Access) -> None:
    """Its digest is of what was signed, and not of the document."""
    signed = b'{"schemaVersion":1,"name":"image","tag":"latest","fsLayers":[],"history":[],"signatures":[]}'
    for kind, stated in (("v1+prettyjws", b"x"), ("v1+json", signed)):
        content_type = f"Content-Type: application/vnd.docker.distribution.manifest.{kind}"
        said = answer(200, signed, content_type, f"Docker-Content-Digest: {digest(stated)}")
        raw.odd["GET .*manifests"] = always(said)
        error = refused(raw, access)
        assert isinstance(error, UnsupportedImage)
        assert "is a Docker schema 1 manifest; convert the image first" in str(error)
