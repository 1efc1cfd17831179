"""Which registry a name means, and what is said where it leads to none."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.proxy import Proxy
from support.registry import Registry
from support.remote import BLOBS, IMAGE, NAME, listen_to, read_image

from builder.errors import (
    InvalidReference,
    SourceUnreadable,
    StoreDenied,
    StoreError,
)
from builder.registry import RegistryAccess
from builder.sources import open_source
from builder.sources.access import Access, Means


@pytest.fixture(scope="module", autouse=True)
def _image(registry: Registry) -> None:
    registry.push(NAME, IMAGE)


def test_nothing_behind_the_port_is_said_at_once(registry: Registry, access: Access, heard: list[str]) -> None:
    from support.registry import free_port

    host = f"127.0.0.1:{free_port()}"
    with pytest.raises(SourceUnreadable) as caught:
        read_image(f"docker://{host}/faults", access, Means(listen=listen_to(heard)))
    assert str(caught.value) == f"{host}: connection refused; check host and port, and that the registry runs"
    assert heard == []


def test_a_name_that_nobody_knows_is_said_at_once(home: Path, access: Access) -> None:
    with pytest.raises(SourceUnreadable) as caught:
        read_image("docker://registry.invalid/faults", access)
    reason = "the name is not known; check its spelling, the network and the proxy settings"
    assert str(caught.value) == f"registry.invalid: {reason}"


def test_a_short_name_is_docker_hubs(proxy: Proxy, access: Access, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", f"http://{proxy.host}")
    with pytest.raises(SourceUnreadable) as caught:
        read_image("docker://alpine", access)
    assert [(each.method, each.path) for each in proxy.requests] == [("CONNECT", "registry-1.docker.io:443")]
    assert caught.value.where == "registry-1.docker.io"
    assert "the proxy of the environment refuses or fails" in caught.value.reason


def test_plain_http_to_other_machines_is_for_those_who_ask_for_it(
    proxy: Proxy, access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A host that is not this machine, reached through a proxy that takes plain HTTP only.
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, f"http://{proxy.host}")
    with pytest.raises(SourceUnreadable):
        read_image("docker://registry.invalid/faults", access)
    assert [each.method for each in proxy.requests] == ["CONNECT"]
    insecure = replace(access, registry=RegistryAccess(tls_verify=False))
    assert read_image("docker://registry.invalid/faults", insecure) == BLOBS


def test_mirrors_are_asked_first_and_one_that_fails_is_passed_over(
    proxy: Proxy, access: Access, heard: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conf = tmp_path / "registries.conf"
    conf.write_text(f"""
        [[registry]]
        location = "registry.invalid"
        [[registry.mirror]]
        location = "{proxy.host}/nowhere"
        [[registry.mirror]]
        location = "{proxy.host}"
    """)
    monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(conf))
    assert read_image("docker://registry.invalid/faults", access, Means(listen=listen_to(heard))) == BLOBS
    assert len(heard) == 1
    assert heard[0].startswith(f"mirror {proxy.host}/nowhere/faults: ")
    assert heard[0].endswith("; asking the next")


def test_an_ambiguous_short_name_is_refused_before_anything_is_sent(
    home: Path, access: Access, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "registries.conf").write_text('unqualified-search-registries = ["registry.invalid", "docker.io"]\n')
    monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(tmp_path / "registries.conf"))
    with pytest.raises(InvalidReference) as caught:
        read_image("docker://app", access)
    assert caught.value.reason.endswith("write one of docker://docker.io/library/app, docker://registry.invalid/app")


@pytest.fixture
def unwritable(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "unwritable"
    place.mkdir()
    if os.geteuid() == 0:
        (place / "images").write_text("a file where a directory must be")
    else:
        place.chmod(0o500)
    yield place
    place.chmod(0o700)


def test_a_store_that_cannot_be_written_is_one_clear_error(registry: Registry, unwritable: Path) -> None:
    with pytest.raises((StoreError, StoreDenied)) as caught:
        read_image(f"docker://{registry.host}/faults", Access(store=str(unwritable)))
    assert str(caught.value).endswith("or keep nothing with --no-store")


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ("docker:busybox", "write docker://NAME"),
        ("docker://", "is no repository"),
        ("docker://Busybox", "is no repository"),
        ("docker://host:port/app", "is no registry"),
        ("docker://" + 64 * "a", "is an image ID, not a name"),
        ("docker://host/app:", "is no tag"),
        ("docker://host/app@sha256:abc", "hex digits"),
        ("docker://host.example/../app", "is no repository"),
        ("docker://host.example:99999/app", "is no registry"),
        ("docker://host.example:0/app", "is no registry"),
        ("docker://[:::]/app", "is no registry"),
    ],
)
def test_malformed_names_are_refused(home: Path, reference: str, reason: str) -> None:
    with pytest.raises(InvalidReference) as caught:
        open_source(reference, Access())
    assert caught.value.reference == reference
    assert reason in caught.value.reason


def test_a_password_in_a_reference_is_refused_and_not_repeated(home: Path) -> None:
    with pytest.raises(InvalidReference) as caught:
        open_source("docker://me:secret@registry.example/app", Access())
    assert "secret" not in str(caught.value)
    assert "podman login" in str(caught.value)
