"""What the exceptions of urllib3 and of TLS mean, in this program's words."""

from __future__ import annotations

import ssl

from urllib3 import exceptions

from builder.errors import SourceUnreadable
from builder.registry.failures import NoTls, Passing
from builder.shortage import shortage


def translate(error: exceptions.HTTPError | OSError | ValueError, host: str, proxied: bool) -> SourceUnreadable:
    """Say in one line what an exception of urllib3 means, without the URL: its query may be a signature.

    Raises Shortage where TLS has run out of memory.
    """
    cause = error.original_error if isinstance(error, exceptions.ProxyError) else error
    through = " through the proxy of the environment" if proxied else ""
    if isinstance(cause, exceptions.NameResolutionError):
        reason = f"the name is not known{through}; check its spelling, the network and the proxy settings"
        return Passing(host, reason, dialling=True)
    if isinstance(cause, exceptions.ConnectTimeoutError) and not isinstance(cause, exceptions.NewConnectionError):
        return Passing(host, f"no connection in time{through}; check the network and the proxy settings", dialling=True)
    if isinstance(cause, exceptions.NewConnectionError):
        system = cause.__cause__ or cause.__context__
        what = getattr(system, "strerror", None) or "no connection"
        advice = (
            "HTTPS_PROXY and NO_PROXY, and that the proxy runs"
            if proxied
            else "host and port, and that the registry runs"
        )
        reason = f"{what.lower()}{through}; check {advice}"
        return Passing(host, reason, dialling=True)
    if isinstance(cause, (exceptions.ReadTimeoutError, TimeoutError)):
        return Passing(host, f"no answer in time{through}; check the network")
    inner = cause.args[0] if isinstance(cause, exceptions.SSLError) and cause.args else cause
    if isinstance(inner, (ssl.SSLError, ssl.CertificateError)):
        if (short := shortage(inner)) is not None:
            raise short
        return _tls_failure(inner, host)
    if isinstance(error, exceptions.ProxyError):
        reason = "the proxy of the environment refuses or fails; check HTTPS_PROXY and NO_PROXY"
        return Passing(host, reason, dialling=True)
    if isinstance(cause, exceptions.ProxySchemeUnknown):
        reason = "a proxy setting of the environment names another proxy than one of http:// or https://, such as SOCKS"
        return SourceUnreadable(host, f"{reason}; set HTTPS_PROXY, or NO_PROXY for this host")
    if isinstance(cause, ValueError):
        reason = "a proxy setting of the environment, or an address that was sent, is no URL"
        return SourceUnreadable(host, f"{reason}; check HTTPS_PROXY")
    return Passing(host, f"the connection broke{through}; check the network")


def _tls_failure(error: ssl.SSLError | ssl.CertificateError, host: str) -> SourceUnreadable:
    if isinstance(error, ssl.SSLCertVerificationError):
        reason = (
            f"its certificate is not trusted ({error.verify_message}); put the authority's certificate into "
            f"/etc/containers/certs.d/{host}/ca.crt or a --cert-dir, or do not check it with --tls-verify=false"
        )
        return SourceUnreadable(host, reason)
    name = str(getattr(error, "reason", None) or "")
    if name in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"):
        reason = "does not speak TLS; check the port, or allow plain HTTP with --tls-verify=false"
        return NoTls(host, reason)
    if "CERTIFICATE_REQUIRED" in name or "HANDSHAKE_FAILURE" in name or "BAD_CERTIFICATE" in name:
        reason = f"wants a client certificate ({name}): put NAME.cert and NAME.key into its certs.d or a --cert-dir"
        return SourceUnreadable(host, reason)
    return Passing(host, f"the TLS connection failed ({name or 'no reason given'}); check the network and the port")
