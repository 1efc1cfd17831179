"""From a source to an image: follow indexes to one manifest, read its config, see that its layers are there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import islice

from builder.errors import BlobMissing, BuilderError, MalformedDocument, PlatformNotFound, UnsupportedImage
from builder.events import Listener, Notice, ignore
from builder.image.choose import attestations, can_be_followed, choose, confirm, contradicts, stated
from builder.image.config import parse_config
from builder.image.descriptor import Descriptor
from builder.image.digest import Digest
from builder.image.image import Image, pair
from builder.image.manifest import Index, Manifest, parse_document
from builder.image.media_types import INDEXES
from builder.image.platform import Platform
from builder.sources.documents import open_named, read_verified
from builder.sources.source import Source, look_for, original
from builder.words import without_password

# Real images nest two deep; each step could be a document of megabytes.
MAX_NESTING = 8
# In entries of an index that are looked at for a message; each may cost a request.
_MAX_OFFERED = 20


def resolve(source: Source, reference: str, platform: Platform | None, listen: Listener = ignore) -> Image:
    """Find the image for `platform` in an opened source, and see that its layers are there.

    Raises what `find_image` and `check_layers` raise.
    """
    image = find_image(source, reference, platform, listen)
    check_layers(source, image)
    return image


def check_layers(source: Source, image: Image) -> None:
    """See that every layer's blob is there: a build should not fail in its last layer for what is known at once.

    Raises BlobMissing.
    """
    look_for(source, [layer.descriptor for layer in image.layers])
    for layer in image.layers:
        open_named(source, layer.descriptor, f"{image.reference}: {layer.name}").close()


def find_image(source: Source, reference: str, platform: Platform | None, listen: Listener = ignore) -> Image:
    """Find the image for `platform` in an opened source, by its documents alone; `reference` names it in errors.

    The image is called so, too, but for a password in it: metadata are handed on, and so is what is said of an image.
    Every document is verified against its descriptor. Without a platform it is this machine's, where there is a
    choice; an image without a choice is taken as it is. What was overlooked in the documents is said to `listen`.
    Raises PlatformNotFound, BlobMissing, and what the image's documents are refused for.
    """
    reference = without_password(reference)
    digest, size = None, None
    wanted = platform
    attested: tuple[Descriptor, ...] = ()
    document = source.root()
    siblings: tuple[Descriptor, ...] = ()
    entry: Descriptor | None = None
    for _ in range(MAX_NESTING):
        if isinstance(document, Descriptor):
            digest = original(source, document)
            size = document.size if digest == document.digest else None
            try:
                document = read_document_of(source, document, reference, listen)
            except BlobMissing as error:
                raise BlobMissing(error.what, error.urls, _offer(source, siblings)) from error
        if isinstance(document, Manifest):
            image = _read_image(source, reference, document, digest, wanted, entry, listen)
            return replace(image, manifest_size=size, attestations=attested)
        entry, wanted = _choose(document, wanted, reference)
        attested = attestations(document.manifests, entry)
        siblings = tuple(each for each in document.manifests if each.digest != entry.digest)
        document = entry
    reason = f"indexes are nested more than {MAX_NESTING} deep; name the manifest itself with @DIGEST"
    raise MalformedDocument(reference, "$.manifests", reason)


def _offer(source: Source, entries: Iterable[Descriptor]) -> str:
    """Name the platforms of images that are there: Docker saves an index whole, and of its images those that it has."""
    there: dict[str, None] = {}
    for entry in islice(filter(can_be_followed, entries), _MAX_OFFERED):
        try:
            source.open(entry).close()
        except BlobMissing:
            continue
        except BuilderError:
            break  # as a registry that is busy: what is found out for a message is not worth a second wait
        if entry.platform is not None:
            there[stated(entry.platform)] = None
    return f"; there is the image for --platform {' or '.join(there)}" if there else ""


def _choose(index: Index, wanted: Platform | None, reference: str) -> tuple[Descriptor, Platform | None]:
    """Choose the entry to follow, and give the platform that the choice binds the image to, if any.

    Where none fits, and one that cannot be read may be the one that was meant, that one is refused.
    """
    try:
        return _choose_readable(index, wanted, reference)
    except (PlatformNotFound, UnsupportedImage) as error:
        for entry in index.unreadable:
            offered = entry.platform
            if offered is None or not offered.os or (wanted or Platform.host()).accepts(offered):
                raise entry.error from error
        raise


def _choose_readable(index: Index, wanted: Platform | None, reference: str) -> tuple[Descriptor, Platform | None]:
    if wanted is not None:
        return choose(index.manifests, wanted, reference), wanted
    host = Platform.host()
    try:
        entry = choose(index.manifests, host, reference)
    except PlatformNotFound as error:
        # An index around a single foreign image, as cross-builds with BuildKit make, offers no choice.
        named = {str(entry.platform): entry.platform for entry in index.manifests}
        only = named.get(error.available[0]) if len(error.available) == 1 else None
        if only is None:
            raise
        return choose(index.manifests, only, reference), only
    return entry, host if entry.platform is not None else None


def read_document_of(source: Source, descriptor: Descriptor, reference: str, listen: Listener) -> Manifest | Index:
    """Read, verify and parse a manifest or an index; `reference` names the image in errors and in what is said."""
    kind = "index" if descriptor.media_type in INDEXES else "manifest"
    name = f"{reference}: {kind} {descriptor.digest}"
    data = read_verified(open_named(source, descriptor, name), descriptor, name)
    document = parse_document(data, descriptor.media_type, name)
    say_remarks(document.remarks, name, listen)
    return document


def say_remarks(remarks: Iterable[str], name: str, listen: Listener) -> None:
    """Tell the user what was overlooked in the document `name`."""
    for remark in remarks:
        listen(Notice(f"{name}: {remark}"))


def say_foreign(image: Image, asked: Platform | None, listen: Listener) -> None:
    """Tell the user of an image that is for other machines than this one, unless it was asked for as such."""
    offered, host = image.config.platform, Platform.host()
    if asked is None and contradicts(offered, host):
        reason = f"the image is for {stated(offered)}, and this machine is {host}"
        listen(Notice(f"{image.reference}: {reason}; where that is meant, say so with --platform"))


def _read_image(
    source: Source,
    reference: str,
    manifest: Manifest,
    digest: Digest | None,
    wanted: Platform | None,
    chosen: Descriptor | None,
    listen: Listener,
) -> Image:
    name = f"{reference}: image config {manifest.config.digest}"
    config = parse_config(read_verified(open_named(source, manifest.config, name), manifest.config, name), name)
    say_remarks(config.remarks, name, listen)
    if wanted is not None:
        confirm(config.platform, wanted, reference, chosen)
    return pair(reference, digest, manifest, config)
