"""TLS that has run out of memory is no fault of a network."""

from __future__ import annotations

import ssl

import pytest
from urllib3 import exceptions

from builder.registry.translation import translate
from builder.shortage import Shortage


def test_a_connection_that_lacks_memory_says_so() -> None:
    error = exceptions.SSLError(ssl.SSLError(1, "[SSL] malloc failure (_ssl.c:1006)"))
    with pytest.raises(Shortage, match="no more memory"):
        raise translate(error, "registry.example", proxied=False)
