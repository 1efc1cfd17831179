"""Where a request goes, in the bytes of whoever named the place: signatures cover the very spelling of a URL."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import urlencode, urljoin, urlsplit

from builder.words import legible

PORTS = {"http": 80, "https": 443}
# RFC 3986, appendix B: scheme, authority, path, query; a fragment stays with the client.
_REFERENCE = re.compile(r"(?:([^:/?#]+):)?(?://([^/?#]*))?([^?#]*)(\?[^#]*)?(?:#.*)?", re.DOTALL)
# What cannot stand in a request line.
_UNSENDABLE = re.compile(rb"[^!-~]")

Origin = tuple[str, str, int]


@dataclass(frozen=True, slots=True)
class Address:
    """A URL of the web: scheme and host in lower case, no user, and path and query as they were written.

    `target` may be a signature, and is no part of what is printed.
    """

    scheme: str
    host: str
    port: int
    target: str = field(repr=False)

    @classmethod
    def parse(cls, url: str) -> Address:
        """Read an absolute URL; raises ValueError for what is no address of http or https."""
        scheme, authority, path, query = _split(url)
        return cls._make(scheme or "", authority, path, query)

    def follow(self, reference: str) -> Address:
        """Find where a reference from here leads (RFC 3986, 5.2); raises ValueError where it is nowhere."""
        scheme, authority, path, query = _split(reference)
        if scheme is not None or authority is not None:
            return self._make(scheme or self.scheme, authority, path, query)
        own, mark, own_query = self.target.partition("?")
        if not path:
            target = own + (mark + own_query if query is None else query)
        else:
            # The dot keeps a colon in the first segment from being read as a scheme's.
            joined = path if path.startswith("/") else urljoin(f"//x{own}", f"./{path}").removeprefix("//x")
            target = joined + (query or "")
        return Address(self.scheme, self.host, self.port, _sendable(target))

    def asking(self, pairs: Iterable[tuple[str, str]]) -> Address:
        """Add parameters to the query."""
        joint = "&" if "?" in self.target else "?"
        query = urlencode(list(pairs), errors="surrogateescape")
        return Address(self.scheme, self.host, self.port, f"{self.target}{joint}{query}")

    @property
    def origin(self) -> Origin:
        """Give what decides who may see a secret (RFC 6454)."""
        return self.scheme, self.host, self.port

    @property
    def authority(self) -> str:
        """Give host and port as they stand in a URL: the scheme's own port does not."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def place(self) -> str:
        """Name host and port for a message."""
        return legible(self.authority)

    @classmethod
    def _make(cls, scheme: str, authority: str | None, path: str, query: str | None) -> Address:
        scheme = scheme.lower()
        if scheme not in PORTS:
            raise ValueError("neither http nor https")
        parts = urlsplit(f"//{authority or ''}")
        host, port = parts.hostname, parts.port
        if not host or not host.isprintable() or " " in host or port == 0:
            raise ValueError("no host, or no port")
        return cls(scheme, host, port or PORTS[scheme], _sendable((path or "/") + (query or "")))


def is_loopback(host: str) -> bool:
    """Say whether a host name or address (no port) is this machine's own: nothing sent there leaves it."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _split(url: str) -> tuple[str | None, str | None, str, str | None]:
    match = _REFERENCE.fullmatch(url.strip())
    assert match is not None  # every string is a reference
    return match[1], match[2], match[3], match[4]


def _sendable(target: str) -> str:
    """Escape what would break the request line; headers are read as Latin-1, so these are the bytes that came."""
    data = target.encode("latin-1" if all(ord(each) < 256 for each in target) else "utf-8", "replace")
    return _UNSENDABLE.sub(lambda match: b"%%%02X" % match[0][0], data).decode("ascii")
