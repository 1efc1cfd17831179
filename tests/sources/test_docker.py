"""`docker://`: images out of a real registry, whatever happens on the way."""

from __future__ import annotations

import json
import os
import tracemalloc
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from support.images import OCI, Spec, config_bytes, digest, layout
from support.proxy import Answer, Fault, Proxy
from support.registry import Registry, skopeo_copy
from support.remote import BLOBS, GET_BLOB, IMAGE, LAYERS, MANIFEST, NAME, files_in, listen_to, read_image
from support.tars import file, tar

from builder import BuildOptions, build
from builder.errors import (
    BlobMissing,
    BuilderError,
    DigestMismatch,
    ImageNotFound,
    InvalidReference,
    LimitExceeded,
    SourceUnreadable,
    StoreCorrupt,
    StoreDenied,
    StoreError,
    UnsupportedImage,
)
from builder.image.name import ImageName
from builder.pull import pull
from builder.registry.access import RegistryAccess
from builder.sources import open_source
from builder.sources.access import Access
from builder.sources.resolve import resolve
from builder.store import open_store


@pytest.fixture(scope="module", autouse=True)
def _image(registry: Registry) -> None:
    registry.push(NAME, IMAGE)


@pytest.fixture(params=["store", "no store"])
def access(request: pytest.FixtureRequest, tmp_path: Path) -> Access:
    return Access(scratch=tmp_path, store=str(tmp_path / "store"), keep=request.param == "store")


@pytest.fixture
def heard() -> list[str]:
    return []


def test_what_is_pushed_is_what_is_read(registry: Registry, access: Access) -> None:
    assert read_image(f"docker://{registry.host}/faults", access) == BLOBS


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
    access = Access(scratch=tmp_path, store=str(tmp_path / "store"))
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
    access = Access(scratch=tmp_path, store=str(tmp_path / "store"))
    read_image(f"docker://{proxy.host}/faults", access)
    proxy.requests.clear()
    assert read_image(f"docker://{proxy.host}/based", access)[:4] == BLOBS
    assert len(proxy.sent("GET /v2/based/blobs/")) == 2  # its config and its one layer


def test_a_digest_that_was_built_before_needs_no_network(proxy: Proxy, tmp_path: Path) -> None:
    access = Access(scratch=tmp_path, store=str(tmp_path / "store"))
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
    access = Access(scratch=tmp_path, store=str(tmp_path / "store"))
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
    access = Access(scratch=tmp_path, store=str(tmp_path / "store"))
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
    access = Access(scratch=tmp_path, store=str(tmp_path / "store"))
    read_image(f"docker://{registry.host}/faults", access)
    with closing(open_store(access.store)) as store:
        recorded = store.get_manifest(ImageName.parse(f"{registry.host}/faults:latest"))
        assert recorded is not None
        assert store.has(recorded.digest)


def test_an_image_that_is_pulled_under_another_name_has_only_that(registry: Registry, tmp_path: Path) -> None:
    access = Access(scratch=tmp_path, store=str(tmp_path / "store"))
    name = ImageName.parse("localhost/other:1")
    assert pull(f"docker://{registry.host}/faults", access, name=name, platforms=None).name == name
    with closing(open_store(access.store)) as store:
        assert [recorded for recorded, _ in store.references()] == [name]


