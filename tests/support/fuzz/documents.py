"""Documents: those of images, of our store, and what this program writes and reads again."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

from support import images
from support.fuzz.mutate import of_json
from support.fuzz.target import Target, refused, text

from builder.actions.remake import _change
from builder.additions.addition import Addition, parse_owner, read_change, write_change
from builder.artifact.manifest import is_disk, parse_artifact
from builder.batch.messages import FORM, is_event, is_progress, read_event, read_job, read_outcome, write_outcome
from builder.batch.report import BUILT, Outcome, Part
from builder.image.choose import choose
from builder.image.config import parse_config
from builder.image.descriptor import Descriptor
from builder.image.digest import Digest
from builder.image.image import pair
from builder.image.manifest import Index, parse_document
from builder.image.media_types import OCI_INDEX
from builder.image.name import ImageName
from builder.image.platform import Platform
from builder.options import BuildOptions
from builder.output import schema
from builder.output.beside import read_as, read_verity
from builder.output.kept_contents import contents_beside, unpack_contents
from builder.output.known_disk import known_disk, reason_to_build
from builder.output.recipe import Recipe
from builder.sources.attestations import _line
from builder.sources.docker_manifest import parse_saved_images
from builder.store import open_store
from builder.store.lease import parse_lease
from builder.store.reach import Reach, links
from builder.store.references import References
from builder.store.rooms.directory import LocalRoom
from builder.version import VERSION

SPEC = images.Spec((b"layer", b"other"), config={"Env": ["A=1"], "ExposedPorts": {"80/tcp": {}}, "Cmd": ["sh"]})
ARM = images.Spec((b"layer",), platform="linux/arm64/v8")


def layout() -> list[bytes]:
    """Give all documents of a layout with an index of two images."""
    files, _ = images.layout_files(SPEC, ARM, nested="1")
    broken: dict[str, object] = {"digest": "none", "platform": {"os": "linux", "architecture": "amd64"}}
    found = [content for content in files.values() if isinstance(content, bytes) and content.startswith(b"{")]
    return [*found, images.index_bytes([broken])]


def document(data: bytes) -> None:
    with refused():
        _line(data, "statement")
    for expected in (None, "application/vnd.oci.image.index.v1+json", "application/vnd.oci.image.manifest.v1+json"):
        with refused():
            found = parse_document(data, expected, "document")
            if isinstance(found, Index):
                choose(found.manifests, Platform.parse("linux/amd64"), "index")
            else:
                pair("image", None, found, parse_config(images.config_bytes(SPEC), "config"))


def artifact(data: bytes) -> None:
    is_disk(data)
    parse_artifact(data, "manifest")


ARTIFACT = {
    "schemaVersion": 2,
    "artifactType": "application/vnd.rootfs-builder.disk.v1",
    "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": images.digest(b"{}"), "size": 2},
    "layers": [{"mediaType": "application/vnd.kubevirt.disk.raw+zstd", "digest": images.digest(b""), "size": 9}],
    "annotations": {
        "rootfs-builder.disk.format": "ext4",
        "rootfs-builder.disk.size": "4096",
        "rootfs-builder.disk.digest": images.digest(b"disk"),
    },
}
METADATA = {
    "builder": VERSION,
    "image": {
        "reference": "oci:a",
        "platform": "linux/amd64",
        "config": {"digest": "sha256:" + "1" * 64},
        "manifest": {"mediaType": "m", "digest": "sha256:" + "2" * 64, "size": 7},
    },
    "options": {
        "format": "ext4",
        "size": 4096,
        "additions": [{"add": "a", "target": "/b", "mode": "644", "owner": "0:0"}],
    },
    "disk": {
        "format": "ext4",
        "uuid": "01234567-89ab-cdef-0123-456789abcdef",
        "size": 4,
        "blockSize": 4096,
        "inodes": 11,
        "checked": True,
        "sha256": "3" * 64,
    },
    "tools": {"mke2fs": "1.47.0"},
    "verity": {
        "size": 4,
        "rootHash": "4" * 64,
        "salt": "5" * 64,
        "dataBlocks": 1,
        "hashOffset": 4096,
        "hashAlgorithm": "sha256",
        "dataBlockSize": 4096,
        "hashBlockSize": 4096,
        "uuid": "01234567-89ab-cdef-0123-456789abcdef",
        "hashType": 1,
    },
    "contents": {"layers": [], "largest": [], "efficiency": 1.0},
    "kernelCommandLine": {"qemu": "root=/dev/vda"},
}


def metadata(data: bytes) -> None:
    """Read metadata as all do who read them; the disk has the size and the time that may make them believed."""
    disk, beside = Path("disk.ext4"), Path("disk.ext4.json")
    disk.write_bytes(b"disk")
    beside.write_bytes(data)
    os.utime(beside, (1, 1))
    os.utime(disk, (1, 1))
    contents_beside(disk)
    recipe = Recipe("sha256:" + "1" * 64, {}, {})
    known_disk(disk, recipe, beside, checked=False)
    reason_to_build(disk, recipe, beside, checked=True)
    with refused():
        read_verity(disk)
    with refused():
        read_as(schema.Record, disk)
    if (made := read_as(schema.Made, disk)) is not None:
        same = Recipe(made.image.config.digest, made.options, made.tools, made.builder)
        known_disk(disk, same, beside, checked=False)
        additions = made.options.get("additions")
        for each in additions if isinstance(additions, list) else ():
            with refused():
                _change(each)
        BuildOptions().as_described(made.options)


def attribute(data: bytes) -> None:
    """Read what a disk has as an extended attribute, where the file system has those."""
    disk = Path("disk.ext4")
    disk.write_bytes(b"disk")
    with suppress(OSError):
        os.setxattr(disk, "user.rootfs-builder", data)
    known_disk(disk, Recipe("", {}, {}), None, checked=False)
    with refused(ValueError):
        unpack_contents(text(data).encode("ascii", "ignore").decode())


def reference_file(data: bytes) -> None:
    name = ImageName.parse("docker.io/library/busybox:latest")
    place = Path("room/images/manifests/docker.io+library+busybox/latest.json")
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(data)
    References(LocalRoom("room/images"), "tmp").get(name)


def store_document(data: bytes) -> None:
    with refused(ValueError, RecursionError):
        list(links(json.loads(data)))
    list(parse_lease(data))
    store = open_store("store")
    with store.lease() as lease:
        described = Descriptor(OCI_INDEX, Digest.of(data), len(data))
        store.put(described, [data], lease)
        Reach(store).of([(described.digest, OCI_INDEX)])
        store.room.remove(f"blobs/sha256/{described.digest.hex}")


def messages(data: bytes) -> None:
    """Read what a build in another process is told and tells, as it comes: a line of text."""
    line = data.decode("utf-8", "replace")
    with refused():
        read_job(line)
    with refused():
        if is_event(line):
            is_progress(line)
            read_event(line)
    read_outcome(line)


def changes(data: bytes) -> None:
    with refused():
        parse_owner(text(data))
    read_change(text(data))


JOB = {
    "builder": VERSION,
    "form": FORM,
    "directory": "/",
    "line": 1,
    "reference": "oci:a",
    "output": "a.ext4",
    "options": {"size": 4096, "env": ["A=1"], "init": "none", "free": None, "journal": False},
}
DESCRIBED = {"digest": images.digest(b""), "mediaType": "application/vnd.oci.image.manifest.v1+json", "size": 0}
TARGETS = {
    "manifest": Target(document, layout, of_json),
    "config": Target(
        lambda data: parse_config(data, "config"),
        lambda: [images.config_bytes(SPEC), images.config_bytes(ARM)],
        of_json,
    ),
    "docker-manifest": Target(
        lambda data: parse_saved_images(data, "manifest.json"),
        lambda: [images.bytes_of(images.docker_files(SPEC, ARM)[0]["manifest.json"])],
        of_json,
    ),
    "disk-artifact": Target(artifact, lambda: [images.dumps(ARTIFACT)], of_json),
    "metadata": Target(metadata, lambda: [images.dumps(METADATA)], of_json),
    "attribute": Target(
        attribute,
        lambda: [images.dumps({"recipe": "a", "mtime": 1, "disk": METADATA["disk"], "tools": {}, "contents": "eJw="})],
        of_json,
    ),
    "stored-reference": Target(
        reference_file,
        lambda: [images.dumps({"name": "docker.io/library/busybox:latest", "descriptor": DESCRIBED})],
        of_json,
    ),
    "stored-document": Target(store_document, lambda: [*layout(), f"{images.digest(b'')} type\n".encode()], of_json),
    "job": Target(
        messages,
        lambda: [
            images.dumps(JOB),
            images.dumps({"event": "notice", "text": "words"}),
            images.dumps({"event": "progress", "done": 1}),
            write_outcome(Outcome(1, "oci:a", "a.ext4", BUILT, size=4096, layers=(Part("sha256:0", 1),))).encode(),
        ],
        of_json,
    ),
    "change": Target(
        changes,
        lambda: [
            write_change(Addition("a", "/b", 0o644, (0, 0))).encode(),
            *(images.dumps({"addTar": None, "target": "/b", "bytes": "aGk="}), images.dumps({"remove": "/b"}), b"0:0"),
        ],
        of_json,
    ),
}
