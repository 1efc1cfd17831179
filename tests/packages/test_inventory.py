"""What a disk's databases say of packages, each of them held against what its own tools say."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from support.packages import Content, MemoryDisk, rpm_database, rpm_header

from builder.errors import ToolMissing
from builder.packages.distribution import Distribution
from builder.packages.inventory import read_inventory
from builder.packages.package import Package
from builder.tool import find_tool

STATUS = b"""Package: libc6
Status: install ok installed
Architecture: amd64
Multi-Arch: same
Source: glibc
Version: 2.36-9
Description: shared libraries
 Package: no-field-but-a-line-of-text
 .
 Version: 9

Package: gone
Status: deinstall ok config-files
Version: 1

Package: libstdc++6
Status: install ok half-configured
Architecture: amd64
Source: gcc-12 (12.2.0-14)
Version: 1:12.2.0-14+b1

Package: never
Status: unknown ok not-installed
"""

APK = b"""C:Q1abc=
P:ssl_client
V:1.36.1-r29
A:x86_64
L:GPL-2.0-only
o:busybox
F:usr/bin
R:ssl_client

C:Q1def=
P:musl
V:1.2.5-r0
A:x86_64
L:MIT
o:musl
p:so:libc.musl-x86_64.so.1=1
"""


def packages(files: Mapping[str, Content]) -> list[Package]:
    return list(read_inventory(MemoryDisk(files)).packages)


def test_dpkg_names_what_is_on_the_disk_and_not_what_was_removed() -> None:
    assert packages({"var/lib/dpkg/status": STATUS}) == [
        Package("deb", "libc6", "2.36-9", "amd64", "glibc"),
        Package("deb", "libstdc++6", "1:12.2.0-14+b1", "amd64", "gcc-12@12.2.0-14"),
    ]


def test_distroless_images_have_a_file_for_each_package() -> None:
    files: dict[str, Content] = {
        "var/lib/dpkg/status.d/base": b"Package: base-files\nVersion: 12.4\nArchitecture: amd64\n",
        "var/lib/dpkg/status.d/base.md5sums": b"0123  usr/share/base\n",
        "var/lib/dpkg/status.d/a-tz": b"Package: tzdata\r\nVersion: 2024a-0\r\nArchitecture: all\r\n",
    }
    assert packages(files) == [
        Package("deb", "tzdata", "2024a-0", "all"),
        Package("deb", "base-files", "12.4", "amd64"),
    ]


def test_dpkg_s_own_tool_reads_its_database_as_we_do(tmp_path: Path) -> None:
    status = Path("/var/lib/dpkg/status")
    if not status.exists():
        pytest.skip("NOT RUN: this machine has no dpkg")
    form = "${db:Status-Status} ${Package} ${Version} ${Architecture} ${source:Package} ${source:Version}\n"
    query = ["dpkg-query", "--admindir", str(tmp_path), "-W", "-f", form]
    (tmp_path / "status").write_bytes(status.read_bytes())
    (tmp_path / "info").mkdir()
    (tmp_path / "updates").mkdir()
    said = subprocess.run(query, capture_output=True, text=True, check=True).stdout
    wanted = set()
    for line in said.splitlines():
        state, name, version, architecture, source, source_version = line.split(" ")
        if state not in ("not-installed", "config-files"):
            shown = source if source_version == version else f"{source}@{source_version}"
            wanted.add((name, version, architecture, "" if shown == name else shown))
    read = packages({"var/lib/dpkg/status": status.read_bytes()})
    found = {
        (each.name, each.version, each.architecture, "" if each.source == each.name else each.source) for each in read
    }
    assert len(wanted) > 50
    assert found == wanted


@pytest.mark.parametrize("place", ["lib/apk/db/installed", "usr/lib/apk/db/installed"])
def test_apk_names_packages_with_their_origin_and_licence(place: str) -> None:
    assert packages({place: APK}) == [
        Package("apk", "ssl_client", "1.36.1-r29", "x86_64", "busybox", "GPL-2.0-only"),
        Package("apk", "musl", "1.2.5-r0", "x86_64", "", "MIT"),
    ]


def test_rpm_names_packages_and_no_keys(tmp_path: Path) -> None:
    bash: dict[int, str | int] = {
        1000: "bash",
        1001: "5.2",
        1002: "3.fc40",
        1014: "GPL-3.0-or-later",
        1022: "x86_64",
        1044: "bash.src.rpm",
    }
    shadow: dict[int, str | int] = {1000: "shadow-utils", 1001: "4.15", 1002: "1", 1003: 2, 1022: "x86_64"}
    key: dict[int, str | int] = {1000: "gpg-pubkey", 1001: "a15b79cc", 1002: "63d04c2c"}
    database = rpm_database(tmp_path / "db", *map(rpm_header, (bash, key, shadow)))
    # As rpm leaves it, and as Fedora has it: the place of old leads to the new one.
    files: dict[str, Content] = {
        "usr/lib/sysimage/rpm/rpmdb.sqlite": database,
        "usr/lib/sysimage/rpm/rpmdb.sqlite-wal": b"",
        "var/lib/rpm": "../../usr/lib/sysimage/rpm",
    }
    once = [
        Package("rpm", "bash", "5.2-3.fc40", "x86_64", "bash.src.rpm", "GPL-3.0-or-later"),
        Package("rpm", "shadow-utils", "2:4.15-1", "x86_64"),
    ]
    assert packages(files) == once * 2


def test_rpm_s_own_tools_make_a_database_that_we_read(tmp_path: Path) -> None:
    try:
        find_tool("rpm")
        find_tool("rpmbuild")
    except ToolMissing:
        pytest.skip("NOT RUN: needs rpm; ci/setup brings it")
    place = ["--dbpath", str(tmp_path / "db"), "--define", "_db_backend sqlite"]
    fields = {"Name": "hello", "Version": "1.2", "Release": "3", "Epoch": "2", "Summary": "s", "BuildArch": "noarch"}
    fields["License"] = "MIT AND BSD-2-Clause"
    lines = [*(f"{name}: {value}" for name, value in fields.items()), "%description", "d", "%files", ""]
    (tmp_path / "x.spec").write_text("\n".join(lines))
    build = ["rpmbuild", "-bb", "--define", f"_topdir {tmp_path}/top", "--dbpath", str(tmp_path / "db"), "x.spec"]
    environment = {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "HOME": str(tmp_path)}
    made = str(tmp_path / "top/RPMS/noarch/hello-1.2-3.noarch.rpm")
    for command in (["rpm", *place, "--initdb"], build, ["rpm", *place, "-i", "--justdb", "--nodeps", made]):
        subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=True)
    files: dict[str, Content] = {
        f"var/lib/rpm/{each.name}": each.read_bytes() for each in (tmp_path / "db").iterdir() if each.is_file()
    }
    wanted = Package("rpm", "hello", "2:1.2-3", "noarch", "hello-1.2-3.src.rpm", "MIT AND BSD-2-Clause")
    assert packages(files) == [wanted]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (b'ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian \\"12\\""\n', Distribution("debian", "12", 'Debian "12"')),
        (b"NAME='A B'\nID=wolfi\n", Distribution("wolfi", "", "A B")),
        (b"ID=x\nVERSION_ID='; rm -rf'\nPRETTY_NAME=\"\x1b[2J\"\n", Distribution("x", "", "\\x1b[2J")),
        (b"ID=../..\n", Distribution("../..", "", "../..")),
        (b"ID=x\nVERSION_ID=1\nNAME=" + b"x" * 4092, Distribution("x", "1", "x")),
        (b"ID='\n", None),
        (b"\xff\xfe\0", None),
        (b"", None),
    ],
)
def test_a_distribution_is_what_os_release_says_in_words_of_one(text: bytes, wanted: Distribution | None) -> None:
    if wanted and "/" in wanted.id:
        wanted = None
    disk = MemoryDisk({"etc/os-release": "../usr/lib/os-release", "usr/lib/os-release": text})
    assert read_inventory(disk).distribution == wanted
