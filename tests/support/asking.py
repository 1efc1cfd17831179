"""How tests ask a server for something."""

from __future__ import annotations

from builder.registry.address import Address
from builder.registry.http import Http


def get(http: Http, url: str, **headers: str) -> int:
    """Ask for a document, and tell the status of the answer."""
    answer = http.request("GET", Address.parse(url), headers)
    answer.discard()
    return answer.status
