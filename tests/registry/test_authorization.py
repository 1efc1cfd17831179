"""Passwords and tokens: who gets them, who does not, and what is said when they are not enough."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from base64 import b64encode
from contextlib import closing
from pathlib import Path

import pytest
from support.images import digest, layout
from support.proxy import Answer, Fault, Proxy
from support.registries import IMAGE, LAYER, PASSWORD, USER, PrivateRegistry, TokenRegistry
from support.registry import skopeo_copy

from builder.cli.main import run
from builder.errors import BuilderError, SourceUnreadable
from builder.registry import RegistryAccess
from builder.registry.failures import AccessDenied
from builder.sources import open_source
from builder.sources.access import Access, Means
from builder.sources.resolve import resolve


def auth_file(path: Path, host: str, user: str, password: str, **more: str) -> Path:
    entry = {"auth": b64encode(f"{user}:{password}".encode()).decode(), **more}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"auths": {host: entry}}))
    return path


def diff_ids(reference: str, tmp_path: Path, registry: RegistryAccess | None = None) -> list[str]:
    access = Access(keep=False, registry=registry or RegistryAccess())
    with closing(open_source(reference, access, Means(tmp_path))) as source:
        image = resolve(source, reference, None)
        for layer in image.layers:
            with source.open(layer.descriptor) as blob:
                assert digest(blob.read()) == str(layer.descriptor.digest)
        return [str(layer.diff_id) for layer in image.layers]


@pytest.fixture
def certificates(private_registry: PrivateRegistry, tmp_path: Path) -> Path:
    place = tmp_path / "certificates"
    place.mkdir()
    (place / "ca.crt").write_bytes(private_registry.authority)
    return place


@pytest.fixture
def private(private_registry: PrivateRegistry, certificates: Path, tmp_path: Path) -> str:
    """An image in the private registry, put there by skopeo."""
    layout(tmp_path / "layout", IMAGE)
    reference = f"docker://{private_registry.host}/private/image:1"
    login = [f"--dest-creds={USER}:{PASSWORD}", f"--dest-cert-dir={certificates}"]
    skopeo_copy(f"oci:{tmp_path}/layout:latest", reference, *login)
    return reference


def test_a_password_over_tls_with_our_own_authority(
    private_registry: PrivateRegistry, private: str, certificates: Path, tmp_path: Path
) -> None:
    authfile = auth_file(tmp_path / "auth.json", private_registry.host, USER, PASSWORD)
    assert diff_ids(private, tmp_path, RegistryAccess(authfile, certificates)) == [digest(LAYER)]


def test_without_tls_verify_no_authority_is_needed(
    private_registry: PrivateRegistry, private: str, tmp_path: Path
) -> None:
    authfile = auth_file(tmp_path / "auth.json", private_registry.host, USER, PASSWORD)
    assert diff_ids(private, tmp_path, RegistryAccess(authfile, tls_verify=False)) == [digest(LAYER)]


def test_an_authority_that_is_not_trusted_is_refused_also_on_loopback(
    private_registry: PrivateRegistry, private: str, tmp_path: Path
) -> None:
    with pytest.raises(SourceUnreadable) as caught:
        diff_ids(private, tmp_path)
    assert caught.value.where == private_registry.host
    assert "its certificate is not trusted" in caught.value.reason
    for advice in (f"/etc/containers/certs.d/{private_registry.host}/ca.crt", "--cert-dir", "--tls-verify=false"):
        assert advice in caught.value.reason


def test_a_certificate_for_another_name_is_refused(
    private_registry: PrivateRegistry, private: str, certificates: Path, tmp_path: Path
) -> None:
    with pytest.raises(SourceUnreadable, match=r"its certificate is not trusted .*127\.0\.0\.1"):
        diff_ids(private.replace("localhost", "127.0.0.1"), tmp_path, RegistryAccess(cert_dir=certificates))


def test_the_users_certs_d_is_found(
    private_registry: PrivateRegistry, private: str, home: Path, tmp_path: Path
) -> None:
    place = home / ".config" / "containers" / "certs.d" / private_registry.host
    place.mkdir(parents=True)
    (place / "ca.crt").write_bytes(private_registry.authority)
    auth_file(home / ".docker" / "config.json", private_registry.host, USER, PASSWORD)
    assert diff_ids(private, tmp_path) == [digest(LAYER)]


@pytest.mark.parametrize("password", [None, "wrong"])
def test_a_password_that_is_missing_or_wrong_says_how_to_log_in(
    private_registry: PrivateRegistry, private: str, certificates: Path, tmp_path: Path, password: str | None
) -> None:
    authfile = auth_file(tmp_path / "auth.json", private_registry.host, USER, password) if password else None
    with pytest.raises(AccessDenied) as caught:
        diff_ids(private, tmp_path, RegistryAccess(authfile, certificates))
    assert caught.value.where == f"{private_registry.host}/private/image"
    assert "podman login, skopeo login or docker login" in caught.value.reason
    assert caught.value.exit_status == 4


def test_what_podman_login_writes_is_what_is_read(
    private_registry: PrivateRegistry, private: str, certificates: Path, home: Path, tmp_path: Path
) -> None:
    if shutil.which("skopeo") is None:
        pytest.skip("NOT RUN: skopeo is not installed")
    subprocess.run(
        [
            "skopeo",
            "login",
            f"--cert-dir={certificates}",
            f"--username={USER}",
            "--password-stdin",
            private_registry.host,
        ],
        input=PASSWORD.encode(),
        env=dict(os.environ),
        check=True,
        capture_output=True,
    )
    assert (home / "run" / "containers" / "auth.json").exists()
    assert diff_ids(private, tmp_path, RegistryAccess(cert_dir=certificates)) == [digest(LAYER)]


def test_a_token_is_fetched_without_a_name_for_what_is_public(tokens: TokenRegistry, tmp_path: Path) -> None:
    assert diff_ids(f"docker://{tokens.registry.host}/public/image", tmp_path) == [digest(LAYER)]
    assert tokens.tokens.asked == [("GET", {"service": ["test registry"], "scope": ["repository:public/image:pull"]})]


def test_a_token_is_fetched_with_the_password_and_used_for_everything(tokens: TokenRegistry, tmp_path: Path) -> None:
    host = tokens.registry.host
    authfile = auth_file(tmp_path / "auth.json", host, tokens.tokens.user, tokens.tokens.password)
    assert diff_ids(f"docker://{host}/secret/image", tmp_path, RegistryAccess(authfile)) == [digest(LAYER)]
    wanted = {"account": ["reader"], "service": ["test registry"], "scope": ["repository:secret/image:pull"]}
    assert tokens.tokens.asked == [("GET", wanted)]


def test_an_identity_token_is_sent_to_the_token_server_alone(tokens: TokenRegistry, tmp_path: Path) -> None:
    host = tokens.registry.host
    identity = {"identitytoken": tokens.tokens.identity_token}
    authfile = auth_file(tmp_path / "auth.json", host, "reader", "", **identity)
    assert diff_ids(f"docker://{host}/secret/image", tmp_path, RegistryAccess(authfile)) == [digest(LAYER)]
    ((method, form),) = tokens.tokens.asked
    assert method == "POST"
    assert form["refresh_token"] == [tokens.tokens.identity_token]
    assert form["scope"] == ["repository:secret/image:pull"]


@pytest.mark.heavy
def test_a_token_that_expires_is_replaced(tokens: TokenRegistry, tmp_path: Path) -> None:
    tokens.tokens.lifetime = 0
    host = tokens.registry.host
    # The registry's own clock allows for a minute, so what it accepts does not expire within a test; ours does at once.
    assert diff_ids(f"docker://{host}/public/image", tmp_path) == [digest(LAYER)]
    assert len(tokens.tokens.asked) > 1


def test_a_token_that_the_registry_no_longer_takes_is_replaced(tokens: TokenRegistry, tmp_path: Path) -> None:
    proxy = Proxy(tokens.registry.host)
    proxy.start()
    try:

        def spoil(headers: dict[str, str]) -> None:
            headers["Authorization"] = "Bearer expired"

        proxy.faults.append(Fault("GET .*blobs", 1, before=spoil))
        assert diff_ids(f"docker://{proxy.host}/public/image", tmp_path) == [digest(LAYER)]
    finally:
        proxy.stop()
    assert len(tokens.tokens.asked) == 2


@pytest.mark.parametrize("password", [None, "wrong"])
def test_what_the_token_does_not_reach_is_denied(tokens: TokenRegistry, tmp_path: Path, password: str | None) -> None:
    host = tokens.registry.host
    authfile = auth_file(tmp_path / "auth.json", host, "reader", password) if password else None
    with pytest.raises(AccessDenied) as caught:
        diff_ids(f"docker://{host}/secret/image", tmp_path, RegistryAccess(authfile))
    assert caught.value.where == f"{host}/secret/image"
    assert "answered 401 Unauthorized" in caught.value.reason
    assert ("the credentials given do not reach it" in caught.value.reason) == (password is not None)
    assert len(tokens.tokens.asked) <= 2


@pytest.fixture
def redirected(tokens: TokenRegistry) -> list[Proxy]:
    """A proxy that sends who wants a blob to another host, on another address; both note what they are sent."""
    first, second = Proxy(tokens.registry.host), Proxy(tokens.filler.host)
    second.start("127.0.0.2")
    first.start()
    return [first, second]


def test_a_token_does_not_follow_a_redirect_to_another_host(
    tokens: TokenRegistry, redirected: list[Proxy], tmp_path: Path
) -> None:
    first, second = redirected
    blob = layout(tmp_path / "layout", IMAGE)[0]
    for wanted in (blob.config, blob.layers[0]):
        place = f"/v2/secret/image/blobs/{wanted}"
        answer = Answer(307, {"Location": f"http://{second.host}{place}?signature=abc"}, b"")
        first.faults.append(Fault(f"GET {place}", answer=answer))
    authfile = auth_file(tmp_path / "auth.json", first.host, tokens.tokens.user, tokens.tokens.password)
    try:
        reference = f"docker://{first.host}/secret/image"
        assert diff_ids(reference, tmp_path, RegistryAccess(authfile)) == [digest(LAYER)]
    finally:
        first.stop()
        second.stop()
    assert [each.headers.get("Authorization", "")[:7] for each in first.sent("GET .*blobs")] == ["Bearer "] * 2
    assert len(second.requests) == 2
    assert [sorted(each.headers) for each in second.requests] == [["Accept-Encoding", "Host", "User-Agent"]] * 2


def test_secrets_and_signatures_are_in_no_message(
    tokens: TokenRegistry, redirected: list[Proxy], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    first, second = redirected
    answer = Answer(307, {"Location": f"http://{second.host}/place?signature=secret-signature"}, b"")
    first.faults.append(Fault("GET .*blobs", answer=answer))
    second.faults.append(Fault("place", answer=Answer(200, {"Connection": "close"}, b""), cut=0))
    authfile = auth_file(tmp_path / "auth.json", first.host, tokens.tokens.user, tokens.tokens.password)
    try:
        status = run(
            ["-v", "build", f"docker://{first.host}/secret/image", f"-o{tmp_path}/disk.ext4", "--no-store",
             f"--authfile={authfile}"],
        )  # fmt: skip
    finally:
        first.stop()
        second.stop()
    said = "".join(capfd.readouterr())
    assert status == 1
    assert "the connection broke" in said
    for secret in ("secret-signature", tokens.tokens.password, *tokens.tokens.tokens):
        assert secret not in said
        assert b64encode(f"reader:{secret}".encode()).decode() not in said


@pytest.mark.parametrize(
    ("challenge", "says"),
    [
        ("Negotiate", "in a way that is not known here: negotiate"),
        ('Bearer service="x"', "names no server over https where tokens could be fetched"),
        ('Bearer realm="https://[/"', "names no server over https where tokens could be fetched"),
        ('Bearer realm="ftp://example.com/"', "names no server over https where tokens could be fetched"),
    ],
)
def test_a_challenge_that_cannot_be_met_is_said(proxy: Proxy, tmp_path: Path, challenge: str, says: str) -> None:
    proxy.faults.append(Fault("/v2/", answer=Answer(401, {"WWW-Authenticate": challenge}, b"")))
    with pytest.raises(BuilderError, match=says):
        diff_ids(f"docker://{proxy.host}/image", tmp_path)


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"token": 1}', b'{"token": "a\\nb"}', b"\xff"])
def test_a_token_server_that_sends_no_token_is_said(proxy: Proxy, tmp_path: Path, body: bytes) -> None:
    challenge = f'Bearer realm="http://{proxy.host}/token"'
    proxy.faults.append(Fault("/token", answer=Answer(200, {}, body)))
    proxy.faults.append(Fault("/v2/", answer=Answer(401, {"WWW-Authenticate": challenge}, b"")))
    with pytest.raises(SourceUnreadable, match="the token server's answer holds no token"):
        diff_ids(f"docker://{proxy.host}/image", tmp_path)
    # Once for what /v2/ hints at, once for what the repository asks for.
    assert len(proxy.sent("/token")) == 2
