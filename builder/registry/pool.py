"""The connections of one source, which threads share: to its hosts, through proxies, over TLS.

urllib3 makes and keeps them. It is told to do nothing by itself: no retries, redirects or decoding.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any
from urllib.parse import unquote, urlsplit

import urllib3
from urllib3 import exceptions

from builder.registry import RegistryAccess
from builder.registry.address import Address, Origin
from builder.registry.certificates import tls_context
from builder.registry.connection import HEAD_TIMEOUT, TARGET, WITHIN, Deadline, ExactConnection, ExactTlsConnection
from builder.registry.proxy import proxy_for
from builder.registry.translation import translate

# In seconds, for each connection.
CONNECT_TIMEOUT = 20.0


@dataclass(frozen=True, slots=True)
class Body:
    """What a request carries that is too long to be held: `chunks` reads its `length` bytes from the first one on.

    An exception that `chunks` raises is an error of this package's own: others would count as the connection's.
    """

    length: int
    chunks: Callable[[], Iterator[bytes]]


class Connections:
    """Connections of one source; threads may share them. `own` is the registry's host, with its port if it has one.

    `written` is what references call it, if that is something else.
    """

    def __init__(self, access: RegistryAccess, own: str, written: str | None = None) -> None:
        self._access = access
        self._own = own
        self._written = written or own
        self._managers: dict[Origin, tuple[urllib3.PoolManager, bool]] = {}
        self._lock = Lock()
        if not access.tls_verify:
            # The user has said so; once is enough.
            urllib3.disable_warnings(exceptions.InsecureRequestWarning)

    def send(
        self,
        method: str,
        address: Address,
        headers: Mapping[str, str],
        body: bytes | Body | None,
        within: float | None = None,
    ) -> tuple[urllib3.BaseHTTPResponse, Deadline, bool]:
        """Send a request; returns the answer, its content unread, the deadline of reading it, and if it is proxied.

        The answer's head has to be there `within` seconds after the request, by default HEAD_TIMEOUT. Raises
        SourceUnreadable, as Passing or NoTls where that is what it is, and what reading `body` raises.
        """
        try:
            manager, proxied = self._manager(address)
        except (exceptions.HTTPError, ValueError) as error:
            # Without the cause, whose words may be the proxy's URL with a password in it.
            raise translate(error, address.place, proxied=True) from None
        # A proxy of plain HTTP wants the whole URL.
        whole = f"http://{address.authority}" if proxied and address.scheme == "http" else ""
        sent = {**headers, TARGET: whole + address.target}
        if within is not None:
            sent[WITHIN] = str(within)
        if isinstance(body, Body):
            sent["Content-Length"] = str(body.length)
        try:
            response = manager.request(
                method,
                f"{address.scheme}://{address.authority}/",
                headers=sent,
                body=body.chunks() if isinstance(body, Body) else body,
                redirect=False,
                retries=False,
                preload_content=False,
                decode_content=False,
                timeout=urllib3.Timeout(connect=min(CONNECT_TIMEOUT, within or CONNECT_TIMEOUT), read=HEAD_TIMEOUT),
            )
        except exceptions.LocationParseError as error:
            # Without the cause: its words are the URL.
            raise translate(error, address.place, proxied) from None
        except (exceptions.HTTPError, OSError) as error:
            raise translate(error, address.place, proxied) from error
        connection = response.connection
        assert isinstance(connection, ExactConnection)
        return response, connection.deadline, proxied

    def close(self) -> None:
        """Close the connections that are not in use."""
        with self._lock:
            for manager, _ in self._managers.values():
                # Not clear() alone, which leaves open connections to the garbage collector.
                for key in list(manager.pools.keys()):
                    manager.pools[key].close()
                manager.clear()
            self._managers.clear()

    def _manager(self, address: Address) -> tuple[urllib3.PoolManager, bool]:
        with self._lock:
            known = self._managers.get(address.origin)
            if known is None:
                context = self._context(address) if address.scheme == "https" else None
                proxy = proxy_for(address)
                manager = _proxied(proxy, context) if proxy else urllib3.PoolManager(**_pools(context))
                manager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}
                known = self._managers[address.origin] = manager, proxy is not None
            return known

    def _context(self, address: Address) -> ssl.SSLContext:
        own = Address.parse(f"https://{self._own}").origin == address.origin
        return tls_context(self._access, address.authority, own, self._written if own else None)


def _proxied(proxy: str, context: object) -> urllib3.ProxyManager:
    parts = urlsplit(proxy)
    headers = None
    if parts.username is not None:
        user, password = unquote(parts.username), unquote(parts.password or "")
        headers = urllib3.make_headers(proxy_basic_auth=f"{user}:{password}")
    return urllib3.ProxyManager(proxy, proxy_headers=headers, **_pools(context))


def _pools(context: object) -> dict[str, Any]:
    return {"num_pools": 1, "maxsize": 8, "ssl_context": context}


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = ExactConnection


class _TlsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = ExactTlsConnection
