"""What is asked over HTTP: a registry whose answers are as odd as a test wants them; and what asks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.odd import IMAGE
from support.proxy import Proxy
from support.raw import RawRegistry

from builder.registry import RegistryAccess
from builder.registry.http import Http


@pytest.fixture
def raw(home: object) -> Iterator[RawRegistry]:
    """The image of support/odd.py, on loopback over plain HTTP."""
    made = RawRegistry(IMAGE)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def http(proxy: Proxy) -> Iterator[Http]:
    """A connection as to the registry behind the proxy."""
    made = Http(RegistryAccess(), proxy.host)
    yield made
    made.close()
