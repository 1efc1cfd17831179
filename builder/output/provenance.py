"""Where a disk comes from, for those who decide by it what may run: an in-toto statement with SLSA's predicate.

in-toto attestation framework, Statement v1; SLSA provenance v1. It says what metadata say, in words that other tools
know, and no more: so it has no clock and no random id (both are optional), and is the same for the same disk. It is not
signed: whoever vouches for the machine that builds signs it, as with cosign.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from builder.additions.addition import AddedTar
from builder.additions.survey import Surveyed
from builder.archive.entry import Kind
from builder.sources.attestations import NOTHING, Attested

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"
# The README says what they stand for.
BUILD_TYPE = "urn:rootfs-builder:build:v1"
BUILDER = "urn:rootfs-builder:command"
# Not a file's, but that of a listing of all that counts of a directory or a symlink.
_LISTING = "listingSha256"


def describe_provenance(
    disk: Path, record: Mapping[str, Any], surveyed: Sequence[Surveyed], attested: Attested = NOTHING
) -> dict[str, Any]:
    """Tell as plain JSON values how `disk` was made, of which `record` are the metadata (metadata.py).

    `surveyed` is what was added to the image, `attested` what others say of that. The subjects are the disk and, where
    one was written, its initramfs.
    """
    image, guest = record["image"], record["guest"]
    facts = {name: value for name, value in record["disk"].items() if name != "sha256"}
    subjects = [_resource(disk.name, f"sha256:{record['disk']['sha256']}", {**facts, "verity": record["verity"]})]
    if guest and guest["initrd"]:
        initrd = guest["initrd"]
        subjects.append(_resource(os.path.basename(initrd["path"]), f"sha256:{initrd['sha256']}", size=initrd["size"]))
    definition = {
        "buildType": BUILD_TYPE,
        "externalParameters": {"image": image["reference"], "options": record["options"]},
        "internalParameters": {"platform": image["platform"]},
        "resolvedDependencies": [
            *_of_image(image),
            *_of_attested(attested),
            *_of_additions(surveyed),
            *_of_guest(guest),
        ],
    }
    # What made init is part of this program, or a file of the user's own, which is among the dependencies.
    tools = {name: version for name, version in record["tools"].items() if name != "init"}
    details = {"builder": {"id": BUILDER, "version": {"rootfs-builder": record["builder"], **tools}}}
    return {
        "_type": STATEMENT,
        "subject": subjects,
        "predicateType": PREDICATE,
        "predicate": {"buildDefinition": definition, "runDetails": details},
    }


def _of_image(image: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    manifest, layers = image["manifest"], image["layers"]
    if manifest["digest"]:
        yield _resource("manifest", manifest["digest"], media_type=manifest["mediaType"], size=manifest["size"])
    yield _resource("config", image["config"]["digest"])
    for number, layer in enumerate(layers, start=1):
        name = f"layer {number} of {len(layers)}"
        facts = {"diffId": layer["diffId"], "size": layer["size"]}
        yield _resource(name, layer["digest"], facts, media_type=layer["mediaType"])


def _of_attested(attested: Attested) -> Iterator[dict[str, Any]]:
    """Name what leads further back: how the image was built, if its builder says so."""
    for each in attested.manifests:
        yield _resource("attestations", str(each.digest), media_type=each.media_type, size=each.size)
    for statement in attested.statements:
        blob, facts = statement.descriptor, {"predicateType": statement.predicate_type or None}
        yield _resource("attestation", str(blob.digest), facts, media_type=blob.media_type, size=blob.size)


def _of_additions(surveyed: Sequence[Surveyed]) -> Iterator[dict[str, Any]]:
    for each in surveyed:
        if not each.digest:
            continue  # a removal, which has no source
        target = "/" + os.fsdecode(b"/".join(each.target))
        what = "tar added to" if isinstance(each.change, AddedTar) else "added as"
        algorithm = "sha256" if each.kind is Kind.FILE else _LISTING
        yield _resource(f"{what} {target}", f"{algorithm}:{each.digest}")


def _of_guest(guest: Mapping[str, Any] | None) -> Iterator[dict[str, Any]]:
    if guest:
        yield _resource("init", guest["init"])


def _resource(
    name: str,
    digest: str,
    annotations: Mapping[str, Any] | None = None,
    *,
    media_type: str | None = None,
    size: int | None = None,
) -> dict[str, Any]:
    """Describe a thing by its digest (in-toto, ResourceDescriptor), which is written as `algorithm:hex`."""
    algorithm, _, value = digest.partition(":")
    facts = {**(annotations or {}), "size": size} if size is not None else {**(annotations or {})}
    said = {"mediaType": media_type, "annotations": {key: fact for key, fact in facts.items() if fact is not None}}
    return {"name": name, "digest": {algorithm: value}, **{key: value for key, value in said.items() if value}}
