"""The packages that dpkg's database names (dpkg(1), deb-control(5)): in one file, or one for each package."""

from __future__ import annotations

import re
from collections.abc import Iterator

from builder.packages.files import DiskFiles
from builder.packages.package import Package, PackagesUnreadable, package_name, word
from builder.packages.paragraphs import paragraphs

STATUS = "/var/lib/dpkg/status"
# As Bazel's rules and distroless lay it out: no tool writes there, and there is no Status.
STATUS_OF_EACH = "/var/lib/dpkg/status.d"
# A desktop's has some 5 MB.
_MAX_SIZE = 64 << 20

_WANTED = (b"Package", b"Version", b"Architecture", b"Source", b"Status")
# Of these nothing is there, or only what the user changed.
_NOT_THERE = (b"not-installed", b"config-files")
_SOURCE = re.compile(rb"(\S+)(?:\s+\(([^()\s]+)\))?")


def read_dpkg(files: DiskFiles) -> Iterator[Package]:
    """Read what is installed. Raises PackagesUnreadable."""
    for path in (STATUS, *_each(files)):
        data = files.read(path, _MAX_SIZE)
        for fields in paragraphs(data or b"", _WANTED):
            *_, state = fields.get(b"Status", b"").split() or [b""]
            if state not in _NOT_THERE:
                yield _package(fields, path)


def _each(files: DiskFiles) -> Iterator[str]:
    return (f"{STATUS_OF_EACH}/{name}" for name in files.names(STATUS_OF_EACH) if not name.endswith(".md5sums"))


def _package(fields: dict[bytes, bytes], path: str) -> Package:
    name = package_name(fields.get(b"Package", b""), path)
    version = word(fields.get(b"Version", b""), f"version of {name}", path)
    return Package(
        "deb",
        name,
        version,
        word(fields[b"Architecture"], f"architecture of {name}", path) if b"Architecture" in fields else "",
        _source(fields.get(b"Source", b""), version, path),
    )


def _source(stated: bytes, version: str, path: str) -> str:
    """Read `NAME` or `NAME (VERSION)`; the version is named where it is another than the package's."""
    if not stated:
        return ""
    found = _SOURCE.fullmatch(stated)
    if found is None:
        raise PackagesUnreadable(path, "names a source package as no dpkg does")
    name = word(found[1], "name of a source package", path)
    other = word(found[2], "version of a source package", path) if found[2] else version
    return name if other == version else f"{name}@{other}"
