"""Through which proxy a host is asked, by what the environment says: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY."""

from __future__ import annotations

import ipaddress
from urllib.request import getproxies, proxy_bypass

from builder.registry.address import Address, is_loopback


def proxy_for(address: Address) -> str | None:
    """Name the proxy that the environment has for a place (HTTPS_PROXY and the like); None for none."""
    proxies = getproxies()
    proxy = proxies.get(address.scheme) or proxies.get("all")
    if (
        not proxy
        or is_loopback(address.host)
        or proxy_bypass(f"{address.host}:{address.port}")
        or _is_exempt(address, proxies.get("no", ""))
    ):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _is_exempt(address: Address, no_proxy: str) -> bool:
    """Say whether NO_PROXY has a place as podman and Docker heed it, and Python does not: 10.0.0.0/8, *.example.com."""
    places = address.host, f"{address.host}:{address.port}"
    for entry in map(str.strip, no_proxy.lower().split(",")):
        if entry == "*" or (entry.startswith("*.") and any(place.endswith(entry[1:]) for place in places)):
            return True
        try:
            if "/" in entry and ipaddress.ip_address(address.host) in ipaddress.ip_network(entry, strict=False):
                return True
        except ValueError:
            continue  # a host name, or no network
    return False
