"""A disk in a registry, found by its reference; and how its content comes here, verified."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

from builder.archive.compression import zstd
from builder.artifact.attached import Kind, is_about, parse_attached
from builder.artifact.manifest import EROFS_LAYER, Artifact, parse_artifact
from builder.errors import (
    CorruptStream,
    ImageNotFound,
    ImageRefused,
    InvalidReference,
    LayerRefused,
    LimitExceeded,
    MalformedDocument,
    UsageError,
)
from builder.events import Listener, Notice
from builder.files.descriptors import opened
from builder.files.holes import write_sparse
from builder.image.descriptor import Descriptor
from builder.image.digest import Digest
from builder.image.name import ImageName
from builder.image.verifier import Verifier
from builder.limits import Limits
from builder.output.beside import MAX_METADATA, read_json
from builder.output.schema import Record
from builder.registry.failures import NotThere
from builder.registry.origin import Document, Origin
from builder.sources.access import Access
from builder.sources.docker import DOCKER
from builder.sources.docker.asking import first_answer, not_found
from builder.sources.docker.repositories import open_origins
from builder.sources.docker.signatures import signatures
from builder.sources.keys import read_key
from builder.sources.reference import parse_reference
from builder.sources.signatures import Signable, check_signed

# How many documents of one kind that refer to a disk are looked at.
_MAX_ATTACHED = 20


@dataclass(frozen=True, slots=True)
class RemoteDisk:
    """A disk of a registry: its full name, its manifest's digest, and what that says of it."""

    name: ImageName
    digest: Digest
    artifact: Artifact
    origin: Origin

    def fetch(self, path: Path, meter: Callable[[int], None]) -> None:
        """Write the disk to `path`, a new file, with holes where it is empty; `meter` is told the bytes that came.

        Raises what a download does, DigestMismatch, SizeMismatch, LayerRefused, and OSError (a full disk).
        """
        disk, position = self.artifact.disk, 0
        whole = Verifier(f"{self.name}: disk", disk.digest, disk.size)
        what = f"{self.name}: layer {self.artifact.layer.digest}"
        with (
            opened(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY) as fd,
            closing(self._blob(self.artifact.layer, what, meter)) as blob,
        ):
            try:
                raw = self.artifact.layer.media_type == EROFS_LAYER
                for chunk in whole.watch(blob if raw else zstd.decompress(blob)):
                    write_sparse(fd, chunk, position)
                    position += len(chunk)
            except CorruptStream as error:
                raise LayerRefused(what, None, error.reason) from error
            whole.finish()
            os.ftruncate(fd, disk.size)

    def metadata(self) -> bytes | None:
        """Fetch the metadata of the disk; None where it has none.

        Raises MalformedDocument for what is no metadata of this disk, and what a download does.
        """
        layer = self.artifact.metadata
        if layer is None:
            return None
        what = f"{self.name}: metadata {layer.digest}"
        content = b"".join(self._blob(layer, what, lambda _count: None))
        try:
            record = read_json(content, Record, what)
        except UsageError as error:
            raise MalformedDocument(what, "$", "is no metadata of a disk") from error
        if (record.disk.sha256, record.disk.size) != (self.artifact.disk.digest.hex, self.artifact.disk.size):
            raise MalformedDocument(what, "$.disk", "is another disk than the one that it comes with")
        return content

    def attached(self, kind: Kind, listen: Listener) -> bytes:
        """Fetch the document of that kind that refers to the disk and is about it; of several, the first.

        Raises ImageNotFound where there is none, the first error where there is none but what is refused, and what a
        registry does.
        """
        name = f"{self.name}: {kind.name}"
        found = list(islice(self.origin.referrers(self.digest, kind.media_type), _MAX_ATTACHED))
        refused: ImageRefused | None = None
        for entry in found:
            try:
                manifest = self.origin.manifest(entry.digest)
                layer = parse_attached(manifest.data, kind, self.digest, f"{name}: manifest {entry.digest}")
                if layer.size > MAX_METADATA:
                    raise LimitExceeded(name, None, f"it has more than {MAX_METADATA} bytes")
                content = b"".join(self._blob(layer, f"{name} {layer.digest}", lambda _count: None))
                if is_about(kind, content, self.artifact.disk.digest.hex, name):
                    # What is listed without its own type may be of another kind.
                    count = sum(each.artifact_type == kind.media_type for each in found)
                    if count > 1:
                        listen(Notice(f"{name}: of {count} that refer to the disk, {entry.digest} is taken"))
                    return content
            except (NotThere, UsageError, MalformedDocument):
                # Others may refer to it with what they like.
                continue
            except ImageRefused as error:
                # Nor may it hide what comes behind it. If nothing does, ours may be what is damaged.
                refused = refused or error
        if refused is not None:
            raise refused
        raise ImageNotFound(str(self.name), f"no {kind.name} refers to it; leave out --{kind.name}")

    def _blob(self, layer: Descriptor, what: str, meter: Callable[[int], None]) -> Generator[bytes, None, None]:
        verifier = Verifier(what, layer.digest, layer.size)
        with closing(self.origin.download(layer).chunks(0)) as chunks:
            for chunk in verifier.watch(chunks):
                yield chunk
                meter(verifier.count)
        verifier.finish()


@contextmanager
def remote_disk(
    reference: str,
    access: Access,
    limits: Limits,
    listen: Listener,
    ready: Callable[[Sequence[Origin]], object] = lambda _origins: None,
) -> Iterator[RemoteDisk]:
    """Find the disk at `reference`, docker://REGISTRY/REPO[:TAG][@DIGEST], for as long as the context lasts.

    `ready` is called once it is known who will be asked, and nobody was yet. Raises InvalidReference, ImageNotFound,
    UnsupportedImage for what is no disk, LimitExceeded for one of more bytes than `limits` has for an image, what
    `check_signed` does where a signature is asked for, and what a registry does.
    """
    parsed = parse_reference(reference)
    if parsed.transport is not DOCKER:
        raise InvalidReference(reference, "disks are pulled from registries: write docker://REGISTRY/REPO:TAG")
    # Here, for `ready` may put it out of reach.
    key = None if access.verify_key is None else read_key(access.verify_key)
    name, origins = open_origins(parsed, access.registry, listen)
    with ExitStack() as stack:
        for each in origins:
            stack.enter_context(closing(each))
        ready(origins)
        origin, found = first_answer(origins, partial(_ask, name), listen)
        artifact = parse_artifact(found.data, f"{reference}: manifest {found.digest}")
        if artifact.disk.size > limits.max_size:
            reason = f"the disk has {artifact.disk.size} bytes, more than {limits.max_size}; raise it with --max-size"
            raise LimitExceeded(str(name), None, reason)
        if artifact.metadata and artifact.metadata.size > MAX_METADATA:
            raise LimitExceeded(str(name), None, f"its metadata have more than {MAX_METADATA} bytes")
        if key is not None:
            beside = signatures(origin, origins[-1], found.digest, listen)
            check_signed(Signable(found.digest, lambda: found.data, beside), reference, key)
        yield RemoteDisk(name, found.digest, artifact, origin)


def _ask(name: ImageName, origin: Origin) -> tuple[Origin, Document]:
    try:
        return origin, origin.manifest(name.digest or name.tag or "")
    except NotThere as error:
        raise not_found(str(name), name, origin) from error
