from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from support.reading import only
from support.tars import (
    GNU,
    V7,
    Records,
    file,
    gnu_long,
    hardlink,
    header,
    padded,
    pax,
    raw,
    symlink,
)

NAMES = [
    b"plain",
    "nfc-\u00e9".encode(),
    "nfd-e\u0301".encode(),
    "\u212b ngstrom, \u1100\u1161 jamo".encode(),
    b"latin-\xe9\xff\xfe",
    b"surrogate-\xed\xa0\x80",
    b"overlong-\xc0\xaf",
    b"new\nline\r\ttab",
    b" spaces ",
    b"back\\slash",
    b"c" * 255,
    b"/".join([b"d" * 254] * 15 + [b"e" * 200]),
]


def every_way_to_write(name: bytes) -> Iterator[tuple[str, bytes, bytes]]:
    yield "pax path", pax({"path": name}) + header(b"x"), name
    yield "pax path, binary", pax({"hdrcharset": "BINARY", "path": name}) + header(b"x"), name
    yield "GNU long name", gnu_long(name) + header(b"x", magic=GNU), name
    yield "pax sparse name", sparse_pax_raw(name), name
    if len(name) <= 100:
        yield "ustar", header(name), name
        yield "v7", header(name, magic=V7), name
        yield "ustar prefix", header(name, prefix=name), name + b"/" + name


def sparse_pax_raw(name: bytes) -> bytes:
    records: Records = {
        "GNU.sparse.major": "1",
        "GNU.sparse.minor": "0",
        "GNU.sparse.name": name,
        "GNU.sparse.realsize": "5",
    }
    return pax(records) + raw("x", b"0", padded(b"0\n"))


def raw_names() -> list[str]:
    """List the mangled names: none."""
    wrong = []
    for name in NAMES:
        for way, stream, expected in every_way_to_write(name):
            got = only(stream).path
            if got != expected:
                wrong.append(f"{way}: {expected!r} became {got!r}")
        for kind, typeflag in ((symlink, b"2"), (hardlink, b"1")):
            long = gnu_long(name, b"K") + header(b"x", typeflag, magic=GNU)
            for stream in (kind("x", name), long):
                if only(stream).link != name:
                    wrong.append(f"link {name!r} became {only(stream).link!r}")
        attribute = only(file("x", xattrs={b"user." + name: name})).xattrs
        if attribute != {b"user." + name: name}:
            wrong.append(f"xattr {name!r} became {attribute!r}")
    return wrong


@pytest.mark.heavy
@pytest.mark.parametrize("locale", ["C", "C.UTF-8", "POSIX", "en_US.ISO-8859-1"])
def test_names_are_the_raw_bytes_in_every_locale(locale: str) -> None:
    here = os.path.dirname(__file__)
    root = os.path.dirname(os.path.dirname(here))
    code = f"""
import locale, sys
sys.path[:0] = [{root!r}, {os.path.join(root, "tests")!r}, {here!r}]
try:
    locale.setlocale(locale.LC_ALL, {locale!r})
except locale.Error:
    locale.setlocale(locale.LC_ALL, "C")
import test_names
print(test_names.raw_names())
"""
    environment = {**os.environ, "LC_ALL": locale, "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")
