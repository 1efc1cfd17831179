"""TLS of registries: certificates of both sides, and what speaks none."""

from __future__ import annotations

import json
import socket
import ssl
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Thread

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from support.asking import get
from support.proxy import Proxy

from builder.errors import SourceUnreadable
from builder.events import ignore
from builder.registry import RegistryAccess
from builder.registry.certificates import tls_context
from builder.registry.failures import NoTls
from builder.registry.http import Http
from builder.registry.repository import Repository
from builder.sources import open_source
from builder.sources.access import Access, Means


@pytest.fixture(autouse=True)
def _home(home: Path) -> None:
    pass


class TlsServer:
    """Answers each connection with one fixed text over TLS; says whether the client showed a certificate."""

    def __init__(self, context: ssl.SSLContext, answer: bytes) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._context = context
        self._answer = answer
        self.shown: list[bool] = []
        self.host = f"localhost:{self._listening.getsockname()[1]}"
        self._thread = Thread(target=self._serve, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            try:
                with self._context.wrap_socket(connection, server_side=True) as tls:
                    tls.recv(65536)
                    self.shown.append(bool(tls.getpeercert()))
                    tls.sendall(self._answer)
            except OSError:
                connection.close()


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


def server_context(ca: trustme.CA, clients: int = ssl.CERT_NONE) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("localhost").configure_cert(context)
    ca.configure_trust(context)
    context.verify_mode = ssl.VerifyMode(clients)
    return context


def client_files(place: Path, ca: trustme.CA) -> Path:
    place.mkdir(parents=True)
    (place / "ca.crt").write_bytes(ca.cert_pem.bytes())
    identity = ca.issue_cert("client@example.com")
    (place / "client.cert").write_bytes(identity.cert_chain_pems[0].bytes())
    (place / "client.key").write_bytes(identity.private_key_pem.bytes())
    return place


def test_no_password_is_sent_to_a_token_server_without_tls(tmp_path: Path) -> None:
    """The registry has TLS, and so has something to lose."""
    ca = trustme.CA()
    answer = OK.replace(b"200 OK", b'401 Unauthorized\r\nWWW-Authenticate: Bearer realm="http://tokens.invalid/"')
    server = TlsServer(server_context(ca), answer)
    registry = RegistryAccess(cert_dir=client_files(tmp_path / "certs", ca), authfile=tmp_path / "auth.json")
    (tmp_path / "auth.json").write_text(json.dumps({"auths": {server.host: {"auth": "dTpw"}}}))
    try:
        with closing(open_source(f"docker://{server.host}/a", Access(registry=registry), Means(tmp_path))) as source:
            with pytest.raises(SourceUnreadable, match="names no server over https where tokens could be fetched"):
                source.root()
    finally:
        server.stop()


def test_https_is_not_left_for_http(tmp_path: Path) -> None:
    ca = trustme.CA()
    answer = OK.replace(b"200 OK", b"307 Temporary Redirect\r\nLocation: http://localhost:1/")
    server = TlsServer(server_context(ca), answer)
    http = Http(RegistryAccess(cert_dir=client_files(tmp_path / "certs", ca)), server.host)
    try:
        with pytest.raises(SourceUnreadable, match="redirects to plain HTTP at localhost:1, which is refused"):
            get(http, f"https://{server.host}/")
    finally:
        http.close()
        server.stop()


def test_a_client_certificate_is_shown_to_the_registry_and_to_nobody_else(tmp_path: Path) -> None:
    ca = trustme.CA()
    server = TlsServer(server_context(ca, ssl.CERT_OPTIONAL), OK)
    access = RegistryAccess(cert_dir=client_files(tmp_path / "certs", ca))
    own, other = Http(access, server.host), Http(access, "registry.example")
    try:
        assert [get(own, f"https://{server.host}/"), get(other, f"https://{server.host}/")] == [200, 200]
        assert server.shown == [True, False]
    finally:
        own.close()
        other.close()
        server.stop()


def test_a_client_certificate_that_is_wanted_and_missing_is_said(tmp_path: Path) -> None:
    ca = trustme.CA()
    context = server_context(ca, ssl.CERT_REQUIRED)
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # in 1.3 the refusal comes after the handshake, or never
    server = TlsServer(context, OK)
    place = client_files(tmp_path / "certs", ca)
    (place / "client.cert").unlink()
    http = Http(RegistryAccess(cert_dir=place), server.host)
    try:
        with pytest.raises(SourceUnreadable, match=r"wants a client certificate .* --cert-dir"):
            get(http, f"https://{server.host}/")
    finally:
        http.close()
        server.stop()


def test_what_speaks_no_tls_is_said(proxy: Proxy, http: Http) -> None:
    with pytest.raises(NoTls, match="does not speak TLS; check the port, or allow plain HTTP with --tls-verify=false"):
        get(http, f"https://{proxy.host}/v2/")


@pytest.mark.parametrize(
    ("names", "says"),
    [
        ({"ca.crt": b"no certificate"}, "is no certificate in PEM form"),
        ({"client.cert": b""}, "its private key is missing: there is no client.key beside it"),
        ({"client.cert": b"x", "client.key": b"x"}, "is no certificate in PEM form, or not its key's"),
        (None, "there is no such directory of certificates"),
    ],
)
def test_certificates_that_cannot_be_used_are_named(tmp_path: Path, names: dict[str, bytes] | None, says: str) -> None:
    if names is not None:
        for name, content in names.items():
            (tmp_path / "certs").mkdir(exist_ok=True)
            (tmp_path / "certs" / name).write_bytes(content)
    http = Http(RegistryAccess(cert_dir=tmp_path / "certs"), "localhost:1")
    with pytest.raises(SourceUnreadable, match=says) as caught:
        get(http, "https://localhost:1/")
    assert caught.value.where.startswith(str(tmp_path / "certs"))


def test_a_certificate_that_is_no_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.crt").symlink_to("nowhere")
    http = Http(RegistryAccess(cert_dir=tmp_path), "localhost:1")
    with pytest.raises(SourceUnreadable, match=r"a\.crt: cannot be read: No such file or directory"):
        get(http, "https://localhost:1/")
    (tmp_path / "a.crt").unlink()
    (tmp_path / "a.crt").mkdir()
    with pytest.raises(SourceUnreadable, match=r"a\.crt: cannot be read: "):
        get(http, "https://localhost:1/")


@pytest.mark.parametrize("host", ["docker.io", "registry.invalid:443", "registry.invalid:5000"])
def test_certificates_are_where_the_registry_is_called_as_in_the_reference(host: str, home: Path) -> None:
    place = home / ".config/containers/certs.d" / host
    place.mkdir(parents=True)
    (place / "client.cert").touch()
    repository = Repository(host, "library/a", RegistryAccess(), Event(), ignore)
    with (
        closing(repository),
        pytest.raises(SourceUnreadable, match=f"^{place}/client.cert: its private key is missing"),
    ):
        repository.manifest("latest")


def plain_authority(place: Path) -> ssl.SSLContext:
    """Make an authority as `openssl req -x509` does, into ca.crt, and a server that it vouches for."""
    now, day = datetime.now(UTC), timedelta(days=1)
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in ("authority", "localhost")]
    says = [x509.BasicConstraints(ca=True, path_length=None), x509.SubjectAlternativeName([x509.DNSName("localhost")])]
    pems = []
    for key, name, extension in zip(keys, names, says, strict=True):
        made = x509.CertificateBuilder(
            names[0], name, key.public_key(), x509.random_serial_number(), now - day, now + day
        )
        signed = made.add_extension(extension, critical=False).sign(keys[0], hashes.SHA256())
        pems.append(signed.public_bytes(Encoding.PEM))
    (place / "ca.crt").write_bytes(pems[0])
    private = keys[1].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (place / "server.pem").write_bytes(pems[1] + private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(place / "server.pem")
    return context


def test_an_authority_of_ones_own_may_be_as_plain_as_for_podman(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def strict() -> ssl.SSLContext:
        context = default()
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        return context

    # As Python 3.13 makes them.
    default = ssl.create_default_context
    monkeypatch.setattr(ssl, "create_default_context", strict)
    server = TlsServer(plain_authority(tmp_path), OK)
    with closing(Http(RegistryAccess(cert_dir=tmp_path), server.host)) as http:
        try:
            assert get(http, f"https://{server.host}/") == 200
        finally:
            server.stop()


def test_a_home_that_cannot_be_got_at_has_no_certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    # As the home of another user, which sudo may leave: looking there fails, but not because nothing is there.
    monkeypatch.setenv("HOME", "/" + "x" * 300)
    assert tls_context(RegistryAccess(), "registry.example", True).verify_mode == ssl.CERT_REQUIRED
