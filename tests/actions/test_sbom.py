"""Which packages are on a disk: the document that is published with it, held against CycloneDX's own schema."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from packageurl import PackageURL
from support.images import Spec, layout
from support.left import identity
from support.packages import rpm_database, rpm_header
from support.remote import listen_to
from support.tars import file, symlink, tar

from builder import Addition, BuildOptions, Removal, build
from builder.actions import companions
from builder.actions.up_to_date import Lookout
from builder.batch.images import parse_list
from builder.disk.filesystem import Compression, DiskOptions
from builder.errors import OutputError
from builder.packages.package import PackagesUnreadable
from builder.sizes import human_size

STATUS = b"Package: libc6\nStatus: install ok installed\nVersion: 1:2.36-9\nArchitecture: amd64\nSource: glibc\n\n"
APK = b"P:musl\nV:1.2.5-r0\nA:x86_64\nL:MIT\no:musl\n\n"
RELEASE = b'ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n'


def image(tmp_path: Path, *members: bytes) -> str:
    layout(tmp_path / "image", Spec((tar(*members),)))
    return f"oci:{tmp_path}/image"


def debian(tmp_path: Path) -> str:
    return image(
        tmp_path,
        file("usr/lib/os-release", RELEASE),
        symlink("etc/os-release", "../usr/lib/os-release"),
        file("var/lib/dpkg/status", STATUS),
    )


def parse(path: Path) -> dict[str, Any]:
    """Read a document, after its schema took it, without any field that it does not know."""
    from cyclonedx.schema import SchemaVersion  # takes three seconds of the processor, as support.machines says
    from cyclonedx.validation.json import JsonStrictValidator

    text = path.read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    document: dict[str, Any] = json.loads(text)
    references = [each["bom-ref"] for each in document["components"]]
    assert len(references) == len(set(references))
    return document


def purls(document: dict[str, Any]) -> list[str]:
    found = [each["purl"] for each in document["components"] if "purl" in each]
    for each in found:
        assert PackageURL.from_string(each).to_string() == each
    return found


@pytest.mark.parametrize(
    ("name", "disk"),
    [("d.ext4", DiskOptions()), ("d.erofs", DiskOptions(compress=Compression("lz4hc")))],
)
def test_a_document_names_the_disk_its_distribution_and_each_package(
    tmp_path: Path, name: str, disk: DiskOptions
) -> None:
    written = tmp_path / "d.cdx.json"
    build(debian(tmp_path), tmp_path / name, BuildOptions(disk=disk, sbom=written))
    document = parse(written)
    about = document["metadata"]["component"]
    digest = sha256((tmp_path / name).read_bytes()).hexdigest()
    assert (about["name"], about["hashes"]) == (name, [{"alg": "SHA-256", "content": digest}])
    assert "timestamp" not in document["metadata"]
    assert document["components"][0] == {
        "type": "operating-system",
        "bom-ref": "distribution",
        "name": "debian",
        "version": "12",
        "description": "Debian GNU/Linux 12 (bookworm)",
    }
    assert purls(document) == ["pkg:deb/debian/libc6@1:2.36-9?arch=amd64&distro=debian-12&upstream=glibc"]


def test_every_system_s_packages_are_named_as_scanners_know_them(tmp_path: Path) -> None:
    bash: dict[int, str | int] = {1000: "bash", 1001: "5.2", 1002: "3.fc40", 1003: 1, 1022: "x86_64"}
    reference = image(
        tmp_path,
        file("var/lib/dpkg/status.d/tzdata", b"Package: tzdata\nVersion: 2024a\n"),
        file("usr/lib/apk/db/installed", APK * 2),
        symlink("lib", "usr/lib"),
        file("var/lib/rpm/rpmdb.sqlite", rpm_database(tmp_path / "rpm", rpm_header(bash))),
    )
    build(reference, tmp_path / "d.ext4", BuildOptions(sbom=tmp_path / "sbom", source_date_epoch=86400))
    document = parse(tmp_path / "sbom")
    # What two paths or paragraphs name is one.
    assert purls(document) == [
        "pkg:apk/musl@1.2.5-r0?arch=x86_64",
        "pkg:deb/tzdata@2024a",
        "pkg:rpm/bash@5.2-3.fc40?arch=x86_64&epoch=1",
    ]
    assert [each["version"] for each in document["components"]] == ["1.2.5-r0", "2024a", "1:5.2-3.fc40"]
    assert document["components"][0]["licenses"] == [{"license": {"name": "MIT"}}]
    assert document["metadata"]["timestamp"] == "1970-01-02T00:00:00Z"


def test_a_document_is_of_the_disk_and_not_of_the_image(tmp_path: Path) -> None:
    reference, disk, written = debian(tmp_path), tmp_path / "d.ext4", tmp_path / "sbom"
    (tmp_path / "installed").write_bytes(APK)
    changes = (Removal("/var/lib/dpkg"), Addition(tmp_path / "installed", "/lib/apk/db/"))
    build(reference, disk, BuildOptions(additions=changes, sbom=written))
    assert purls(parse(written)) == ["pkg:apk/debian/musl@1.2.5-r0?arch=x86_64&distro=debian-12"]


def test_a_document_of_an_image_without_packages_has_none(tmp_path: Path) -> None:
    reference = image(tmp_path, file("a"))
    build(reference, tmp_path / "d.ext4", BuildOptions(sbom=tmp_path / "sbom"))
    assert parse(tmp_path / "sbom")["components"] == []


def test_a_document_that_is_missing_or_another_is_written_and_the_disk_is_left(tmp_path: Path) -> None:
    reference, disk, written = debian(tmp_path), tmp_path / "d.ext4", tmp_path / "sbom"
    options = BuildOptions(sbom=written, metadata_file=tmp_path / "d.json")
    build(reference, disk, options)
    before, content, stamp = identity(disk), written.read_bytes(), identity(written)
    with Lookout() as lookout:
        assert lookout.look(reference, disk, options).reason is None
        assert build(reference, disk, options).built is False
        assert identity(written) == stamp
        written.write_bytes(b"{}")
        assert lookout.look(reference, disk, options).reason == "what goes with the disk is missing or changed"
    assert build(reference, disk, options).built is False
    assert written.read_bytes() == content
    assert identity(disk) == before


def test_a_document_that_push_will_not_take_is_one_at_the_build_already(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(companions, "MAX_METADATA", 1 << 10)
    reference, disk, written = debian(tmp_path), tmp_path / "d.ext4", tmp_path / "sbom"
    heard: list[str] = []
    with pytest.raises(
        OutputError, match=r"sbom: is 1\.\d KiB large; push takes 1\.0 KiB at most; leave it out, or --push$"
    ):
        build(reference, disk, BuildOptions(sbom=written, push="docker://localhost:1/disks/d:1"))
    assert not disk.exists()
    assert not written.exists()
    build(reference, disk, BuildOptions(sbom=written), listen_to(heard))
    assert [line.partition(": ")[2] for line in heard if "large" in line] == [
        f"is {human_size(written.stat().st_size)} large; push takes 1.0 KiB at most"
    ]


def test_an_image_whose_database_cannot_be_read_leaves_nothing(tmp_path: Path) -> None:
    reference = image(tmp_path, file("var/lib/rpm/Packages", b"x"))
    (tmp_path / "out").mkdir()
    disk, options = tmp_path / "out" / "d.ext4", BuildOptions(sbom=tmp_path / "out" / "sbom")
    with pytest.raises(PackagesUnreadable, match="Berkeley DB") as caught:
        build(reference, disk, options)
    assert caught.value.exit_status == 3
    assert list((tmp_path / "out").iterdir()) == []


def test_a_list_has_a_document_for_each_disk(tmp_path: Path) -> None:
    (job,) = parse_list("oci:web output=web.ext4 sbom=web.cdx.json", "list", tmp_path, BuildOptions())
    assert job.options.sbom == Path("web.cdx.json")
