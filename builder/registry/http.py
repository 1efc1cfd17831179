"""Requests and answers as registries need them: redirects that take no secret along, and content within bounds."""

from __future__ import annotations

import re
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from http import HTTPStatus

import urllib3
from urllib3 import exceptions

from builder.errors import SourceUnreadable
from builder.registry import RegistryAccess
from builder.registry.address import Address
from builder.registry.connection import Deadline
from builder.registry.failures import Passing
from builder.registry.pool import Body, Connections
from builder.registry.translation import translate
from builder.words import legible

# In seconds: how long to wait for the next byte of content, whatever else comes meanwhile.
SILENCE_TIMEOUT = 60.0
# In seconds, for what is read whole: a manifest or a token, of which a byte could come every minute.
WHOLE_TIMEOUT = 300.0
# In seconds and in bytes: what it may cost to use a connection once more.
SPARE_TIME = 1.0
_SPARE = 1 << 16
_READ_SIZE = 1 << 17
_MAX_ERROR = 1 << 16
_MAX_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# What every request says; compressed on the way, content could not be resumed, nor counted.
_HEADERS = {"User-Agent": "rootfs-builder", "Accept-Encoding": "identity"}
_GZIP = b"\x1f\x8b"
_LENGTH = re.compile(r"[0-9]{1,19}", re.ASCII)
# What registries call their errors (distribution-spec, "Error Codes"); their other words are not repeated.
_CODE = re.compile(r'"code"\s*:\s*"([A-Z][A-Z_]{1,40})"')


# Gives the Authorization for a host that we were redirected to, by its challenges; None where there is none.
Stranger = Callable[[Address, Sequence[str]], str | None]


class Answer:
    """What came back: `status` and `headers`, and the content, for one thread to read; another may stop it."""

    def __init__(self, response: urllib3.BaseHTTPResponse, deadline: Deadline, place: str, proxied: bool) -> None:
        self.status = response.status
        self.headers = response.headers
        self.place = place
        self._response = response
        self._deadline = deadline
        self._proxied = proxied

    def read(self, within: float | None = None) -> bytes:
        """Read what comes next, nothing at the end; raises Passing when there is none in time, `within` seconds."""
        self._deadline.begin(SILENCE_TIMEOUT if within is None else within)
        try:
            # Never read(): http.client would take a chunk whose size is given as -1 into memory whole.
            chunk = self._response.read1(_READ_SIZE)
        except (exceptions.HTTPError, OSError) as error:
            raise translate(error, self.place, self._proxied) from error
        if not chunk:
            self._response.release_conn()
        return chunk

    def whole(self, limit: int, within: float | None = None) -> bytes:
        """Read the content, or `limit` bytes of it, unpacked if it is packed although that was not asked for.

        Raises Passing when it is not there `within` seconds, and SourceUnreadable when it cannot be unpacked.
        """
        end = time.monotonic() + (WHOLE_TIMEOUT if within is None else within)
        chunks: list[bytes] = []
        left = limit
        while left > 0 and (chunk := self.read(min(SILENCE_TIMEOUT, end - time.monotonic()))):
            chunks.append(chunk)
            left -= len(chunk)
        data = b"".join(chunks)[:limit]
        return self._unpack(data, limit) if data.startswith(_GZIP) else data

    def json(self, limit: int, what: str) -> bytes:
        """Read a document whole, as above; raises SourceUnreadable, too, for a page of HTML in place of `what`."""
        data = self.whole(limit)
        start = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
        if start == b"<":
            self.close()
            raise self.page(what)
        encoding = self.headers.get("Content-Encoding", "identity")
        if start not in (b"{", b"[", b"") and encoding.lower() not in ("identity", "gzip", "x-gzip"):
            self.close()
            reason = f"sent {what} packed as {legible(encoding, 40)}, which it was not asked to"
            raise SourceUnreadable(self.place, reason)
        return data

    def page(self, what: str) -> SourceUnreadable:
        """Make the error for a page of HTML in place of `what`."""
        reason = f"sent a page of HTML with status {self.status} where {what} should be"
        return SourceUnreadable(self.place, f"{reason}; check the address, and whether the network wants a log-in")

    @property
    def length(self) -> int | None:
        """Give how many bytes the content is said to have; None where that is not said, or is no number."""
        length = self.headers.get("Content-Length", "")
        return int(length) if _LENGTH.fullmatch(length) else None

    @property
    def is_page(self) -> bool:
        """Say whether the content calls itself a page for people."""
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower() == "text/html"

    def explain(self) -> str:
        """Say what was answered, status and code; the content is read for that as far as it comes in time."""
        body = b""
        with suppress(SourceUnreadable):
            body = self.whole(_MAX_ERROR, SPARE_TIME * 5)
        self.discard()
        code = _CODE.search(body.decode("ascii", "replace"))
        known = {each.value: f" {each.phrase}" for each in HTTPStatus}
        return f"answered {self.status}{known.get(self.status, '')}" + (f" ({code[1]})" if code else "")

    def discard(self) -> None:
        """Be done with it: a short rest is read, so that the connection can be used again, a long one is not."""
        with suppress(SourceUnreadable):
            self.whole(_SPARE, SPARE_TIME)
        self.close()

    def stop(self) -> None:
        """End a read of another thread."""
        with suppress(OSError, ValueError, RuntimeError):
            self._response.shutdown()

    def close(self) -> None:
        """Close the connection, if it did not come to the end of the content."""
        self._response.close()

    def _unpack(self, data: bytes, limit: int) -> bytes:
        inflater = zlib.decompressobj(wbits=31)
        try:
            unpacked = inflater.decompress(data, limit)
        except zlib.error as error:
            raise SourceUnreadable(self.place, "sent a document packed with gzip that is damaged") from error
        if not inflater.eof and len(unpacked) < limit:
            raise Passing(self.place, "sent a document packed with gzip that is cut short")
        return unpacked


