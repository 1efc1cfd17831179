"""Images of which something is attested in their index, as BuildKit writes them; written independently of builder/."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from support.images import (
    OCI,
    TAG,
    Files,
    Spec,
    add_blob,
    add_image,
    dumps,
    index_bytes,
    platform_object,
)
from support.tars import file, tar

SPEC = Spec((tar(file("a", b"1", mode=0o755)),), config={"Cmd": ["/a"]})
PROVENANCE = b'{\n  "_type": "https://in-toto.io/Statement/v0.1",\r\n  "predicate": {"a\\n": "b"}\n}\n'
PACKAGES = b'{"predicateType":"https://spdx.dev/Document"}'
TYPES = {PROVENANCE: "https://slsa.dev/provenance/v0.2", PACKAGES: "https://spdx.dev/Document"}


def attested(manifest: str, files: Files, *statements: bytes) -> dict[str, Any]:
    """An entry of an index as BuildKit writes it, and its blobs."""
    layers = [
        {
            **add_blob(files, each, "application/vnd.in-toto+json"),
            "annotations": {"in-toto.io/predicate-type": TYPES.get(each, "")},
        }
        for each in statements
    ]
    config = add_blob(files, dumps({"architecture": "unknown", "os": "unknown"}), OCI + "config.v1+json")
    kind = OCI + "manifest.v1+json"
    document = {"schemaVersion": 2, "mediaType": kind, "config": config, "layers": layers}
    marks = {"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": manifest}
    unknown = {"architecture": "unknown", "os": "unknown"}
    return {**add_blob(files, dumps(document), kind), "annotations": marks, "platform": unknown}


def image_files(*statements: bytes) -> Files:
    """A layout with an index of images for two platforms, of which each has statements of its own."""
    files: Files = {"oci-layout": dumps({"imageLayoutVersion": "1.0.0"})}
    entries: list[dict[str, object]] = []
    for platform, stated in (("linux/arm64", (b'{"of":"arm64"}',)), ("linux/amd64", statements)):
        made, entry = add_image(files, replace(SPEC, platform=platform))
        entries += [{**entry, "platform": platform_object(platform)}]
        entries += [attested(made.manifest, files, *stated)] if stated else []
    index = add_blob(files, index_bytes(entries), OCI + "index.v1+json")
    files["index.json"] = index_bytes([{**index, "annotations": {TAG: "latest"}}])
    return files
