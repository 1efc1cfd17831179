"""Names of images, `[DOMAIN/]PATH[:TAG][@DIGEST]` (OCI distribution-spec, "Pulling manifests").

Docker's reference grammar decides where the specification is silent: what is a domain, what a short name stands for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Self

from builder.errors import InvalidDigest, InvalidReference
from builder.image.digest import Digest
from builder.words import quoted

# In characters, of domain and path together, and of a tag.
_MAX_REPOSITORY = 255
_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_DOMAIN = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9A-Fa-f:]+\])(?::[0-9]{{1,5}})?")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_HEX_ID = re.compile(r"[0-9a-f]{64}")

DOCKER_HUB = "docker.io"


@dataclass(frozen=True, slots=True, order=True)
class ImageName:
    """An image's name, taken apart; `domain` is None in a short name, `tag` and `digest` where none is given.

    `domain` is a host with an optional port, `path` the repository there.
    """

    domain: str | None
    path: str
    tag: str | None = None
    digest: Digest | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Take a name apart; raises InvalidReference, which says what is wrong with it."""
        rest, at, encoded = text.partition("@")
        digest = None
        if at:
            try:
                digest = Digest.parse(encoded)
            except InvalidDigest as error:
                raise InvalidReference(text, error.reason) from error
        repository, colon, tag = rest.rpartition(":")
        if not colon or "/" in tag:
            repository, tag = rest, ""
        elif not _TAG.fullmatch(tag):
            reason = (
                f"{quoted(tag)} is no tag: "
                "up to 128 letters, digits, '_', '.' and '-', beginning with none of the last two"
            )
            raise InvalidReference(text, reason)
        domain, path = _split_domain(repository)
        if domain is not None and not _DOMAIN.fullmatch(domain):
            raise InvalidReference(text, f"{quoted(domain)} is no registry: a host name, and a port after a colon")
        if not _PATH.fullmatch(path):
            reason = f"{quoted(path)} is no repository: lower-case letters and digits, joined by '.', '_', '-' and '/'"
            raise InvalidReference(text, reason)
        if len(repository) > _MAX_REPOSITORY:
            raise InvalidReference(text, f"the repository has {len(repository)} characters, {_MAX_REPOSITORY} at most")
        if domain is None and _HEX_ID.fullmatch(path):
            raise InvalidReference(text, "is an image ID, not a name")
        return cls(domain, path, tag or None, digest)

    def qualified(self) -> Self:
        """Write a short name in full, as Docker does: `busybox` is in `docker.io/library`. The tag stays as it is."""
        domain = DOCKER_HUB if self.domain in (None, "index.docker.io") else self.domain
        path = f"library/{self.path}" if domain == DOCKER_HUB and "/" not in self.path else self.path
        return replace(self, domain=domain, path=path)

    @property
    def repository(self) -> str:
        """The name without tag and digest."""
        return self.path if self.domain is None else f"{self.domain}/{self.path}"

    def __str__(self) -> str:
        tag = "" if self.tag is None else f":{self.tag}"
        digest = "" if self.digest is None else f"@{self.digest}"
        return f"{self.repository}{tag}{digest}"


def normalise(name: str) -> str:
    """Write a name in full, as Docker does: `busybox` is `docker.io/library/busybox:latest`; other texts stay."""
    try:
        full = ImageName.parse(name).qualified()
    except InvalidReference:
        return name
    return str(full if full.tag or full.digest else replace(full, tag="latest"))


def same_name(name: str | None, other: str) -> bool:
    """Say whether two names mean the same image; a name that is missing is nobody's."""
    return name is not None and normalise(name) == normalise(other)


def _split_domain(repository: str) -> tuple[str | None, str]:
    """Split off the first component if it is a domain: if it could not be a part of Docker Hub's own names."""
    first, slash, path = repository.partition("/")
    if slash and (any(c in ".:" for c in first) or first == "localhost" or first != first.lower()):
        return first, path
    return None, repository
