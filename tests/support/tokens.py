"""A token server such as registries send their clients to (distribution, "Token Authentication Specification")."""

from __future__ import annotations

import base64
import json
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs, urlsplit

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

ISSUER, SERVICE = "test issuer", "test registry"


@dataclass(slots=True)
class TokenServer:
    """Hands out tokens for every scope to the one user, by password or by identity token; to others, for `public`."""

    user: str = "reader"
    password: str = "pass:word"
    identity_token: str = "identity-0123"
    lifetime: int = 300
    public: frozenset[str] = frozenset()
    host: str = ""
    asked: list[tuple[str, dict[str, list[str]]]] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    _server: ThreadingHTTPServer | None = None
    _identity: trustme.LeafCert | None = None
    _authority: trustme.CA | None = None

    def start(self) -> None:
        owner = self
        self._authority = trustme.CA(key_type=trustme.KeyType.RSA)
        self._identity = self._authority.issue_cert("tokens.test", key_type=trustme.KeyType.RSA)

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                owner._answer(self, parse_qs(urlsplit(self.path).query), None)

            def do_POST(self) -> None:
                form = self.rfile.read(int(self.headers["Content-Length"])).decode()
                owner._answer(self, parse_qs(form), "form")

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.host = f"127.0.0.1:{self._server.server_address[1]}"
        Thread(target=self._server.serve_forever, args=(0.02,), name="tokens", daemon=True).start()

    def stop(self) -> None:
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()

    @property
    def authority(self) -> bytes:
        """The certificate, in PEM form, that the tokens' signatures lead to."""
        assert self._authority is not None
        return self._authority.cert_pem.bytes()

    def _answer(self, handler: BaseHTTPRequestHandler, query: dict[str, list[str]], form: str | None) -> None:
        self.asked.append((handler.command, query))
        scope = query.get("scope", [""])[0]
        if form:
            known = query.get("refresh_token") == [self.identity_token] and query["grant_type"] == ["refresh_token"]
        else:
            wanted = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
            known = handler.headers.get("Authorization") == f"Basic {wanted}"
        if handler.headers.get("Authorization") and not known:
            handler.send_response(401)
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        _, path, actions = scope.split(":")
        allowed = known or path in self.public
        access: list[dict[str, object]] = []
        if allowed:
            access = [{"type": "repository", "name": path, "actions": actions.split(",")}]
        token = self._sign(access)
        self.tokens.append(token)
        key = "access_token" if form else "token"
        body = json.dumps({key: token, "expires_in": self.lifetime}).encode()
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def _sign(self, access: list[dict[str, object]]) -> str:
        """Make a JSON Web Token (RFC 7515, RFC 7519) as docker-registry verifies it: with its certificate inside."""
        assert self._identity is not None
        pem = self._identity.private_key_pem.bytes()
        key = serialization.load_pem_private_key(pem, None)
        assert isinstance(key, RSAPrivateKey)
        chain = [x509.load_pem_x509_certificate(each.bytes()) for each in self._identity.cert_chain_pems]
        der = [base64.b64encode(each.public_bytes(serialization.Encoding.DER)).decode() for each in chain]
        now = int(time.time())
        header = {"typ": "JWT", "alg": "RS256", "x5c": der}
        claims = {
            "iss": ISSUER, "aud": SERVICE, "sub": self.user, "nbf": now - 60, "iat": now - 60,
            "exp": now + self.lifetime, "jti": str(len(self.tokens)), "access": access,
        }  # fmt: skip
        signed = f"{_encode(json.dumps(header).encode())}.{_encode(json.dumps(claims).encode())}"
        return f"{signed}.{_encode(key.sign(signed.encode(), PKCS1v15(), hashes.SHA256()))}"


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
