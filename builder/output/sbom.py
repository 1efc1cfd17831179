"""Which packages are on a disk, for those who look for their faults: a software bill of materials, CycloneDX 1.6.

CycloneDX and not SPDX, because it may go without the time at which it was made, and because its own project keeps its
schema in a package for Python, against which tests hold this. That package is not what writes it: it takes seconds for
three thousand packages.
"""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from builder.disk.filesystem import derived_uuid
from builder.packages.distribution import Distribution
from builder.packages.inventory import Inventory
from builder.packages.package import Package
from builder.version import VERSION

_DISK, _DISTRIBUTION = "disk", "distribution"
# The last second that four digits of a year can write (RFC 3339).
_LAST = 253402300799


def describe_packages(
    disk: Path, digest: str, image: dict[str, Any], inventory: Inventory, epoch: int | None
) -> dict[str, Any]:
    """Describe as plain JSON values what is on `disk`, whose sha256 in hex is `digest`.

    `image` is what it was made of, as metadata have it; `epoch`, in seconds since 1970, is when it is said to be made.
    """
    distribution = inventory.distribution
    # Equal ones are one, such as a database that is reached by two paths.
    listed = (_component(package, distribution) for package in inventory.packages)
    components = {component["bom-ref"]: component for component in listed}
    about = {
        "type": "container",
        "bom-ref": _DISK,
        "name": disk.name,
        "version": f"sha256:{digest}",
        "hashes": [{"alg": "SHA-256", "content": digest}],
        "properties": [
            {"name": "rootfs-builder:image", "value": image["reference"]},
            {"name": "rootfs-builder:config", "value": image["config"]["digest"]},
        ],
    }
    tool = {"type": "application", "name": "rootfs-builder", "version": VERSION}
    seed = sha256(f"{digest}\0{disk.name}\0{image['reference']}\0{VERSION}".encode("utf-8", "surrogateescape"))
    when = None if epoch is None else datetime.fromtimestamp(min(epoch, _LAST), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{derived_uuid(seed.digest(), 'sbom')}",
        "version": 1,
        "metadata": {
            **({"timestamp": when} if when else {}),
            "tools": {"components": [tool]},
            "component": about,
        },
        "components": [
            *([_operating_system(distribution)] if distribution else []),
            *(components[reference] for reference in sorted(components)),
        ],
    }


def _operating_system(distribution: Distribution) -> dict[str, Any]:
    return {
        "type": "operating-system",
        "bom-ref": _DISTRIBUTION,
        "name": distribution.id,
        **({"version": distribution.version} if distribution.version else {}),
        "description": distribution.name,
    }


def _component(package: Package, distribution: Distribution | None) -> dict[str, Any]:
    purl = _purl(package, distribution)
    return {
        "type": "library",
        "bom-ref": purl,
        "name": package.name,
        "version": package.version,
        # A name, whatever it looks like: not all that databases say is an expression of SPDX.
        **({"licenses": [{"license": {"name": package.licence}}]} if package.licence else {}),
        "purl": purl,
    }


def _purl(package: Package, distribution: Distribution | None) -> str:
    """Write a package's name as purl-spec has it, with the qualifiers that scanners look at."""
    # Here, because only this needs it.
    from packageurl import PackageURL

    version, epoch = package.version, ""
    if package.system == "rpm" and ":" in version:
        epoch, _, version = version.partition(":")
    said = distribution and "-".join(filter(None, (distribution.id, distribution.version)))
    qualifiers = {"arch": package.architecture, "distro": said, "epoch": epoch, "upstream": package.source}
    namespace = distribution.id if distribution else None
    return PackageURL(
        package.system, namespace, package.name, version, {name: value for name, value in qualifiers.items() if value}
    ).to_string()
