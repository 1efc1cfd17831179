"""Choose the entry of an index that is for a platform (OCI image-spec, image-index.md)."""

from __future__ import annotations

from collections.abc import Iterable

from builder.errors import PlatformNotFound, UnsupportedImage
from builder.image.descriptor import Descriptor
from builder.image.media_types import IMAGE_CONFIGS, INDEXES, MANIFESTS
from builder.image.platform import Platform
from builder.words import legible


def choose(descriptors: Iterable[Descriptor], wanted: Platform, name: str = "the index") -> Descriptor:
    """Give the entry to follow for `wanted`: a manifest, or an index to choose from in turn.

    An entry for the very variant comes before one for a lower variant, and the first of equals wins. What needs
    features of an operating system comes behind all that need none: some offer the same image as erofs, or for Nydus,
    too, which no reader of tars can take, and mark it so (erofs-image-spec). If no entry states a fitting platform, the
    one index that states none is followed, or the only entry of all if it states none; hold what is found there against
    `confirm`. Attestations and media types that are neither manifest nor index are passed over; so is what calls itself
    an artifact, unless nothing else fits: its config may be an image's all the same. Raises PlatformNotFound, with
    `name` as its reference, and UnsupportedImage where every entry is of such a media type: BuildKit's caches are
    indexes of layers.
    """
    descriptors = tuple(descriptors)
    if descriptors and not any(entry.media_type in MANIFESTS | INDEXES for entry in descriptors):
        types = ", ".join(legible(kind, 64) for kind in sorted({entry.media_type for entry in descriptors})[:4])
        raise UnsupportedImage(name, f"leads to no image, but to {types}; it may be a build cache: name the image")
    followed = [descriptor for descriptor in descriptors if can_be_followed(descriptor)]
    candidates = [descriptor for descriptor in followed if is_image(descriptor)]
    plain = [descriptor for descriptor in candidates if not descriptor.os_features]
    for group in (plain, candidates, followed):
        ranked = [
            (rank, descriptor)
            for descriptor in group
            if descriptor.platform is not None and (rank := wanted.rank(descriptor.platform)) is not None
        ]
        if ranked:
            return max(ranked, key=lambda pair: pair[0])[1]
    candidates = candidates or followed
    unstated = [entry for entry in candidates if entry.platform is None]
    indexes = [entry for entry in unstated if entry.media_type in INDEXES]
    for group in (indexes, unstated if len(unstated) == len(candidates) else []):
        # Entries that lead to the same are one, and no choice.
        if len({entry.digest for entry in group}) == 1:
            return group[0]
    others = dict.fromkeys(stated(entry.platform) for entry in candidates if entry.platform is not None)
    raise PlatformNotFound(name, str(wanted), list(others))


def confirm(offered: Platform, wanted: Platform, name: str, chosen: Descriptor | None = None) -> None:
    """Hold the platform that an image's config states against the one that was asked for.

    It may have been `chosen` by what an index states of it. Raises PlatformNotFound, with `name` as its reference.
    """
    if not contradicts(offered, wanted):
        return
    hint = ""
    if chosen is not None and chosen.platform is not None:
        hint = f", as its config says; its index says otherwise: name it with @{chosen.digest} to take it as it is"
    raise PlatformNotFound(name, str(wanted), [stated(offered)], hint)


def contradicts(offered: Platform, wanted: Platform) -> bool:
    """Say whether an image's config states a platform that is not the wanted one.

    Configs of many arm images state no variant, and configs of images that hold only data state nothing at all:
    what is not stated contradicts nothing.
    """
    comparable = wanted if offered.variant else Platform(wanted.os, wanted.architecture)
    filled = Platform(offered.os or wanted.os, offered.architecture or wanted.architecture, offered.variant)
    return not comparable.normalised().accepts(filled)


def stated(platform: Platform) -> str:
    """Write a platform for an error message; its words are the image's, so they may be anything."""
    return legible(str(platform), 64)


def is_image(descriptor: Descriptor) -> bool:
    """Say whether an entry of an index leads to an image, or so it seems."""
    return can_be_followed(descriptor) and descriptor.artifact_type in (None, *IMAGE_CONFIGS)


def can_be_followed(descriptor: Descriptor) -> bool:
    """Say whether an entry of an index can lead to an image: BuildKit's attestations, for one, are entries too."""
    if descriptor.media_type not in MANIFESTS | INDEXES:
        return False
    if is_attestation(descriptor):
        return False
    platform = descriptor.platform
    return platform is None or (platform.os, platform.architecture) != ("unknown", "unknown")


def attestations(descriptors: Iterable[Descriptor], of: Descriptor) -> tuple[Descriptor, ...]:
    """Give the entries of an index that hold what is attested of another (BuildKit, "Image attestation storage")."""
    return tuple(attested(descriptors).get(str(of.digest), ()))


def attested(descriptors: Iterable[Descriptor]) -> dict[str, list[Descriptor]]:
    """Give the entries of an index that hold what is attested, by the digest of that of which it is."""
    found: dict[str, list[Descriptor]] = {}
    for entry in descriptors:
        if is_attestation(entry):
            found.setdefault(entry.annotations.get("vnd.docker.reference.digest", ""), []).append(entry)
    return found


def is_attestation(descriptor: Descriptor) -> bool:
    """Say whether an entry of an index holds what is attested of another."""
    return descriptor.annotations.get("vnd.docker.reference.type") == "attestation-manifest"
