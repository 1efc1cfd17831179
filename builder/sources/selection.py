"""Choose images of a source, and hand out every document that is read on the way, as the bytes that it is."""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import BinaryIO

from builder.errors import MalformedDocument, PlatformNotFound, UnsupportedImage
from builder.events import Event, Listener, Notice
from builder.image.choose import attested, can_be_followed
from builder.image.descriptor import Descriptor
from builder.image.digest import Digest
from builder.image.image import Image
from builder.image.manifest import Index, Manifest
from builder.image.media_types import IMAGE_CONFIGS, INDEXES, MANIFESTS
from builder.image.platform import Platform
from builder.image.render import render_document
from builder.sources.documents import read_verified
from builder.sources.resolve import MAX_NESTING, read_document_of, resolve
from builder.sources.source import Source, expect, is_rebuilt, look_for

# Real indexes have some twenty entries; each may cost a request.
_MAX_ENTRIES = 1000

# Takes a document and its verified content.
Keep = Callable[[Descriptor, bytes], None]


@dataclass(frozen=True, slots=True)
class Selection:
    """What was chosen: the document that the reference names, with its content, and images that it leads to."""

    root: Descriptor
    content: bytes
    images: tuple[Image, ...]


def select(
    source: Source, reference: str, platforms: Sequence[Platform] | None, keep: Keep, listen: Listener
) -> Selection:
    """Choose the image for each platform, for this machine's where there is a choice and () is given; None is all.

    `keep` is called with every document and config, for some more than once. What a source put together is written as
    a document. `listen` is told once what was overlooked. Raises what `resolve` raises, and UnsupportedImage for layers
    that nothing vouches for.
    """
    listen = _once(listen)
    named = source.root()
    if isinstance(named, Manifest):
        _refuse_rebuilt(source, named, reference)
    if isinstance(named, Descriptor):
        root, written = named, None
    else:
        written = render_document(named)
        root = Descriptor(named.media_type, Digest.of(written), len(written))
    watched = _Watched(source, root, written, keep)
    content = watched.read(root)
    if platforms is None and root.media_type in INDEXES:
        images = list(_every_image(watched, reference, listen))
        if not images:
            raise PlatformNotFound(reference, "any platform", ())
    else:
        images = [resolve(watched, reference, platform, listen) for platform in platforms or (None,)]
    return Selection(root, content, tuple({image.digest: image for image in images}.values()))


def _once(listen: Listener) -> Listener:
    """Pass nothing on twice: images of one index are read on the same way."""
    heard: set[Event] = set()

    def listen_once(event: Event) -> None:
        if event not in heard:
            heard.add(event)
            listen(event)

    return listen_once


def _refuse_rebuilt(source: Source, manifest: Manifest, reference: str) -> None:
    for number, layer in enumerate(manifest.layers, start=1):
        if is_rebuilt(source, layer):
            reason = (
                "its tar was put together from unpacked files, so it is not the one that the image promises; "
                "build from where it is, or push the image elsewhere first"
            )
            raise UnsupportedImage(f"{reference}: layer {number} of {len(manifest.layers)}", reason)


class _Watched:
    """A source that begins at one document, perhaps written here, and shows each document that it gives out."""

    def __init__(self, source: Source, start: Descriptor, written: bytes | None, keep: Keep) -> None:
        self.start = start
        self._source = source
        self._written = (start.digest, written)
        self._keep = keep

    def root(self) -> Descriptor:
        return self.start

    def open(self, descriptor: Descriptor) -> BinaryIO:
        if descriptor.media_type not in MANIFESTS | INDEXES | IMAGE_CONFIGS:
            return self._source.open(descriptor)
        return io.BytesIO(self.read(descriptor))

    def read(self, descriptor: Descriptor) -> bytes:
        digest, written = self._written
        if descriptor.digest == digest and written is not None:
            data = written
        else:
            data = read_verified(self._source.open(descriptor), descriptor, f"document {descriptor.digest}")
        self._keep(descriptor, data)
        return data

    def look_for(self, blobs: Sequence[Descriptor]) -> None:
        look_for(self._source, blobs)

    def expect(self, layers: Sequence[Descriptor]) -> None:
        expect(self._source, layers)

    def inputs(self) -> list[str]:
        return self._source.inputs()

    def close(self) -> None:
        self._source.close()


def _every_image(watched: _Watched, reference: str, listen: Listener) -> Iterator[Image]:
    seen: set[Digest] = set()
    beside: dict[str, tuple[Descriptor, ...]] = {}
    pending = deque([(watched.start, 0)])
    while pending:
        entry, depth = pending.popleft()
        if entry.digest in seen:
            continue
        seen.add(entry.digest)
        if len(seen) > _MAX_ENTRIES or depth > MAX_NESTING:
            reason = f"more than {_MAX_ENTRIES} entries, or indexes nested more than {MAX_NESTING} deep, are refused"
            raise MalformedDocument(reference, "$.manifests", reason)
        try:
            document = read_document_of(watched, entry, reference, listen)
            if isinstance(document, Index):
                children = [child for child in document.manifests if can_be_followed(child)]
                pending += ((child, depth + 1) for child in children)
                here = {str(child.digest) for child in children}
                # Of all at once: an index may have as many images as attestations, and tens of thousands of both.
                by_image = attested(document.manifests).items()
                beside |= {digest: tuple(entries) for digest, entries in by_image if digest in here}
            else:
                watched.start = entry
                image = resolve(watched, reference, None, listen)
                yield replace(image, attestations=beside.get(str(entry.digest), ()))
        except UnsupportedImage as error:
            # One odd entry should not keep anybody from the others.
            listen(Notice(f"{error}; it is left out"))