class Http:
    """Requests of one source; threads may share it. `own` and `written` are as for Connections."""

    def __init__(self, access: RegistryAccess, own: str, written: str | None = None) -> None:
        self._own = own
        self._connections = Connections(access, own, written)

    def request(
        self,
        method: str,
        address: Address,
        headers: Mapping[str, str],
        body: bytes | Body | None = None,
        follow: bool = True,
        within: float | None = None,
        stranger: Stranger = lambda _address, _challenges: None,
    ) -> Answer:
        """Send a request and return the answer, its content unread; the caller reads or closes it.

        Redirects of GET are followed if `follow`: never from https to http, and without Authorization once the origin
        changes; `stranger` gives one for a host there that wants some. An answer has to begin `within` seconds, by
        default HEAD_TIMEOUT. Raises SourceUnreadable, as Passing or NoTls where that is what it is, and what reading
        `body`, or `stranger`, raises.
        """
        headers = {**_HEADERS, **headers}
        start = address.origin
        for _ in range(_MAX_REDIRECTS):
            response, deadline, proxied = self._connections.send(method, address, headers, body, within)
            answer = Answer(response, deadline, address.place, proxied)
            location = answer.headers.get("Location")
            if not (follow and method == "GET" and answer.status in _REDIRECTS and location):
                if answer.status not in (401, 403) or address.origin == start:
                    return answer
                headers["Authorization"] = self._introduced(address, answer, headers, stranger)
                continue
            answer.discard()
            here, address = address.origin, redirected(address, location)
            if address.origin != here:
                headers.pop("Authorization", None)
        raise SourceUnreadable(self._own, f"redirects more than {_MAX_REDIRECTS} times; the registry is set up wrongly")

    def close(self) -> None:
        """Close the connections that are not in use."""
        self._connections.close()

    def _introduced(self, address: Address, answer: Answer, sent: Mapping[str, str], stranger: Stranger) -> str:
        """Find out what to send to who refuses us, where we were redirected to. Raises SourceUnreadable."""
        challenges = answer.headers.getlist("WWW-Authenticate")
        answer.discard()
        authorization = None if "Authorization" in sent else stranger(address, challenges)
        if authorization is None:
            reason = f"answered {answer.status} where {self._own} redirects to"
            advice = "name the image there, if that is a registry, or check the network and its proxy"
            raise SourceUnreadable(address.place, f"{reason}; {advice}")
        return authorization


def redirected(address: Address, location: str) -> Address:
    """Find where a redirect leads; raises SourceUnreadable where it must not be followed."""
    try:
        following = address.follow(location)
    except ValueError:
        reason = "redirects to what is no web address; the registry is set up wrongly"
        raise SourceUnreadable(address.place, reason) from None
    if following.scheme == "http" and address.scheme == "https":
        reason = f"redirects to plain HTTP at {following.place}, which is refused; the registry is set up wrongly"
        raise SourceUnreadable(address.place, reason)
    return following
