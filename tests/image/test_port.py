from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.errors import MalformedDocument
from builder.image.port import ExposedPort

numbers = st.integers(min_value=0, max_value=65535)


def parse(text: str) -> ExposedPort:
    return ExposedPort.parse(text, "the config", "$.there")


@pytest.mark.parametrize(
    ("text", "port"),
    [
        ("80", ExposedPort(80, 80, "tcp")),
        ("80/tcp", ExposedPort(80, 80, "tcp")),
        ("53/udp", ExposedPort(53, 53, "udp")),
        ("36412/sctp", ExposedPort(36412, 36412, "sctp")),
        ("8000-8010/udp", ExposedPort(8000, 8010, "udp")),
        ("8000-8010", ExposedPort(8000, 8010, "tcp")),
        ("8000-8000", ExposedPort(8000, 8000, "tcp")),
        ("80/TCP", ExposedPort(80, 80, "tcp")),
        ("0", ExposedPort(0, 0, "tcp")),
        ("65535", ExposedPort(65535, 65535, "tcp")),
        ("00080", ExposedPort(80, 80, "tcp")),
    ],
)
def test_every_legal_form_of_a_port_is_read(text: str, port: ExposedPort) -> None:
    assert parse(text) == port


@given(numbers, numbers, st.sampled_from(["tcp", "udp", "sctp"]))
def test_a_port_is_read_as_it_was_written(one: int, other: int, protocol: str) -> None:
    port = ExposedPort(min(one, other), max(one, other), protocol)
    assert parse(str(port)) == port


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "'' is no port"),
        ("http", "'http' is no port"),
        ("-1", "'-1' is no port"),
        ("80-", "'80-' is no port"),
        ("80/", "'80/' is no port"),
        ("/tcp", "'/tcp' is no port"),
        ("80/icmp", "'80/icmp' is no port"),
        ("80 ", "'80 ' is no port"),
        ("80\n", "'80\\n' is no port"),
        ("8080:80", "'8080:80' is no port"),
        ("٣", "'٣' is no port"),
        ("9" * 10_000, "'999"),
        ("65536", "'65536' is no port: the highest is 65535"),
        ("1-65536/udp", "'1-65536/udp' is no port: the highest is 65535"),
        ("8010-8000", "'8010-8000' is a range that ends before it starts"),
    ],
)
def test_what_is_no_port_is_refused(text: str, reason: str) -> None:
    with pytest.raises(MalformedDocument) as caught:
        parse(text)
    assert (caught.value.document, caught.value.path) == ("the config", "$.there")
    assert caught.value.reason.startswith(reason)
    assert len(caught.value.reason) < 400
