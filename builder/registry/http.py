"""HTTP as registries need it: proxies, trust by host, redirects that take no secret along, words for failures.

urllib3 is told to do none of it by itself: no retries, no redirects, no decoding of content.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from threading import Lock
from urllib.parse import SplitResult, unquote, urljoin, urlsplit, urlunsplit
from urllib.request import getproxies, proxy_bypass

import urllib3
from urllib3 import exceptions

from builder.errors import SourceUnreadable
from builder.registry import RegistryAccess
from builder.registry.certificates import tls_context
from builder.registry.failures import translate
from builder.words import legible

# In seconds, for each connection and for each stretch of silence on it; read when a connection is made.
CONNECT_TIMEOUT = 20.0
READ_TIMEOUT = 60.0
# In seconds, for what is read whole: a manifest, a token, an error, a line of which could come every minute.
WHOLE_TIMEOUT = 300.0
_MAX_REDIRECTS = 5
_READ_SIZE = 1 << 16
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PORTS = {"http": 80, "https": 443}
# What every request says; compressed on the way, content could not be resumed, nor counted.
_HEADERS = {"User-Agent": "rootfs-builder", "Accept-Encoding": "identity"}

Origin = tuple[str, str, int]


class Http:
    """Connections of one source; threads may share them. `own` is the registry's host, with its port if it has one."""

    def __init__(self, access: RegistryAccess, own: str) -> None:
        self._access = access
        self._own = own
        self._pools: dict[Origin, tuple[urllib3.PoolManager, bool]] = {}
        self._lock = Lock()
        if not access.tls_verify:
            # The user has said so; once is enough.
            urllib3.disable_warnings(exceptions.InsecureRequestWarning)

    def request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None, follow: bool = True
    ) -> urllib3.BaseHTTPResponse:
        """Send a request and return the answer, its content unread; the caller reads or closes it.

        Redirects of GET are followed if `follow`: never from https to http, and without Authorization once the origin
        changes. Raises SourceUnreadable, as Passing or NoTls where that is what it is.
        """
        headers = {**_HEADERS, **headers}
        start = origin(url)
        for _ in range(_MAX_REDIRECTS):
            response = self._send(method, url, headers, body)
            target = response.headers.get("Location")
            if not (follow and method == "GET" and response.status in _REDIRECTS and target):
                if response.status in (401, 403) and origin(url) != start:
                    discard(response)
                    where = display(urlsplit(url))
                    reason = (
                        f"answered {response.status} where {self._own} redirects to; check the network and its proxy"
                    )
                    raise SourceUnreadable(where, reason)
                return response
            discard(response)
            following = redirect_target(url, target)
            if origin(following) != start:
                headers.pop("Authorization", None)
            url = following
        raise SourceUnreadable(self._own, f"redirects more than {_MAX_REDIRECTS} times; the registry is set up wrongly")

    def close(self) -> None:
        """Close the connections that are not in use."""
        with self._lock:
            for manager, _ in self._pools.values():
                # Not clear() alone, which leaves open connections to the garbage collector.
                for key in list(manager.pools.keys()):
                    manager.pools[key].close()
                manager.clear()
            self._pools.clear()

    def _send(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> urllib3.BaseHTTPResponse:
        host = display(urlsplit(url))
        try:
            pool, proxied = self._pool(origin(url))
        except (exceptions.HTTPError, ValueError) as error:
            # Without the cause, whose words may be the proxy's URL with a password in it.
            raise translate(error, host, proxied=True) from None
        try:
            return pool.request(
                method,
                url,
                headers=dict(headers),
                body=body,
                redirect=False,
                retries=False,
                preload_content=False,
                decode_content=False,
                timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT, read=READ_TIMEOUT),
            )
        except exceptions.LocationParseError as error:
            # Without the cause: its words are the URL.
            raise translate(error, host, proxied) from None
        except (exceptions.HTTPError, OSError) as error:
            raise translate(error, host, proxied) from error

    def _pool(self, key: Origin) -> tuple[urllib3.PoolManager, bool]:
        scheme, host, port = key
        with self._lock:
            known = self._pools.get(key)
            if known is None:
                named = f"[{host}]" if ":" in host else host
                at = named if port == _PORTS["https"] else f"{named}:{port}"
                own = at == self._own or f"{named}:{port}" == self._own
                context = tls_context(self._access, at, own) if scheme == "https" else None
                proxy = proxy_for(scheme, host, port)
                if proxy is None:
                    known = urllib3.PoolManager(num_pools=1, maxsize=8, ssl_context=context), False
                else:
                    known = _proxied(proxy, context), True
                self._pools[key] = known
            return known


