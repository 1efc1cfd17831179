"""The packages that apk's database names (apk-tools, "APKDB installed V2")."""

from __future__ import annotations

from collections.abc import Iterator

from builder.packages.files import DiskFiles
from builder.packages.package import Package, licence, package_name, word
from builder.packages.paragraphs import paragraphs

# The second is where an image whose /lib is a symlink has it in any case, and one without /lib.
PATHS = ("/lib/apk/db/installed", "/usr/lib/apk/db/installed")
# It names all files: 10 MB for a desktop.
_MAX_SIZE = 128 << 20

_WANTED = (b"P", b"V", b"A", b"o", b"L")


def read_apk(files: DiskFiles) -> Iterator[Package]:
    """Read what is installed. Raises PackagesUnreadable."""
    for path in PATHS:
        data = files.read(path, _MAX_SIZE)
        for fields in paragraphs(data or b"", _WANTED):
            name = package_name(fields.get(b"P", b""), path)
            origin = word(fields[b"o"], f"origin of {name}", path) if fields.get(b"o") else name
            yield Package(
                "apk",
                name,
                word(fields.get(b"V", b""), f"version of {name}", path),
                word(fields[b"A"], f"architecture of {name}", path) if fields.get(b"A") else "",
                "" if origin == name else origin,
                licence(fields.get(b"L", b"")),
            )
