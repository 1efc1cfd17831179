"""`docker://`: images out of a real registry, whatever happens on the way."""

from __future__ import annotations

import json
import tracemalloc
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from support.images import OCI, Spec, config_bytes, digest, layout
from support.proxy import Answer, Fault, Proxy
from support.registry import Registry, skopeo_copy
from support.remote import BLOBS, GET_BLOB, IMAGE, LAYERS, MANIFEST, NAME, files_in, read_image
from support.tars import file, tar

from builder import BuildOptions, build
from builder.actions.pull import pull
from builder.errors import (
    BlobMissing,
    BuilderError,
    DigestMismatch,
    ImageNotFound,
    LimitExceeded,
    SourceUnreadable,
    StoreCorrupt,
    UnsupportedImage,
)
from builder.image.name import ImageName
from builder.sources import open_source
from builder.sources.access import Access, Means
from builder.sources.resolve import resolve
from builder.store import open_store


@pytest.fixture(scope="module", autouse=True)
def _image(registry: Registry) -> None:
    registry.push(NAME, IMAGE)


def test_what_is_pushed_is_what_is_read(registry: Registry, access: Access) -> None:
    assert read_image(f"docker://{registry.host}/faults", access) == BLOBS


@pytest.mark.heavy
def test_what_skopeo_pushes_is_what_is_read(registry: Registry, access: Access, tmp_path: Path) -> None:
    layout(tmp_path / "layout", IMAGE)
    skopeo_copy(f"oci:{tmp_path}/layout:latest", f"docker://{registry.host}/by/skopeo:1", "--dest-tls-verify=false")
    assert read_image(f"docker://{registry.host}/by/skopeo:1", access) == BLOBS


def test_schema_2_of_docker_is_read(registry: Registry, access: Access, tmp_path: Path) -> None:
    layout(tmp_path / "layout", IMAGE)
    reference = f"docker://{registry.host}/by/docker:1"
    skopeo_copy(f"oci:{tmp_path}/layout:latest", reference, "--dest-tls-verify=false", "--format=v2s2")
    with closing(open_source(reference, access)) as source:
        found = resolve(source, reference, None)
    assert found.manifest.media_type == "application/vnd.docker.distribution.manifest.v2+json"
    assert [str(layer.diff_id) for layer in found.layers] == [digest(layer) for layer in LAYERS]


def test_an_index_is_resolved_by_platform(registry: Registry, access: Access) -> None:
    other = replace(IMAGE, platform="linux/arm64", layers=LAYERS[2:])
    registry.push("several", IMAGE, other, nested=True)
    from builder.image.platform import Platform

    reference = f"docker://{registry.host}/several"
    with closing(open_source(reference, access)) as source:
        found = resolve(source, reference, Platform("linux", "arm64"))
    assert str(found.config_digest) == digest(config_bytes(other))


def test_a_digest_decides_over_a_tag(registry: Registry, access: Access) -> None:
    registry.push("faults", Spec((LAYERS[2],)), tag="other")
    assert read_image(f"docker://{registry.host}/faults:other@{MANIFEST}", access) == BLOBS
    assert read_image(f"docker://{registry.host}/faults@{MANIFEST}", access) == BLOBS


def test_an_absent_tag_is_not_found_and_some_that_are_there_are_named(registry: Registry, access: Access) -> None:
    registry.push("tagged", Spec((LAYERS[2],)), tag="1.0")
    with pytest.raises(ImageNotFound) as caught:
        read_image(f"docker://{registry.host}/tagged:2.0", access)
    assert caught.value.reason == f"{registry.host}/tagged has no tag '2.0'; choose one of these: 1.0"


@pytest.mark.parametrize("status", [401, 403, 429, 503])
def test_a_registry_that_names_no_tags_is_not_asked_twice(proxy: Proxy, access: Access, status: int) -> None:
    proxy.faults.append(Fault("tags/list", answer=Answer(status, {}, b"")))
    with pytest.raises(ImageNotFound, match=r"has no tag '2\.0'; check the name"):
        read_image(f"docker://{proxy.host}/faults:2.0", access)
    assert len(proxy.sent("tags/list")) == 1


def test_an_absent_repository_is_not_found(registry: Registry, access: Access) -> None:
    with pytest.raises(ImageNotFound) as caught:
        read_image(f"docker://{registry.host}/nowhere", access)
    reason = f"{registry.host}/nowhere has no tag 'latest'; check the name, or log in if the repository is private"
    assert caught.value.reason == reason


def test_a_blob_that_is_not_there_is_missing_before_anything_is_read(
    registry: Registry, proxy: Proxy, access: Access
) -> None:
    proxy.faults.append(Fault(BLOBS[3], answer=Answer(404, {}, b"")))
    with pytest.raises(BlobMissing) as caught:
        read_image(f"docker://{proxy.host}/faults", access)
    assert "layer 4 of 4" in str(caught.value)
    assert f"looked for at {proxy.host}/faults" in str(caught.value)
    assert [each for each in proxy.sent(GET_BLOB) if BLOBS[0] in each.path] == []


