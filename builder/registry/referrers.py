"""What refers to a manifest (OCI distribution-spec, "Listing Referrers", "Referrers Tag Schema").

Where a registry keeps no account, a tag, made of the manifest's digest, is an index of all that refer to it, which
clients keep themselves. Of two that do so at the same moment one may write over the other's entry. So an index replaces
the one that was read and no other, where the registry heeds such a condition (most do not); and each writer looks again
for its own entry once those who had read before it wrote should have written, too. What is still lost is the entry
before a writer that takes several times as long from its reading to its writing, or longer than two seconds.
"""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import msgspec

from builder.errors import DigestMismatch, MalformedDocument, SourceUnreadable, UnsupportedImage
from builder.events import Notice
from builder.image.descriptor import Descriptor, EntryFields, read_descriptor
from builder.image.digest import Digest
from builder.image.document import MAX_DOCUMENT_SIZE, read_document
from builder.image.media_types import OCI_EMPTY, OCI_INDEX
from builder.image.render import render_descriptor
from builder.registry.address import Address
from builder.registry.failures import AccessDenied, NotThere, Refused
from builder.registry.http import Answer, redirected
from builder.registry.repository import Repository
from builder.registry.upload import UploadRefused, put_manifest

_ATTEMPTS = 8
# How many times as long as it took to read and write; others are as far from the registry, or not much farther.
_PATIENCE = 4
# In seconds.
_LONGEST = 2.0
# Some registries give so many referrers at a time; more of them than that are not looked at.
_MAX_PAGES = 8
# Where a list goes on (RFC 8288).
_NEXT = re.compile(r'<([^<>]{1,4096})>[^<>,]{0,256}?;\s*rel="?next"?')
# How registries answer that do not know the referrers API, besides 404.
_UNKNOWN = frozenset({400, 405, 406, 415, 501})


def referrers(repository: Repository, subject: Digest, artifact_type: str) -> Iterator[Descriptor]:
    """Yield what refers to `subject` and may be of that type, by the registry's account, or by the tag if it has none.

    Nothing of it is verified. What cannot be read is none. Raises SourceUnreadable and AccessDenied.
    """
    some = False
    try:
        for data in _pages(repository, subject, artifact_type):
            entries = _listed(data)
            some = some or bool(entries)
            yield from _of_type(entries, artifact_type)
    except (NotThere, AccessDenied):
        # Harbor, up to version 2.7, denies what it does not know; the manifest itself was given to us.
        pass
    except Refused as error:
        if error.status not in _UNKNOWN:
            raise
    if not some:
        # Also of an empty account: what caches another registry keeps one of its own, and has the tag from there.
        yield from _of_type(_entries(repository, _tag(subject))[0], artifact_type)


def refer(repository: Repository, subject: Digest, *own: Descriptor) -> None:
    """See that the tag for `subject` has an entry for each of `own`.

    What has that tag and is no such index stays, and the user is told; so they are of an entry that is lost each time,
    and where the registry takes none. Raises SourceUnreadable, and AccessDenied where the tag may not be read.
    """
    tag = _tag(subject)
    where = f"{repository.where}:{tag}"
    for left in reversed(range(_ATTEMPTS + 1)):
        began = time.monotonic()
        entries, mark = _entries(repository, tag)
        if entries is None:
            repository.listen(Notice(f"{where}: is no index of what refers to an image; it stays"))
            return
        # A list, for others may have put anything there, also what cannot be in a set.
        there = [each.get("digest") for each in entries if isinstance(each, dict)]
        absent = [render_descriptor(each) for each in own if str(each.digest) not in there]
        if not absent:
            return
        if not left:
            break
        index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [*entries, *absent]}
        try:
            data = json.dumps(index, separators=(",", ":"), allow_nan=False).encode()
        except ValueError:
            # Such as 1e999: JSON has it, and what would be written for it here is none.
            repository.listen(Notice(f"{where}: has a number beyond all that can be written again; it stays"))
            return
        if len(data) > MAX_DOCUMENT_SIZE:
            repository.listen(Notice(f"{where}: lists {len(entries)}, and has no room for more; remove some"))
            return
        try:
            # At last without: what is on the way may have made another mark of it.
            _put(repository, tag, data, mark if left > 1 else None)
        except (UploadRefused, AccessDenied) as error:
            # Such as one whose tags cannot be replaced; the disk has its own.
            repository.listen(Notice(f"{error}; so {tag} does not list this disk"))
            return
        # Not all as long, or those that were in each other's way would be so again.
        repository.stop.wait(min(_PATIENCE * (1 + random.random()) * (time.monotonic() - began), _LONGEST))
    reason = "does not keep what was put there, so it does not list this disk; push it again when nobody else does"
    repository.listen(Notice(f"{where}: {reason}"))


