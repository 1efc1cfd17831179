"""Which scheme a registry speaks, https or http, found out once (OCI distribution-spec, "Determining Support")."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from threading import Lock

from builder.errors import SourceUnreadable
from builder.registry.address import Address, is_loopback
from builder.registry.failures import NoTls, Passing
from builder.registry.http import Http
from builder.words import quoted


class Scheme:
    """The scheme of the registry at `host`, which `where` names in errors; threads may share it.

    Plain HTTP will do where it is `insecure`, and on this machine's loopback. `challenged` is told the challenges with
    which the registry answers.
    """

    def __init__(
        self, http: Http, host: str, where: str, insecure: bool, challenged: Callable[[Sequence[str]], None]
    ) -> None:
        self._http = http
        self._host = host
        self._where = where
        self._insecure = insecure
        self._challenged = challenged
        self._base: Address | None = None
        self._lock = Lock()

    @property
    def is_known(self) -> bool:
        """Whether the registry has answered."""
        return self._base is not None

    def base(self) -> Address:
        """Give where repositories are. Raises SourceUnreadable, as Passing or NoTls where that is what it is."""
        with self._lock:
            if self._base is None:
                self._base = self._find()
            return self._base

    def _find(self) -> Address:
        refused: SourceUnreadable | None = None
        try:
            for scheme in self._schemes():
                try:
                    return self._try(self._at(scheme))
                except (NoTls, Passing) as error:
                    # Nothing behind the port for TLS, as behind 443 when plain HTTP is at 80, counts as well.
                    if isinstance(error, Passing) and not error.dialling:
                        raise
                    refused = refused or error
            assert refused is not None
            raise refused
        finally:
            refused = None  # its traceback has this frame, and a socket: together they would wait for the collector

    def _schemes(self) -> Iterator[str]:
        yield "https"
        if self._insecure or is_loopback(self._at("https").host):
            yield "http"

    def _at(self, scheme: str) -> Address:
        try:
            return Address.parse(f"{scheme}://{self._host}/v2/")
        except ValueError as error:
            raise SourceUnreadable(self._where, f"{quoted(self._host)} is no host and port: {error}") from error

    def _try(self, address: Address) -> Address:
        # Whatever it answers, a redirect or 404 too, is no word about a repository.
        answer = self._http.request("GET", address, {}, follow=False)
        answer.discard()
        if answer.status == 401:
            self._challenged(answer.headers.getlist("WWW-Authenticate"))
        return address
