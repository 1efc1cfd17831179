"""Image names of every legal kind, for hypothesis."""

from __future__ import annotations

from hypothesis import strategies as st

from builder.errors import InvalidReference
from builder.image.name import ImageName

_COMPONENT = st.from_regex(r"[a-z0-9]{1,9}((\.|_|__|-|--)[a-z0-9]{1,60}){0,2}", fullmatch=True)
_DOMAIN = st.sampled_from(["docker.io", "localhost", "localhost:5000", "Example.COM", "a.b", "[::1]:80", "ghcr.io:443"])
_TAG = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", fullmatch=True)
_DIGEST = st.from_regex(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}", fullmatch=True)


def _legal(text: str) -> bool:
    try:
        ImageName.parse(text)
    except InvalidReference:
        return False
    return True


def _texts(end: st.SearchStrategy[str]) -> st.SearchStrategy[ImageName]:
    path = st.lists(_COMPONENT, min_size=1, max_size=4).map("/".join)
    return st.tuples(_DOMAIN, path, end).map(lambda t: f"{t[0]}/{t[1]}{t[2]}").filter(_legal).map(ImageName.parse)


DIGESTS = _texts(_DIGEST.map("@{}".format))
NAMES = _texts(st.just("") | _TAG.map(":{}".format)) | DIGESTS
