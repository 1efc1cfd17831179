"""Whom to trust, and how to say who we are: certificates for registries (containers-certs.d(5))."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from builder.denied import unless_denied
from builder.errors import SourceUnreadable
from builder.files.home import config_directories
from builder.registry import RegistryAccess

_SYSTEM = (Path("/etc/containers/certs.d"), Path("/etc/docker/certs.d"))


def tls_context(access: RegistryAccess, host: str, own: bool, written: str | None = None) -> ssl.SSLContext:
    """Make the TLS settings for connections to `host` (with a port if not 443), `written` otherwise in references.

    The machine's authorities are trusted, and those of `*.crt` files for the host; `*.cert` files with their `*.key`
    are shown to the registry itself (`own`), not to hosts that it redirects to. Raises SourceUnreadable,
    or MissingRequirement.
    """
    context = ssl.create_default_context()
    # As podman, and as Python before 3.13: few authorities of one's own have all that RFC 5280 wants of them.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if not access.tls_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    for directory in _directories(access, [written or host, host]):
        try:
            for file in sorted(directory.iterdir()):
                _load(context, file, own)
        except (FileNotFoundError, NotADirectoryError) as error:
            if access.cert_dir is not None:
                raise SourceUnreadable(str(directory), "there is no such directory of certificates") from error
        except PermissionError as error:
            unless_denied(error, directory)
    return context


def _directories(access: RegistryAccess, hosts: Sequence[str]) -> Iterator[Path]:
    if access.cert_dir is not None:
        yield access.cert_dir
        return
    # As podman: the first of these directories that is there for this user holds all there is for the host. Its name is
    # the one in the reference, which may have a port of 443, or be that of Docker Hub.
    bases = [*(config / "containers" / "certs.d" for config in config_directories()), *_SYSTEM]
    yield from islice(filter(os.path.isdir, (base / host for host in hosts for base in bases)), 1)


def _load(context: ssl.SSLContext, file: Path, own: bool) -> None:
    try:
        if file.suffix == ".crt":
            context.load_verify_locations(file)
        elif file.suffix == ".cert" and own:
            key = file.with_suffix(".key")
            if not key.exists():
                raise SourceUnreadable(str(file), f"its private key is missing: there is no {key.name} beside it")
            # An empty password: a key that wants one must fail, not ask on the terminal.
            context.load_cert_chain(file, key, password="")
    except ssl.SSLError as error:
        raise SourceUnreadable(str(file), f"is no certificate in PEM form, or not its key's: {error.reason}") from error
    except OSError as error:
        reason = unless_denied(error, file).strerror
        raise SourceUnreadable(str(file), f"cannot be read: {reason}; mend it or move it away") from error
