"""Signatures as cosign 2 puts them where it is told to have no tag for them, and where it saves an image."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from support.built_store import image
from support.images import (
    OCI,
    TAG,
    Files,
    add_blob,
    blob_path,
    digest,
    dumps,
    index_bytes,
    layout_files,
    write_directory,
)
from support.proxy import Fault, Proxy
from support.registry import Registry
from support.signing import (
    KEY,
    OTHER,
    SPEC,
    add_entry,
    attached,
    bundled,
    check,
    dsse,
    encoded,
    make,
    payload,
    sign,
    signature_tag,
    signatures,
    statement,
)

from builder.errors import ImageRefused, MalformedDocument
from builder.sources import open_source
from builder.sources.access import Access
from builder.sources.signatures import Unsigned

MANIFEST = make()[1].manifest
GOOD = (payload(MANIFEST), sign(KEY, payload(MANIFEST)))
SAID = statement(MANIFEST)
BAD = (payload(MANIFEST), sign(OTHER, payload(MANIFEST)))


def payloads(files: Files) -> dict[str, object]:
    """Signatures that refer to the image, of which one counts."""
    return attached(files, MANIFEST, BAD, GOOD)


def bundle(files: Files) -> dict[str, object]:
    """A bundle as cosign lists it where the registry does not, by the type of its config."""
    entry = bundled(files, MANIFEST, dsse(SAID, sign(KEY, encoded(SAID))))
    return {**entry, "artifactType": "application/vnd.oci.empty.v1+json"}


FORMS = pytest.mark.parametrize("signed", [payloads, bundle])
Form = Callable[[Files], dict[str, object]]


@FORMS
def test_a_signature_that_refers_to_the_image_is_found_in_a_layout(tmp_path: Path, key: Path, signed: Form) -> None:
    files, _ = make()
    # Of another image, which is in nobody's way.
    add_entry(files, attached(files, "sha256:" + "0" * 64, BAD), {})
    write_directory(tmp_path / "unsigned", files)
    with pytest.raises(Unsigned):
        check(f"oci:{tmp_path}/unsigned:latest", key)
    add_entry(files, signed(files), {})
    write_directory(tmp_path / "signed", files)
    check(f"oci:{tmp_path}/signed:latest", key)


@FORMS
def test_a_signature_is_found_that_cosign_lists_where_the_registry_does_not(
    registry: Registry, tmp_path: Path, key: Path, signed: Form
) -> None:
    files, _ = make()
    name = f"attached/{tmp_path.name.lower()}"
    registry.push_layout(name, files, "latest")
    access = Access(store=str(tmp_path / "store"), verify_key=key)
    entry = signed(files)
    files["index.json"] = index_bytes([entry])
    registry.push_layout(name, files, "x")
    with pytest.raises(Unsigned):
        open_source(f"docker://{registry.host}/{name}", access)
    registry.push_manifest(name, MANIFEST.replace(":", "-"), index_bytes([entry]), f"{OCI}index.v1+json")
    open_source(f"docker://{registry.host}/{name}", access).close()


BEFORE = {
    "no manifest": lambda files: add_blob(files, b"[]", f"{OCI}manifest.v1+json"),
    "no manifest at all": lambda files: absent(files),
    "another payload": lambda files: damaged(files, signatures(files, BAD)),
    "no payload, though the key signed it": lambda files: signatures(files, (b"{}", sign(KEY, b"{}"))),
    "no bundle": lambda files: bundled(files, MANIFEST, b"{"),
    "of the same manifest": lambda files: signatures(files, (b"{}", sign(KEY, b"{}")), GOOD),
}


def absent(files: Files) -> dict[str, object]:
    entry = attached(files, MANIFEST, BAD)
    del files[blob_path(str(entry["digest"]))]
    return entry


def damaged(files: Files, entry: dict[str, object]) -> dict[str, object]:
    files[blob_path(digest(BAD[0]))] = b"x" * len(BAD[0])
    return entry


@pytest.mark.parametrize("case", BEFORE)
def test_what_is_no_signature_hides_none_behind_it(tmp_path: Path, key: Path, case: str) -> None:
    files, _ = make()
    tag = {TAG: signature_tag(MANIFEST)}
    add_entry(files, BEFORE[case](files), tag)
    if case != "of the same manifest":
        write_directory(tmp_path / "bad", files)
        with pytest.raises(ImageRefused):
            check(f"oci:{tmp_path}/bad:latest", key)
        add_entry(files, bundle(files), {})
    write_directory(tmp_path / "image", files)
    check(f"oci:{tmp_path}/image:latest", key)


def test_of_all_that_is_no_signature_only_the_first_is_held(tmp_path: Path, key: Path) -> None:
    files, _ = make()
    for number in range(20):
        # An error holds the document that it is of.
        bad = dumps({"layers": number, "padding": "x" * (1 << 20)})
        add_entry(files, add_blob(files, bad, f"{OCI}manifest.v1+json"), {TAG: signature_tag(MANIFEST)})
    write_directory(tmp_path / "image", files)
    tracemalloc.start()
    try:
        with pytest.raises(MalformedDocument):
            check(f"oci:{tmp_path}/image:latest", key)
        assert tracemalloc.get_traced_memory()[1] < 12 << 20
    finally:
        tracemalloc.stop()


def test_what_is_listed_again_and_again_hides_no_signature_behind_it(
    registry: Registry, tmp_path: Path, key: Path
) -> None:
    files, _ = make()
    name = f"attached/{tmp_path.name.lower()}"
    registry.push_layout(name, files, "latest")
    listed = [*[attached(files, MANIFEST, BAD)] * 100, attached(files, MANIFEST, GOOD)]
    for entry in listed:
        add_entry(files, entry, {})
    write_directory(tmp_path / "image", files)
    check(f"oci:{tmp_path}/image:latest", key)
    files["index.json"] = index_bytes(listed[-2:])
    registry.push_layout(name, files, "x")
    registry.push_manifest(name, MANIFEST.replace(":", "-"), index_bytes(listed), f"{OCI}index.v1+json")
    open_source(f"docker://{registry.host}/{name}", Access(store=str(tmp_path / "store"), verify_key=key)).close()


def test_what_a_registry_cannot_give_hides_no_signature_behind_it(
    registry: Registry, proxy: Proxy, tmp_path: Path, key: Path
) -> None:
    files, _ = make()
    name = f"attached/{tmp_path.name.lower()}"
    registry.push_layout(name, files, "latest")
    bad, good = signatures(files, BAD), payloads(files)
    for entry, tag in ((bad, signature_tag(MANIFEST)), (good, "x")):
        files["index.json"] = index_bytes([entry])
        registry.push_layout(name, files, tag)
    registry.push_manifest(name, MANIFEST.replace(":", "-"), index_bytes([good]), f"{OCI}index.v1+json")
    damage = Fault(r"GET .*\.sig$", change=lambda answer: setattr(answer, "body", b" " + answer.body[1:]))
    proxy.faults.append(damage)
    open_source(f"docker://{proxy.host}/{name}", Access(store=str(tmp_path / "store"), verify_key=key)).close()


def test_what_stands_beside_the_only_image_of_a_layout_is_none_to_choose(tmp_path: Path, key: Path) -> None:
    files, (made,) = layout_files(replace(SPEC, tag=None))
    for what in ("sigs", "atts"):
        add_entry(files, signatures(files, (what.encode(), b"")), {"kind": f"dev.cosignproject.cosign/{what}"})
    add_entry(files, attached(files, made.manifest, (payload(made.manifest), sign(KEY, payload(made.manifest)))), {})
    write_directory(tmp_path / "saved", files)
    assert str(image(f"oci:{tmp_path}/saved").digest) == made.manifest
    check(f"{tmp_path}/saved", key)
