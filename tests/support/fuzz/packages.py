"""Databases of packages on a disk, signatures of images, and what refers to either."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import BinaryIO

from cryptography.hazmat.primitives.asymmetric import ec
from support import images, signing
from support.fuzz.mutate import of_bytes, of_json, of_structures, of_text
from support.fuzz.target import Target, refused
from support.packages import MemoryDisk, rpm_database, rpm_header

from builder.artifact.attached import KINDS, SBOM, is_about, parse_attached
from builder.image.attestation import parse_attestations
from builder.image.descriptor import Descriptor
from builder.image.digest import Digest
from builder.output.provenance import PREDICATE
from builder.output.render import render_portable
from builder.output.sbom import describe_packages
from builder.packages.inventory import read_inventory
from builder.packages.rpm_header import parse_header
from builder.registry.referrers import _listed, _of_type
from builder.sources import open_source
from builder.sources.signatures import (
    PAYLOAD,
    SIGNATURE,
    Signable,
    _claims,
    _of_payload,
    _of_statement,
    check_signature,
)
from builder.sources.source import BUNDLE, Beside


def on_disk(path: str) -> Callable[[bytes], object]:
    """Read all databases of a disk that has one file, and write a bill of materials."""

    def run(data: bytes) -> None:
        inventory = read_inventory(MemoryDisk({path: data}))
        render_portable(describe_packages(Path("disk.ext4"), DISK.hex, IMAGE, inventory, 7))

    return run


def database() -> bytes:
    return rpm_database(Path("rpmdb.sqlite"), header(), header(), rpm_header({1000: "gpg-pubkey"}))


def header() -> bytes:
    return rpm_header({1000: "bash", 1001: "5", 1002: "1", 1003: 2, 1014: "GPL", 1022: "x86_64", 1044: "bash.src.rpm"})


def layout(place: Path) -> str:
    """Write a layout whose image has a signature; return the name of what says so."""
    files, made = images.layout_files(images.Spec((b"layer",), tag="1"))
    words = signing.payload(made[0].manifest)
    key = ec.generate_private_key(ec.SECP256R1())
    entry = signing.signatures(files, (words, signing.sign(key, words)))
    signing.add_entry(files, entry, {images.TAG: signing.signature_tag(made[0].manifest)})
    statement = signing.statement(made[0].manifest)
    bundle = signing.dsse(statement, signing.sign(key, signing.encoded(statement)))
    signing.add_entry(files, signing.bundled(files, made[0].manifest, bundle), {})
    images.write_directory(place, files)
    signing.write_public(key, Path("key"))
    return images.blob_path(str(entry["digest"]))


def signature(data: bytes) -> None:
    """Read the input as a payload that was signed, as the key that should have, and as the index that says so."""
    for read in (_of_payload, _of_statement):
        with refused():
            read(data, "image")
    if not Path("signed").exists():
        layout(Path("signed"))
    Path("any.key").write_bytes(data)
    Path("signed/index.json").write_bytes(data)
    for key in (Path("key"), Path("any.key")):
        with refused(), closing(open_source("oci:signed:1")) as source:
            check_signature(source, "oci:signed:1", key)


class Signatures:
    """A source of an image beside which stand a manifest, and a payload or a bundle of whatever digest it has."""

    def __init__(self, manifest: bytes, blob: bytes) -> None:
        self._manifest = manifest
        self._blob = blob

    def root(self) -> Descriptor:
        return Descriptor("a/b", Digest.of(b""), 0)

    def open(self, descriptor: Descriptor) -> BinaryIO:
        return io.BytesIO(self._blob if descriptor.size else b"")

    def signatures(self, digest: Digest) -> list[Beside]:
        return [Beside(self._manifest, self.open)]

    def inputs(self) -> list[str]:
        return []

    def close(self) -> None:
        pass


def claims(data: bytes) -> None:
    """Read the input as a manifest of signatures, and as the payload and the bundle that one names."""
    for kind in (PAYLOAD, BUNDLE):
        layer = {
            "mediaType": kind,
            "digest": images.digest(data),
            "size": len(data),
            "annotations": {SIGNATURE: "YQ=="},
        }
        for manifest, blob in ((data, b"{}"), (images.dumps({"layers": [layer]}), data)):
            source = Signatures(manifest, blob)
            with refused():
                of = source.root().digest
                for _, _, said in _claims(Signable(of, lambda: b"", source.signatures(of)), "image", []):
                    said()


def bundles() -> list[bytes]:
    """Give bundles of either kind, a payload, and a manifest that names all."""
    said = [
        signing.dsse(signing.statement(str(Digest.of(b""))), b"signature"),
        signing.message(b"", b"signature"),
        signing.payload(str(Digest.of(b""))),
    ]
    layer = {"mediaType": BUNDLE, "digest": images.digest(b"{}"), "size": 2, "annotations": SIGNED}
    return [*said, images.dumps({"layers": [layer, {**layer, "mediaType": PAYLOAD}]})]


def referrer(data: bytes) -> None:
    """Read the input as what refers to a manifest, as a list of that, and as a document that is said of a disk."""
    for kind in KINDS:
        for read in (
            partial(parse_attached, kind=kind, disk=DISK, name="x"),
            partial(is_about, kind, digest="", where="x"),
        ):
            with refused():
                read(data)
    with refused():
        parse_attestations(data, "x")
    list(_of_type(_listed(data), SBOM.media_type))


def referrers() -> list[bytes]:
    kind = f"{images.OCI}manifest.v1+json"
    layer = {"mediaType": SBOM.media_type, "digest": str(DISK), "size": 1, "artifactType": SBOM.media_type}
    fields = {"schemaVersion": 2, "mediaType": kind, "config": layer, "layers": [layer], "subject": layer}
    about = {"component": {"hashes": [{"alg": "SHA-256", "content": DISK.hex}]}}
    bill = {"bomFormat": "CycloneDX", "metadata": about}
    return [
        images.dumps(fields),
        images.dumps({"schemaVersion": 2, "mediaType": f"{images.OCI}index.v1+json", "manifests": [layer]}),
        images.dumps(bill),
        signing.statement(str(DISK), PREDICATE),
    ]


def signed() -> list[bytes]:
    place = Path("signed")
    layout(place)
    words = [signing.payload(images.digest(b"")), signing.statement(images.digest(b""))]
    return [(place / "index.json").read_bytes(), Path("key").read_bytes(), *words]


DISK = Digest.of(b"disk")
SIGNED = {SIGNATURE: "YQ=="}
IMAGE = {"reference": "oci:a", "config": {"digest": str(DISK)}}
DPKG = (
    b"Package: a\nStatus: install ok installed\nVersion: 1:2-3\nArchitecture: all\nSource: b (1)\n\n"
    b"Package: c\nVersion: 1\n"
)
APK = b"C:Q1abc=\nP:musl\nV:1.2-r3\nA:x86_64\no:musl\nL:MIT\nF:lib\n\nP:b\nV:1\n"
OS_RELEASE = b"ID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME='Debian GNU/Linux 12'\n"

TARGETS = {
    "dpkg": Target(on_disk("var/lib/dpkg/status"), lambda: [DPKG], of_text),
    "apk": Target(on_disk("lib/apk/db/installed"), lambda: [APK], of_text),
    "os-release": Target(on_disk("etc/os-release"), lambda: [OS_RELEASE], of_text),
    "rpm-database": Target(on_disk("var/lib/rpm/rpmdb.sqlite"), lambda: [database()], of_structures),
    "rpm-header": Target(lambda data: parse_header(data, "rpmdb"), lambda: [header()], of_bytes),
    "signature": Target(signature, signed, of_json),
    "bundle": Target(claims, bundles, of_json),
    "referrer": Target(referrer, referrers, of_json),
}