def test_a_second_build_fetches_no_blob(proxy: Proxy, tmp_path: Path) -> None:
    access = Access(store=str(tmp_path / "store"))
    assert read_image(f"docker://{proxy.host}/faults", access) == BLOBS
    assert len(proxy.sent(GET_BLOB)) == 5  # the config is one
    proxy.requests.clear()
    assert read_image(f"docker://{proxy.host}/faults", access) == BLOBS
    assert [(each.method, each.path) for each in proxy.requests] == [
        ("GET", "/v2/"),
        ("HEAD", "/v2/faults/manifests/latest"),
    ]


def test_an_image_of_the_same_base_fetches_only_what_is_new(registry: Registry, proxy: Proxy, tmp_path: Path) -> None:
    registry.push("based", replace(IMAGE, layers=(*LAYERS, tar(file("new", b"new\n")))))
    access = Access(store=str(tmp_path / "store"))
    read_image(f"docker://{proxy.host}/faults", access)
    proxy.requests.clear()
    assert read_image(f"docker://{proxy.host}/based", access)[:4] == BLOBS
    assert len(proxy.sent("GET /v2/based/blobs/")) == 2  # its config and its one layer


def test_a_digest_that_was_built_before_needs_no_network(proxy: Proxy, tmp_path: Path) -> None:
    access = Access(store=str(tmp_path / "store"))
    reference = f"docker://{proxy.host}/faults@{MANIFEST}"
    read_image(reference, access)
    proxy.requests.clear()
    assert read_image(reference, access) == BLOBS
    assert proxy.requests == []


@pytest.mark.parametrize("damage", ["changed", "cut", "longer"])
def test_a_damaged_blob_of_the_store_is_said_with_the_way_out(registry: Registry, tmp_path: Path, damage: str) -> None:
    store = tmp_path / "store"
    reference = f"docker://{registry.host}/faults"
    options = BuildOptions(access=Access(store=str(store)), force=True)
    build(reference, tmp_path / "disk.ext4", options)
    path = store / "images" / "blobs" / "sha256" / BLOBS[1][7:]
    content = path.read_bytes()
    path.chmod(0o600)
    changed = content[:-1] + bytes([content[-1] ^ 1])
    path.write_bytes({"changed": changed, "cut": content[:-1], "longer": content + b"more"}[damage])
    with pytest.raises(StoreCorrupt) as caught:
        build(reference, tmp_path / "disk.ext4", options)
    assert caught.value.where == str(path)
    assert "store verify --quarantine" in str(caught.value)
    path.unlink()
    build(reference, tmp_path / "disk.ext4", options)


def test_a_pull_fetches_every_blob_once_and_a_build_of_the_store_none(proxy: Proxy, tmp_path: Path) -> None:
    access = Access(store=str(tmp_path / "store"))
    reference = f"docker://{proxy.host}/faults"
    pulled = pull(reference, access, platforms=None)
    assert str(pulled.name) == f"{proxy.host}/faults:latest"
    assert len(proxy.sent(GET_BLOB)) == 5
    proxy.requests.clear()
    assert read_image(f"store:{pulled.name}", access) == BLOBS
    assert proxy.requests == []
    assert pull(reference, access, platforms=None).copied == 0
    assert proxy.sent(GET_BLOB) == []


def test_a_pull_that_breaks_off_is_resumed_by_the_next(proxy: Proxy, tmp_path: Path) -> None:
    access = Access(store=str(tmp_path / "store"))
    proxy.faults.append(Fault(f"GET .*{BLOBS[1]}", 1, cut=1_500_000))
    proxy.faults.append(Fault(f"GET .*{BLOBS[1]}", answer=Answer(418, {}, b"")))
    with pytest.raises(SourceUnreadable):
        pull(f"docker://{proxy.host}/faults", access, platforms=None)
    proxy.faults.clear()
    proxy.requests.clear()
    pull(f"docker://{proxy.host}/faults", access, platforms=None)
    (request,) = proxy.sent(f"GET .*{BLOBS[1]}")
    assert int(request.headers["Range"].removeprefix("bytes=").removesuffix("-")) > 100_000
    assert files_in(tmp_path / "store" / "images" / "tmp") == []


def test_a_whole_image_is_recorded_in_the_store_under_its_name(registry: Registry, tmp_path: Path) -> None:
    access = Access(store=str(tmp_path / "store"))
    read_image(f"docker://{registry.host}/faults", access)
    with closing(open_store(access.store)) as store:
        recorded = store.get_manifest(ImageName.parse(f"{registry.host}/faults:latest"))
        assert recorded is not None
        assert store.has(recorded.digest)


