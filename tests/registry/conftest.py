"""What asks over HTTP."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.proxy import Proxy

from builder.registry import RegistryAccess
from builder.registry.http import Http


@pytest.fixture
def http(proxy: Proxy) -> Iterator[Http]:
    """A connection as to the registry behind the proxy."""
    made = Http(RegistryAccess(), proxy.host)
    yield made
    made.close()
