"""Public keys with which images and disks are signed, of the kinds that cosign takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from builder.denied import unless_denied
from builder.errors import MissingRequirement, UsageError
from builder.words import quoted

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

_MAX_KEY = 1 << 16
# In bits. NIST SP 800-57 has had no use for less since 2013.
_LEAST_RSA = 2048
_KINDS = "ECDSA on P-256, P-384 or P-521, RSA of 2048 bits or more, or Ed25519"


@dataclass(frozen=True, slots=True)
class Key:
    """A public key, from the file `path`; `is_by` says whether a signature, the first, is by it, of the second."""

    path: Path
    is_by: Callable[[bytes, bytes], bool]


def read_key(path: Path) -> Key:
    """Read a public key in PEM form; raises UsageError for what is none, MissingRequirement without `cryptography`."""
    try:
        # Here, because nobody else needs it, and it is not always there.
        from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
        from cryptography.hazmat.primitives.serialization import load_pem_public_key
    except ImportError as error:
        raise MissingRequirement(f"{error}: --verify-key needs pip install 'rootfs-builder[verify]'") from error
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_KEY)
    except OSError as error:
        reason = unless_denied(error, path).strerror or error
        raise UsageError(f"--verify-key: {path}: cannot be read: {reason}") from error
    try:
        checks = _checks(load_pem_public_key(data), path)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UsageError(f"--verify-key: {path}: is no public key in PEM form that can be used: {_KINDS}") from error

    def is_by(signature: bytes, data: bytes) -> bool:
        for check in checks:
            try:
                check(signature, data)
            except InvalidSignature:
                continue
            return True
        return False

    return Key(path, is_by)


def _checks(key: PublicKeyTypes, path: Path) -> list[Callable[[bytes, bytes], None]]:
    """Say how cosign signs with a key: PKCS #1 v1.5 with RSA; SHA-256, and in bundles what is as long as the curve."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
    from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512, HashAlgorithm

    if isinstance(key, ec.EllipticCurvePublicKey):
        on_curve, name = key, key.curve.name
        own: dict[str, HashAlgorithm] = {"secp256r1": SHA256(), "secp384r1": SHA384(), "secp521r1": SHA512()}
        if name not in own:
            raise UsageError(f"--verify-key: {path}: is a key on the curve {quoted(name, 50)}; there are {_KINDS}")
        hashes = [ec.ECDSA(SHA256()), ec.ECDSA(own[name])]
        return [partial(lambda by, signature, data: on_curve.verify(signature, data, by), by) for by in hashes]
    if isinstance(key, rsa.RSAPublicKey):
        modulus = key
        if key.key_size < _LEAST_RSA:
            raise UsageError(f"--verify-key: {path}: is an RSA key of {key.key_size} bits; there are {_KINDS}")
        return [lambda signature, data: modulus.verify(signature, data, padding.PKCS1v15(), SHA256())]
    if isinstance(key, ed25519.Ed25519PublicKey):
        return [key.verify]
    raise UsageError(f"--verify-key: {path}: is a key of another kind; there are {_KINDS}")