def test_an_image_that_is_pulled_under_another_name_has_only_that(registry: Registry, tmp_path: Path) -> None:
    access = Access(store=str(tmp_path / "store"))
    name = ImageName.parse("localhost/other:1")
    assert pull(f"docker://{registry.host}/faults", access, name=name, platforms=None).name == name
    with closing(open_store(access.store)) as store:
        assert [recorded for recorded, _ in store.references()] == [name]


def test_without_the_store_nothing_is_left(registry: Registry, tmp_path: Path, home: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    assert read_image(f"docker://{registry.host}/faults", Access(keep=False), Means(scratch)) == BLOBS
    assert files_in(scratch) == []
    assert files_in(home) == []


def test_manifests_are_what_the_registry_says_they_are(proxy: Proxy, access: Access) -> None:
    def lie(answer: Answer) -> None:
        answer.set("Docker-Content-Digest", digest(b"something else"))

    proxy.faults.append(Fault("GET .*manifests", change=lie))
    with pytest.raises(DigestMismatch) as caught:
        read_image(f"docker://{proxy.host}/faults", access)
    assert caught.value.expected == digest(b"something else")
    assert caught.value.exit_status == 3


@pytest.mark.parametrize("stated", ["", None])
def test_a_registry_need_not_state_the_digest_of_a_manifest(proxy: Proxy, access: Access, stated: str | None) -> None:
    proxy.faults.append(Fault("manifests", change=lambda answer: answer.set("Docker-Content-Digest", stated)))
    assert read_image(f"docker://{proxy.host}/faults", access) == BLOBS


def test_a_manifest_asked_for_by_digest_has_it(proxy: Proxy, access: Access) -> None:
    def swap(answer: Answer) -> None:
        answer.body += b" "
        answer.set("Content-Length", None)
        answer.set("Docker-Content-Digest", digest(answer.body))

    proxy.faults.append(Fault("GET .*manifests", change=swap))
    with pytest.raises(DigestMismatch) as caught:
        read_image(f"docker://{proxy.host}/faults@{MANIFEST}", access)
    assert caught.value.expected == MANIFEST


@pytest.mark.parametrize("media_type", ["text/plain", "application/json; charset=utf-8", None])
def test_a_careless_content_type_is_overlooked(proxy: Proxy, access: Access, media_type: str | None) -> None:
    proxy.faults.append(Fault("manifests", change=lambda answer: answer.set("Content-Type", media_type)))
    assert read_image(f"docker://{proxy.host}/faults", access) == BLOBS


def test_a_content_type_that_contradicts_the_document_is_refused(proxy: Proxy, access: Access) -> None:
    index = f"{OCI}index.v1+json"
    proxy.faults.append(Fault("manifests", change=lambda answer: answer.set("Content-Type", index)))
    with pytest.raises(BuilderError) as caught:
        read_image(f"docker://{proxy.host}/faults", access)
    assert caught.value.exit_status == 3


def test_documents_without_end_are_refused(proxy: Proxy, access: Access) -> None:
    body = json.dumps({"schemaVersion": 2, "x": "x" * 5_000_000}).encode()
    proxy.faults.append(Fault("GET .*manifests", answer=Answer(200, {}, body)))
    with pytest.raises(BuilderError, match="documents of more than 4194304 bytes are refused"):
        read_image(f"docker://{proxy.host}/faults", access)


@pytest.mark.parametrize("size", [b"-1", b"-5"])
def test_a_chunk_of_a_negative_size_is_not_read_without_end(proxy: Proxy, access: Access, size: bytes) -> None:
    sent = size + b"\r\n" + b" " * 16_000_000
    answer = Answer(200, {"Download-Encoding": "chunked", "Connection": "close"}, sent)
    proxy.faults.append(Fault("GET .*manifests/", answer=answer))
    tracemalloc.start()
    try:
        with pytest.raises(UnsupportedImage, match="documents of more than 4194304 bytes are refused"):
            read_image(f"docker://{proxy.host}/faults", access)
        # The proxy's own copies of what it sends are none of it.
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 15_000_000


def test_a_layer_that_claims_more_than_the_limit_is_not_begun(proxy: Proxy, tmp_path: Path, access: Access) -> None:
    def claim(answer: Answer) -> None:
        manifest = json.loads(answer.body)
        manifest["layers"][1]["size"] = 1 << 40
        answer.body = json.dumps(manifest).encode()
        answer.set("Content-Length", None)
        answer.set("Docker-Content-Digest", None)

    proxy.faults += [Fault("GET .*manifests/", change=claim)] * 2
    reference = f"docker://{proxy.host}/faults"
    for act in (
        lambda: build(reference, tmp_path / "disk.ext4", BuildOptions(access=access)),
        lambda: pull(reference, access),
    ):
        with pytest.raises(LimitExceeded, match="its blob has 1099511627776 bytes, more than the image may unpack to"):
            act()
    assert [digest for digest in BLOBS if proxy.sent(f"GET .*{digest}")] == []
