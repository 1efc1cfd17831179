"""What the process that fetches is asked and told: read strictly, for whoever says it may have been taken over."""

from __future__ import annotations

import json
from typing import Annotated

import msgspec

# A tag or a digest, which become part of a path: nothing that leads out of the repository.
_Reference = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.:-]{0,255}\Z")]
_Count = Annotated[int, msgspec.Meta(ge=0)]


class Nonsense(Exception):
    """What came is no question, or comes with nothing over which it could be answered."""


class Question(msgspec.Struct):
    """What is asked or told, and the words that go with it, of which each kind has its own.

    `origin` is a repository by its number; `directory` is where names of files begin that are relative.
    """

    what: str
    origin: int = -1
    reference: _Reference = ""
    by_digest: bool = False
    tag: _Reference = ""
    subject: str = ""
    artifact_type: str = ""
    count: _Count = 0
    digest: str = ""
    media_type: str = ""
    size: _Count = 0
    position: _Count = 0
    digests: list[str] = []
    host: str = ""
    path: str = ""
    directory: str = ""
    authfile: str | None = None
    cert_dir: str | None = None
    tls_verify: bool = True
    helpers: list[str] = []


def parse_question(message: bytes) -> Question:
    """Read what came. Raises Nonsense."""
    try:
        # Not msgspec's reader of JSON: names of files need not be all text.
        return msgspec.convert(json.loads(message), Question)
    except (ValueError, RecursionError, msgspec.ValidationError) as error:
        raise Nonsense from error
