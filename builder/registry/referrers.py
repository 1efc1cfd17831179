"""What refers to a manifest (OCI distribution-spec, "Referrers Tag Schema"), where the registry keeps no account of it.

Then a tag, made of the manifest's digest, is an index of all that refer to it, which clients keep themselves. Two that
do so at the same moment may lose one entry: so each looks whether its own is there in the end.
"""

from __future__ import annotations

import json
from typing import Any

from builder.errors import DigestMismatch, MalformedDocument, UnsupportedImage
from builder.events import Notice
from builder.image.descriptor import Descriptor
from builder.image.digest import Digest
from builder.image.document import read_document
from builder.image.media_types import OCI_INDEX
from builder.image.render import render_descriptor
from builder.registry.failures import NotThere
from builder.registry.repository import Repository
from builder.registry.upload import put_manifest

_ATTEMPTS = 4


def refer(repository: Repository, subject: Digest, referrer: Descriptor) -> None:
    """See that the tag for `subject` has an entry for `referrer`.

    What has that tag and is no such index stays, and the user is told; so they are of an entry that is lost each time.
    Raises SourceUnreadable, AccessDenied and UploadRefused.
    """
    tag = f"{subject.algorithm}-{subject.hex[:64]}"
    for left in reversed(range(_ATTEMPTS + 1)):
        entries = _entries(repository, tag)
        if entries is None:
            repository.listen(Notice(f"{repository.where}:{tag}: is no index of what refers to an image; it stays"))
            return
        if any(isinstance(each, dict) and each.get("digest") == str(referrer.digest) for each in entries):
            return
        if not left:
            break
        index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [*entries, render_descriptor(referrer)]}
        put_manifest(repository, tag, json.dumps(index, separators=(",", ":")).encode(), OCI_INDEX)
    reason = "does not keep what was put there, so it does not list this disk; push it again when nobody else does"
    repository.listen(Notice(f"{repository.where}:{tag}: {reason}"))


def _entries(repository: Repository, tag: str) -> list[Any] | None:
    """Read the entries that there are; None where something else has the tag."""
    try:
        document = read_document(repository.manifest(tag).data, tag)
    except NotThere:
        return []
    except (MalformedDocument, UnsupportedImage, DigestMismatch):
        return None
    entries = document.get("manifests")
    return entries if document.get("mediaType") == OCI_INDEX and isinstance(entries, list) else None