def test_without_the_store_nothing_is_left(registry: Registry, tmp_path: Path, home: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    assert read_image(f"docker://{registry.host}/faults", Access(scratch, keep=False)) == BLOBS
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
    answer = Answer(200, {"Transfer-Encoding": "chunked", "Connection": "close"}, sent)
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

    proxy.faults.append(Fault("GET .*manifests/", change=claim))
    with pytest.raises(LimitExceeded, match="its blob has 1099511627776 bytes, more than the image may unpack to"):
        build(f"docker://{proxy.host}/faults", tmp_path / "disk.ext4", BuildOptions(access=access))
    assert [digest for digest in BLOBS if proxy.sent(f"GET .*{digest}")] == []


def test_nothing_behind_the_port_is_said_at_once(registry: Registry, access: Access, heard: list[str]) -> None:
    from support.registry import free_port

    host = f"127.0.0.1:{free_port()}"
    with pytest.raises(SourceUnreadable) as caught:
        read_image(f"docker://{host}/faults", replace(access, listen=listen_to(heard)))
    assert str(caught.value) == f"{host}: connection refused; check host and port, and that the registry runs"
    assert heard == []


def test_a_name_that_nobody_knows_is_said_at_once(home: Path, access: Access) -> None:
    with pytest.raises(SourceUnreadable) as caught:
        read_image("docker://registry.invalid/faults", access)
    reason = "the name is not known; check its spelling, the network and the proxy settings"
    assert str(caught.value) == f"registry.invalid: {reason}"


def test_a_short_name_is_docker_hubs(proxy: Proxy, access: Access, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", f"http://{proxy.host}")
    with pytest.raises(SourceUnreadable) as caught:
        read_image("docker://alpine", access)
    assert [(each.method, each.path) for each in proxy.requests] == [("CONNECT", "registry-1.docker.io:443")]
    assert caught.value.where == "registry-1.docker.io"
    assert "the proxy of the environment refuses or fails" in caught.value.reason


def test_plain_http_to_other_machines_is_for_those_who_ask_for_it(
    proxy: Proxy, access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A host that is not this machine, reached through a proxy that takes plain HTTP only.
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, f"http://{proxy.host}")
    with pytest.raises(SourceUnreadable):
        read_image("docker://registry.invalid/faults", access)
    assert [each.method for each in proxy.requests] == ["CONNECT"]
    insecure = replace(access, registry=RegistryAccess(tls_verify=False))
    assert read_image("docker://registry.invalid/faults", insecure) == BLOBS


def test_mirrors_are_asked_first_and_one_that_fails_is_passed_over(
    proxy: Proxy, access: Access, heard: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conf = tmp_path / "registries.conf"
    conf.write_text(f"""
        [[registry]]
        location = "registry.invalid"
        [[registry.mirror]]
        location = "{proxy.host}/nowhere"
        [[registry.mirror]]
        location = "{proxy.host}"
    """)
    monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(conf))
    assert read_image("docker://registry.invalid/faults", replace(access, listen=listen_to(heard))) == BLOBS
    assert len(heard) == 1
    assert heard[0].startswith(f"mirror {proxy.host}/nowhere/faults: ")
    assert heard[0].endswith("; asking the next")


def test_an_ambiguous_short_name_is_refused_before_anything_is_sent(
    home: Path, access: Access, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "registries.conf").write_text('unqualified-search-registries = ["registry.invalid", "docker.io"]\n')
    monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(tmp_path / "registries.conf"))
    with pytest.raises(InvalidReference) as caught:
        read_image("docker://app", access)
    assert caught.value.reason.endswith("write one of docker://docker.io/library/app, docker://registry.invalid/app")


@pytest.fixture
def unwritable(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "unwritable"
    place.mkdir()
    if os.geteuid() == 0:
        (place / "images").write_text("a file where a directory must be")
    else:
        place.chmod(0o500)
    yield place
    place.chmod(0o700)


def test_a_store_that_cannot_be_written_is_one_clear_error(registry: Registry, unwritable: Path) -> None:
    with pytest.raises((StoreError, StoreDenied)) as caught:
        read_image(f"docker://{registry.host}/faults", Access(store=str(unwritable)))
    assert caught.value.reason.endswith("or keep nothing with --no-store")


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ("docker:busybox", "write docker://NAME"),
        ("docker://", "is no repository"),
        ("docker://Busybox", "is no repository"),
        ("docker://host:port/app", "is no registry"),
        ("docker://" + 64 * "a", "is an image ID, not a name"),
        ("docker://host/app:", "is no tag"),
        ("docker://host/app@sha256:abc", "hex digits"),
        ("docker://host.example/../app", "is no repository"),
        ("docker://host.example:99999/app", "is no registry"),
        ("docker://host.example:0/app", "is no registry"),
        ("docker://[:::]/app", "is no registry"),
    ],
)
def test_malformed_names_are_refused(home: Path, reference: str, reason: str) -> None:
    with pytest.raises(InvalidReference) as caught:
        open_source(reference, Access())
    assert caught.value.reference == reference
    assert reason in caught.value.reason


def test_a_password_in_a_reference_is_refused_and_not_repeated(home: Path) -> None:
    with pytest.raises(InvalidReference) as caught:
        open_source("docker://me:secret@registry.example/app", Access())
    assert "secret" not in str(caught.value)
    assert "podman login" in str(caught.value)
