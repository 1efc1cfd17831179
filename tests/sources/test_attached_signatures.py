"""Signatures as cosign 2 puts them where it is told to have no tag for them, and where it saves an image."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from support.built_store import image
from support.images import index_bytes, layout_files, write_directory
from support.registry import Registry
from support.signing import KEY, OTHER, SPEC, add_entry, attached, check, make, payload, sign, signatures

from builder.sources import open_source
from builder.sources.access import Access
from builder.sources.signatures import Unsigned

MANIFEST = make()[1].manifest
GOOD = (payload(MANIFEST), sign(KEY, payload(MANIFEST)))
BAD = (payload(MANIFEST), sign(OTHER, payload(MANIFEST)))


def test_a_signature_that_refers_to_the_image_is_found_in_a_layout(tmp_path: Path, key: Path) -> None:
    files, _ = make()
    # Of another image, which is in nobody's way.
    add_entry(files, attached(files, "sha256:" + "0" * 64, BAD), {})
    write_directory(tmp_path / "unsigned", files)
    with pytest.raises(Unsigned):
        check(f"oci:{tmp_path}/unsigned:latest", key)
    add_entry(files, attached(files, MANIFEST, BAD, GOOD), {})
    write_directory(tmp_path / "signed", files)
    check(f"oci:{tmp_path}/signed:latest", key)


def test_a_signature_that_refers_to_the_image_is_found_in_a_registry(
    registry: Registry, tmp_path: Path, key: Path
) -> None:
    files, _ = make()
    registry.push_layout("attached/one", files, "latest")
    access = Access(store=str(tmp_path / "store"), verify_key=key)
    reference = f"docker://{registry.host}/attached/one"
    entry = attached(files, MANIFEST, GOOD)
    files["index.json"] = index_bytes([entry])
    registry.push_layout("attached/one", files, "x")
    with pytest.raises(Unsigned):
        open_source(reference, access)
    # This registry keeps no account of what refers to an image, so cosign does.
    index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [entry]}
    registry.push_manifest(
        "attached/one", MANIFEST.replace(":", "-"), json.dumps(index).encode(), str(index["mediaType"])
    )
    open_source(reference, access).close()


def test_what_stands_beside_the_only_image_of_a_layout_is_none_to_choose(tmp_path: Path, key: Path) -> None:
    files, (made,) = layout_files(replace(SPEC, tag=None))
    for what in ("sigs", "atts"):
        add_entry(files, signatures(files, (what.encode(), b"")), {"kind": f"dev.cosignproject.cosign/{what}"})
    add_entry(files, attached(files, made.manifest, (payload(made.manifest), sign(KEY, payload(made.manifest)))), {})
    write_directory(tmp_path / "saved", files)
    assert str(image(f"oci:{tmp_path}/saved").digest) == made.manifest
    check(f"{tmp_path}/saved", key)
