"""Registries for tests: one of each kind a session, a faulty proxy before the plain one, and an odd one; ways there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import bcrypt
import pytest
import trustme
from support import odd
from support.images import Spec
from support.proxy import Proxy
from support.raw import RawRegistry
from support.registry import Registry, start_registry
from support.tars import file, tar
from support.tokens import ISSUER, SERVICE, TokenServer

from builder.registry import retry
from builder.sources.access import Access

USER, PASSWORD = "builder", "pass:word & more"
LAYER = tar(file("file", b"content\n" * 1000))
IMAGE = Spec((LAYER,), platform="linux/s390x")


@dataclass(frozen=True, slots=True)
class PrivateRegistry:
    """A registry over TLS that wants a password; `authority` is the certificate to trust, in PEM form."""

    registry: Registry
    authority: bytes
    ca: trustme.CA

    @property
    def host(self) -> str:
        """By name: the certificate is for that."""
        return self.registry.host.replace("127.0.0.1", "localhost")


@dataclass(frozen=True, slots=True)
class TokenRegistry:
    """A registry that wants bearer tokens, the server that has them, and a way to fill it."""

    registry: Registry
    tokens: TokenServer
    filler: Registry


@pytest.fixture(autouse=True)
def nobody_home(request: pytest.FixtureRequest) -> None:
    """Keep the machine's own credentials, certificates, settings and store out of tests of registries."""
    if {"registry", "private_registry", "token_registry", "proxy", "home"} & set(request.fixturenames):
        request.getfixturevalue("home")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home directory, and an environment that says nothing; waits between attempts are short."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name in ("REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "ROOTFS_BUILDER_STORE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("DOCKER_AUTH_CONFIG", raising=False)
    place = tmp_path / "home"
    (place / "run").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(place))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(place / "run"))
    monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", "/dev/null")
    # None of the machine's 150 authorities, which take longer to read than most of these tests.
    monkeypatch.setenv("SSL_CERT_FILE", str(place / "none.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(place / "none"))
    monkeypatch.setattr(retry, "FIRST_WAIT", 0.01)
    return place


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry that speaks plain HTTP and lets everybody do everything."""
    started = start_registry(tmp_path_factory.mktemp("registry"))
    yield started
    started.stop()


@pytest.fixture
def proxy(registry: Registry) -> Iterator[Proxy]:
    """A proxy in front of the plain registry, without a fault yet."""
    started = Proxy(registry.host)
    started.start()
    yield started
    started.stop()


@pytest.fixture
def raw(home: Path) -> Iterator[RawRegistry]:
    """The image of support/odd.py, on loopback over plain HTTP, whose answers are as odd as a test wants them."""
    made = RawRegistry(odd.IMAGE)
    made.start()
    yield made
    made.stop()


@pytest.fixture(params=["store", "no store"])
def access(request: pytest.FixtureRequest, tmp_path: Path) -> Access:
    return Access(store=str(tmp_path / "store"), keep=request.param == "store")


@pytest.fixture
def heard() -> list[str]:
    return []


@pytest.fixture(scope="session")
def private_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateRegistry]:
    place = tmp_path_factory.mktemp("private")
    ca = trustme.CA()
    identity = ca.issue_cert("localhost")
    identity.private_key_pem.write_to_path(str(place / "key.pem"))
    for position, pem in enumerate(identity.cert_chain_pems):
        pem.write_to_path(str(place / "cert.pem"), append=position > 0)
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    (place / "htpasswd").write_text(f"{USER}:{hashed}\n")
    tls = {"certificate": str(place / "cert.pem"), "key": str(place / "key.pem")}
    auth = {"htpasswd": {"realm": "test", "path": str(place / "htpasswd")}}
    started = start_registry(place, {"tls": tls}, auth)
    yield PrivateRegistry(started, ca.cert_pem.bytes(), ca)
    started.stop()


@pytest.fixture(scope="session")
def token_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TokenRegistry]:
    place = tmp_path_factory.mktemp("tokens")
    tokens = TokenServer(public=frozenset({"public/image"}))
    tokens.start()
    (place / "authority.pem").write_bytes(tokens.authority)
    auth = {
        "token": {
            "realm": f"http://{tokens.host}/token",
            "service": SERVICE,
            "issuer": ISSUER,
            "rootcertbundle": str(place / "authority.pem"),
        }
    }
    # Its own token server would have to let somebody push: another process on the same data lets everybody.
    filler = start_registry(place)
    started = start_registry(place, auth=auth)
    yield TokenRegistry(started, tokens, filler)
    started.stop()
    filler.stop()
    tokens.stop()


@pytest.fixture
def tokens(token_registry: TokenRegistry) -> TokenRegistry:
    """That with IMAGE for anybody, and once more for who has a password; nobody has asked for a token yet."""
    token_registry.filler.push("secret/image", IMAGE)
    token_registry.filler.push("public/image", IMAGE)
    token_registry.tokens.asked.clear()
    token_registry.tokens.lifetime = 300
    return token_registry