def reading(read: Callable[[], bytes], host: str) -> bytes:
    """Read from an answer; its failures are raised as those of requests are."""
    try:
        return read()
    except (exceptions.HTTPError, OSError) as error:
        raise translate(error, host, proxied=False) from error


def read_up_to(limit: int, response: urllib3.BaseHTTPResponse, host: str) -> bytes:
    """Read an answer to its end, or `limit` bytes of it; raises SourceUnreadable, too, if that takes WHOLE_TIMEOUT."""
    chunks: list[bytes] = []
    end = time.monotonic() + WHOLE_TIMEOUT
    # Never read(): http.client would take a chunk whose size is given as -1 into memory whole, however long it is.
    left = limit
    while left > 0 and (chunk := reading(lambda: response.read1(_READ_SIZE), host)):
        chunks.append(chunk)
        left -= len(chunk)
        if time.monotonic() > end:
            raise SourceUnreadable(host, f"its answer was not there after {WHOLE_TIMEOUT:.0f} s; try again later")
    return b"".join(chunks)[:limit]


def discard(response: urllib3.BaseHTTPResponse) -> None:
    """Be done with an answer: a short rest is read, so that the connection can be used again, a long one is not."""
    with suppress(SourceUnreadable):
        if len(read_up_to(_READ_SIZE, response, "")) < _READ_SIZE:
            response.release_conn()
            return
    response.close()


def origin(url: str) -> Origin:
    """Name scheme, host and port of a URL (RFC 6454), which decide who may see a secret."""
    parts = urlsplit(url)
    try:
        return parts.scheme, (parts.hostname or "").lower(), parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError:
        return parts.scheme, "", 0


def display(parts: SplitResult) -> str:
    """Name a host and its port for a message: not its user, nor a path, nor a query, any of which may be secret."""
    return legible(parts.netloc.rpartition("@")[2])


def is_loopback(host: str) -> bool:
    """Say whether a host name or address (no port) is this machine's own: nothing sent there leaves it."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def redirect_target(url: str, target: str) -> str:
    """Find where a redirect leads; raises SourceUnreadable where that is not to be gone."""
    where = display(urlsplit(url))
    try:
        following = urlsplit(urljoin(url, target))
        port_is_a_number = following.port is None or following.port > 0
    except ValueError:
        raise SourceUnreadable(where, "redirects to what is no URL; the registry is set up wrongly") from None
    if following.scheme not in _PORTS or not following.hostname or not port_is_a_number:
        raise SourceUnreadable(where, "redirects to what is no web address; the registry is set up wrongly")
    if following.scheme == "http" and urlsplit(url).scheme == "https":
        reason = f"redirects to plain HTTP at {display(following)}, which is refused; the registry is set up wrongly"
        raise SourceUnreadable(where, reason)
    # Without a user: nobody here has given one.
    return urlunsplit(following._replace(netloc=following.netloc.rpartition("@")[2], fragment=""))


def proxy_for(scheme: str, host: str, port: int) -> str | None:
    """Name the proxy that the environment has for a place (HTTPS_PROXY and the like); None for none."""
    proxies = getproxies()
    proxy = proxies.get(scheme) or proxies.get("all")
    if not proxy or is_loopback(host) or proxy_bypass(f"{host}:{port}") or _in_networks(host, proxies.get("no", "")):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _in_networks(host: str, no_proxy: str) -> bool:
    """Say whether an address is in one of the networks (10.0.0.0/8) of NO_PROXY: podman and Docker heed them there."""
    for entry in no_proxy.split(","):
        try:
            if "/" in entry and ipaddress.ip_address(host) in ipaddress.ip_network(entry.strip(), strict=False):
                return True
        except ValueError:
            continue  # a host name, or no network
    return False


def _proxied(proxy: str, context: object) -> urllib3.ProxyManager:
    parts = urlsplit(proxy)
    headers = None
    if parts.username is not None:
        user, password = unquote(parts.username), unquote(parts.password or "")
        headers = urllib3.make_headers(proxy_basic_auth=f"{user}:{password}")
    return urllib3.ProxyManager(proxy, num_pools=1, maxsize=8, proxy_headers=headers, ssl_context=context)