def _pages(repository: Repository, subject: Digest, artifact_type: str) -> Iterator[bytes]:
    place = repository.persist(lambda: repository.address(f"referrers/{subject}"))
    place = place.asking([("artifactType", artifact_type)])
    for _ in range(_MAX_PAGES):
        data, further = repository.persist(partial(_page, repository, place))
        yield data
        following = redirected(place, further) if further else place
        if following == place or following.origin != place.origin:
            return
        place = following


def _page(repository: Repository, place: Address) -> tuple[bytes, str | None]:
    """Fetch a page, and tell where the next one is."""
    answer = repository.ask("GET", place, {"Accept": OCI_INDEX}, follow=False)
    if answer.status < 300:
        return _read(answer)
    answer.discard()
    try:
        return _read(repository.ask("GET", place, {"Accept": OCI_INDEX}))
    except (SourceUnreadable, AccessDenied) as error:
        # GHCR sends us to the web site of GitHub, which turns away who asks often; others to where people log in.
        raise NotThere(str(error)) from error


def _read(answer: Answer) -> tuple[bytes, str | None]:
    try:
        link = _NEXT.search(answer.headers.get("Link", ""))
        return answer.json(MAX_DOCUMENT_SIZE + 1, "a list of referrers"), link and link[1]
    finally:
        answer.close()


def _put(repository: Repository, tag: str, data: bytes, mark: str | None) -> None:
    """Put an index there, if what is there has the `mark` that it was read with; where it has not, that is no error."""
    try:
        put_manifest(repository, tag, data, OCI_INDEX, {"If-Match": mark} if mark else {})
    except UploadRefused as error:
        if mark is None or error.status != 412:
            raise


def _tag(subject: Digest) -> str:
    return f"{subject.algorithm}-{subject.hex[:64]}"


def _entries(repository: Repository, tag: str) -> tuple[list[Any] | None, str | None]:
    """Read the entries that there are, None where something else has the tag; and the mark of this version of them."""
    try:
        found = repository.manifest(tag)
    except NotThere:
        return [], None
    except (MalformedDocument, UnsupportedImage, DigestMismatch):
        return None, None
    except Refused as error:
        if error.status >= 400:
            raise
        # Nothing is no index, either.
        return None, None
    if _tag(found.digest) == tag:
        # GitLab takes that for the digest, and gives what should be referred to, whose own images are no account.
        return None, None
    return _listed(found.data), found.mark


def _listed(data: bytes) -> list[Any] | None:
    try:
        document = read_document(data, "an index of referrers")
    except MalformedDocument:
        return None
    entries = document.get("manifests")
    is_index = document.get("mediaType", OCI_INDEX) == OCI_INDEX and "config" not in document
    return entries if is_index and isinstance(entries, list) else None


def _of_type(entries: list[Any] | None, artifact_type: str) -> Iterator[Descriptor]:
    for entry in entries or ():
        # Registries need not choose, and by a tag nobody does. Some list artifacts by the type of their config: as a
        # registry, go-containerregistry; where it keeps the tag, as in cosign up to version 3, that, too. Or by none.
        if isinstance(entry, dict) and (entry.get("artifactType") or OCI_EMPTY) in (artifact_type, OCI_EMPTY):
            # What JSON may escape, half of a character among it, is not all text.
            with suppress(msgspec.ValidationError, UnicodeEncodeError, MalformedDocument):
                yield read_descriptor(msgspec.convert(entry, EntryFields), "an index of referrers", "$")
