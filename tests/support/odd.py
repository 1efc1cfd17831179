"""One small image in a registry that answers oddly, and what became of reading it."""

from __future__ import annotations

import json
from collections.abc import Iterable

import pytest
from support.images import Spec, layout_files
from support.raw import RawRegistry, Say, answer
from support.registry import content
from support.remote import listen_to, read_image
from support.tars import file, tar

from builder.errors import BuilderError
from builder.sources.access import Access, Means

LAYER = tar(file("file", bytes(range(256)) * 1000))
IMAGE = Spec((LAYER,), platform="linux/s390x")
FILES, (MADE,) = layout_files(IMAGE)
MANIFEST = content(FILES, f"blobs/{MADE.manifest.replace(':', '/')}")
CONFIG = content(FILES, f"blobs/{MADE.config.replace(':', '/')}")
BLOB = content(FILES, f"blobs/{MADE.layers[0].replace(':', '/')}")
PAGE = b"\n<!DOCTYPE html><html><body>Log in to the network</body></html>"
HTML = "Content-Type: text/html; charset=utf-8"


def always(*parts: bytes) -> Say:
    return lambda _: parts


def refused(registry: RawRegistry, access: Access) -> BuilderError:
    with pytest.raises(BuilderError) as caught:
        read_image(f"docker://{registry.host}/image", access)
    return caught.value


def reads(registry: RawRegistry, access: Access) -> list[str]:
    """Read the image, whole; returns what the user was told meanwhile."""
    heard: list[str] = []
    assert read_image(f"docker://{registry.host}/image", access, Means(listen=listen_to(heard))) == list(MADE.layers)
    return heard


def wants_token(registry: RawRegistry, token: str, challenge: str = "") -> None:
    """Have the repository want this token, in the words of a challenge with `{realm}`."""
    challenge = challenge or 'WWW-Authenticate: Bearer realm="{realm}"'
    headers = challenge.replace("{realm}", f"http://{registry.host}/token").split("\n")
    ordinary = registry.ordinary

    def guarded(line: str) -> Iterable[bytes]:
        if f"\r\nAuthorization: Bearer {token}\r\n".encode() in registry.heads[-1]:
            return ordinary(line)
        return [answer(401, b"", *headers)]

    registry.odd.setdefault("/token", always(answer(200, json.dumps({"token": token}).encode())))
    registry.odd["/v2/image/"] = guarded
