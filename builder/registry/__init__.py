"""An HTTP client for registries: the OCI distribution-spec, pull and push, and what surrounds it on users' machines.

It stands on urllib3 alone. oras-py, httpx and requests bring credentials, redirects, cookies or authorities of their
own, which would have to be switched off again so that no secret goes where it must not.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from builder.form import DIRECTORY, FILE, TRUTH
from builder.option import REGISTRY, option


@dataclass(frozen=True, slots=True)
class RegistryAccess:
    """How to reach registries, in the words of skopeo and podman; what is None is found where they look for it.

    `authfile` holds credentials (containers-auth.json(5)); `cert_dir` holds certificates for every registry
    (containers-certs.d(5)). Without `tls_verify` certificates are not checked and plain HTTP will do. `helpers` are no
    option: they are what registries.conf says is asked for credentials, in its order.
    """

    authfile: Path | None = option(None, FILE, REGISTRY, "Credentials for registries, as podman and docker keep them.")
    cert_dir: Path | None = option(None, DIRECTORY, REGISTRY, "Certificates for registries: *.crt, *.cert with *.key.")
    tls_verify: bool = option(
        True, TRUTH, REGISTRY, "Check the certificates of registries; without, plain HTTP will do as well."
    )
    helpers: tuple[str, ...] = ()
