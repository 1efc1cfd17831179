"""What additions are, found out before anything is built: digests that decide whether a disk is up to date.

All of it is read once here, and once more when a disk is made of it: held against this then.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from builder.additions.addition import AddedTar, Addition, Change, Removal, check_target
from builder.additions.host import AdditionFailed, Found, content, find, open_file
from builder.archive.entry import Entry, Kind
from builder.events import Listener, Stage, ignore
from builder.layers.account import Account
from builder.limits import Limits
from builder.linux import SYMLINK_MODE
from builder.words import quoted

_FILE, _EXECUTABLE, _DIRECTORY = 0o644, 0o755, 0o755
_READ, _READ_TO_ENTER = 0o444, 2


@dataclass(frozen=True, slots=True)
class Surveyed:
    """A change and what was found of it here; `kind`, `mode` and `digest` (in hex) are of the source, if it has one.

    `digest` is the sha256 of a file's content; of a directory or a symlink, that of a listing of all that counts.
    `inputs` are the paths of the files and directories that were read.
    """

    change: Change
    kind: Kind | None = None
    mode: int | None = None
    digest: str = ""
    inputs: tuple[str, ...] = ()

    @property
    def target(self) -> tuple[bytes, ...]:
        """The path in the image, of a source that goes into a directory under its own name with that."""
        change = self.change
        parts = check_target(change.at)
        if isinstance(change, Addition) and self.kind is not Kind.DIRECTORY and change.at.endswith("/"):
            return (*parts, os.fsencode(os.path.basename(os.fspath(change.source))))
        return parts

    def record(self) -> dict[str, Any]:
        """Describe it as plain JSON values: the path as it was said, and what is behind it."""
        change = self.change
        target = "/" + os.fsdecode(b"/".join(self.target))
        if isinstance(change, Removal):
            return {"remove": target}
        source = None if isinstance(change.source, bytes) else change.source
        described = {"target": target, "digest": f"sha256:{self.digest}"}
        if isinstance(change, AddedTar):
            return {"addTar": source, **described}
        owner = change.owner or (None if self.kind is Kind.DIRECTORY else (0, 0))
        settings = {
            "mode": None if self.mode is None else f"{self.mode:04o}",
            "owner": owner and f"{owner[0]}:{owner[1]}",
        }
        return {"add": source, **described, **settings}


class Listing:
    """What of an addition counts, added up as it passes."""

    def __init__(self, addition: Addition) -> None:
        self._addition = addition
        self._rows = hashlib.sha256()
        self._whole: tuple[Kind, int | None, str] | None = None

    def add(self, found: Found, digest: str) -> None:
        """Count what comes next; `digest` is a file's content's, in hex."""
        mode = mode_of(self._addition, found)
        row = (found.path, found.kind.value.encode(), b"%o" % mode, digest.encode() or found.link)
        self._rows.update(b"\0".join(row) + b"\0")
        if not found.path:
            said = mode if found.kind is not Kind.DIRECTORY else self._addition.mode
            self._whole = found.kind, said, digest

    def finish(self, inputs: Iterable[str] = ()) -> Surveyed:
        """Give the result, when all has passed."""
        assert self._whole is not None
        kind, mode, digest = self._whole
        return Surveyed(self._addition, kind, mode, digest or self._rows.hexdigest(), tuple(inputs))


def survey(changes: Sequence[Change], limits: Limits, listen: Listener = ignore) -> tuple[Surveyed, ...]:
    """Read all that is to be added. Raises AdditionFailed, MissingRequirement and LimitExceeded."""
    if any(not isinstance(change, Removal) for change in changes):
        listen(Stage("looking at what is added"))
    account = Account(limits)
    return tuple(_survey(change, account) for change in changes)


def identity_with(identity: bytes, surveyed: Sequence[Surveyed]) -> bytes:
    """Give 32 bytes that stand for the content of an image, of this `identity`, together with these changes.

    Where on this machine the sources are does not count.
    """
    if not surveyed:
        return identity
    records = [{**each.record(), "add": None, "addTar": None} | _kind(each) for each in surveyed]
    return hashlib.sha256(identity + json.dumps(records, sort_keys=True).encode()).digest()


def mode_of(addition: Addition, found: Found) -> int:
    """Give the mode (octal 07777) that something of an addition gets in the image."""
    if found.kind is Kind.SYMLINK:
        return SYMLINK_MODE
    if found.kind is Kind.DIRECTORY:
        said = addition.mode
        return _DIRECTORY if said is None else said | (said & _READ) >> _READ_TO_ENTER
    if addition.mode is not None:
        return addition.mode
    return _EXECUTABLE if found.executable else _FILE


def check_outside(changes: Sequence[Change], written: Iterable[Path]) -> None:
    """Refuse to add a directory that holds what the build writes: it would change each time. Raises AdditionFailed."""
    places = list(written)
    for change in changes:
        if isinstance(change, Removal) or isinstance(change.source, bytes):
            continue
        # A symlink is added as it is, wherever it leads.
        if isinstance(change, Addition) and os.path.islink(change.source):
            continue
        source = Path(os.path.realpath(change.source))
        for path in places:
            if source in (path, *path.parents):
                raise AdditionFailed(str(change), f"{quoted(str(path))} is written there; write it somewhere else")


def _survey(change: Change, account: Account) -> Surveyed:
    if isinstance(change, Removal):
        return Surveyed(change)
    name = str(change)
    if isinstance(change.source, bytes):
        digest = hashlib.sha256(change.source).hexdigest()
        mode = mode_of(change, Found(b"", Kind.FILE)) if isinstance(change, Addition) else None
        return Surveyed(change, Kind.FILE, mode, digest)
    source = os.fspath(change.source)
    if isinstance(change, AddedTar):
        with open_file(source, name) as file:
            account.packed(name, file.size)
            # A tool that has failed leaves such a file.
            if not file.size:
                raise AdditionFailed(name, "it is empty, and even a tar of nothing has an end; make it again")
            return Surveyed(change, Kind.FILE, None, _digest(file, name), (source,))
    listing, inputs = Listing(change), []
    for found in find(source, name):
        # Before it is read: hashing the zeros of a hole takes as long as anything else.
        account.entry(name, Entry(found.path, found.kind, size=found.size))
        listing.add(found, _digest(found, name) if found.kind is Kind.FILE else "")
        # Make would follow a symlink to a file that was not read.
        if found.kind is not Kind.SYMLINK:
            inputs.append(os.path.join(source, os.fsdecode(found.path)) if found.path else source)
    return listing.finish(inputs)


def _digest(found: Found, name: str) -> str:
    hasher = hashlib.sha256()
    for chunk in content(found, name):
        hasher.update(chunk)
    return hasher.hexdigest()


def _kind(surveyed: Surveyed) -> dict[str, str]:
    return {"is": type(surveyed.change).__name__, "kind": surveyed.kind.value if surveyed.kind else ""}
