"""Which repositories a reference to a registry means on this machine, mirrors and relocations heeded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from threading import Event
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from builder.errors import InvalidReference
from builder.events import Listener
from builder.image.name import ImageName
from builder.registry import RegistryAccess
from builder.registry.fetcher import running_fetcher
from builder.registry.origin import Origin
from builder.sources.docker.registries_conf import Location, RegistriesConf, locations, qualify, read_registries_conf
from builder.sources.transport import Reference
from builder.words import quoted

if TYPE_CHECKING:
    from builder.registry.repository import Repository


def open_repositories(
    reference: Reference, access: RegistryAccess, listen: Listener, *, push: bool = False, beside: Sequence[str] = ()
) -> tuple[ImageName, list[Repository]]:
    """Give the full name that is meant, and the repositories to ask for it, of which only the last is no mirror.

    Nothing is sent before one is asked for something. With `push` the last may be written to, and blobs taken from
    those `beside` it. Raises InvalidReference, SourceUnreadable.
    """
    # Here, because who has another process ask should not wait for an HTTP client.
    from builder.registry.repository import Repository

    name, places, conf = _locate(reference, push=push)
    stop = Event()
    opened = []
    for place in places:
        rights = (push, beside) if not place.mirror else (False, ())
        how = _spoken_to(place, access, conf)
        opened.append(Repository(place.host, place.path, how, stop, listen, push=rights[0], beside=rights[1]))
    return name, opened


def open_origins(reference: Reference, access: RegistryAccess, listen: Listener) -> tuple[ImageName, Sequence[Origin]]:
    """Do the same for an image that is to be read, by way of the process that fetches where there is one."""
    if (fetcher := running_fetcher()) is not None:
        name, places, conf = _locate(reference)
        return name, [fetcher.open(each.host, each.path, _spoken_to(each, access, conf), listen) for each in places]
    from builder.registry.direct import DirectOrigin

    name, repositories = open_repositories(reference, access, listen)
    return name, [DirectOrigin(repository) for repository in repositories]


def _locate(reference: Reference, *, push: bool = False) -> tuple[ImageName, list[Location], RegistriesConf]:
    conf = read_registries_conf()
    name = qualify(_parse_name(reference), conf, reference.text)
    if name.digest is None and name.tag is None and not push:
        name = replace(name, tag="latest")
    return name, locations(name, conf), conf


def _spoken_to(place: Location, access: RegistryAccess, conf: RegistriesConf) -> RegistryAccess:
    helpers = tuple(conf.credential_helpers or ())
    return replace(access, tls_verify=access.tls_verify and not place.insecure, helpers=helpers)


def _parse_name(reference: Reference) -> ImageName:
    text = reference.text
    if not reference.place.startswith("//"):
        raise InvalidReference(text, "write docker://NAME, as docker://docker.io/library/busybox:latest")
    place = reference.place[2:]
    if "@" in place.partition("/")[0] and not place.partition("@")[2].startswith(("sha256:", "sha512:")):
        # Not even quoted: it may be a password.
        raise InvalidReference("docker://…", "names of images hold no user and no password; log in with podman login")
    try:
        name = ImageName.parse(place)
        # What looks like an address or a port need not be one.
        port = urlsplit(f"//{name.domain or ''}").port
    except InvalidReference as error:
        raise InvalidReference(text, error.reason) from error
    except ValueError as error:
        raise InvalidReference(text, f"{quoted(place.partition('/')[0])} is no registry: {error}") from error
    if port == 0:
        raise InvalidReference(text, "port 0 is no registry's")
    return name
