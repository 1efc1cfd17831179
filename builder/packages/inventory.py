"""All that a disk's databases say of packages, and which distribution it says to be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from builder.disk.reading import Reader
from builder.packages.apk import read_apk
from builder.packages.distribution import Distribution, read_distribution
from builder.packages.dpkg import read_dpkg
from builder.packages.files import DiskFiles
from builder.packages.package import RPM_DIRECTORIES, Package, PackagesUnreadable

# All of Debian is 70,000.
MAX_PACKAGES = 100_000


@dataclass(frozen=True, slots=True)
class Inventory:
    """What is on a disk: the packages in the order of their databases, and the distribution, if it says which."""

    distribution: Distribution | None
    packages: tuple[Package, ...]


def read_inventory(reader: Reader) -> Inventory:
    """Read all databases of a disk. Raises PackagesUnreadable, and what the reader does."""
    files = DiskFiles(reader)
    packages: list[Package] = []
    for read in (read_dpkg, read_apk, _read_rpm):
        for package in read(files):
            packages.append(package)
            if len(packages) > MAX_PACKAGES:
                raise PackagesUnreadable("/", f"its databases name more than {MAX_PACKAGES} packages")
    return Inventory(read_distribution(files), tuple(packages))


def _read_rpm(files: DiskFiles) -> Iterator[Package]:
    if any(files.names(directory) for directory in RPM_DIRECTORIES):
        # Here, because it imports SQLite.
        from builder.packages.rpm import read_rpm

        yield from read_rpm(files)
