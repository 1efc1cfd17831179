"""Databases of packages that lie: each is refused in one line, none crashes, hangs or is left out."""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import pytest
from support.packages import Content, MemoryDisk, rpm_database, rpm_header

from builder.packages import files as files_of_disk
from builder.packages import inventory
from builder.packages.inventory import read_inventory
from builder.packages.package import Package, PackagesUnreadable

APK = b"P:ssl_client\nV:1.36.1-r29\n\nP:musl\nV:1.2.5-r0\n"


def packages(files: Mapping[str, Content]) -> list[Package]:
    return list(read_inventory(MemoryDisk(files)).packages)


def header(**said: str | int) -> bytes:
    tags: dict[int, str | int] = {1000: "a", 1001: "1", 1002: "1"}
    return rpm_header(tags | {int(name[1:]): value for name, value in said.items()})


def rows(database: bytes) -> dict[str, Content]:
    return {"var/lib/rpm/rpmdb.sqlite": database}


HOSTILE: dict[str, tuple[bytes, str]] = {
    "cut": (header()[:20], "is cut off"),
    "intro": (b"\0\0", "is cut off"),
    "entries": (struct.pack(">II", 1 << 30, 1), "larger than rpm allows"),
    "offset": (struct.pack(">IIIIII", 1, 4, 1000, 6, 1 << 31, 1) + b"abcd", "what cannot be"),
    "number": (struct.pack(">IIIIII", 1, 2, 1003, 4, 0, 1) + b"ab", "what cannot be"),
    "unended": (struct.pack(">IIIIII", 1, 4, 1000, 6, 0, 1) + b"abcd", "what cannot be"),
    "no name": (rpm_header({1001: "1"}), "no name of a package"),
    "escape": (header(t1001="1\x1b[2J"), "no version of a"),
    "type": (header(t1000=7), "no name of a package"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_header_that_lies_is_refused_in_one_line(tmp_path: Path, case: str) -> None:
    blob, reason = HOSTILE[case]
    with pytest.raises(PackagesUnreadable, match=reason) as caught:
        packages(rows(rpm_database(tmp_path / "db", blob)))
    assert str(caught.value).isprintable()


SCHEMAS = {
    "a view": "CREATE TABLE t (blob); CREATE VIEW Packages AS SELECT 1 AS hnum, blob FROM t",
    "none": "CREATE TABLE Other (blob)",
    "a function": "CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, a, blob AS (upper(a)))",
    "a virtual table": "CREATE VIRTUAL TABLE Packages USING fts5(hnum, blob)",
    "another column": "CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, data)",
}


@pytest.mark.parametrize("schema", SCHEMAS)
def test_only_a_table_is_asked_and_no_code_of_the_database_runs(tmp_path: Path, schema: str) -> None:
    with pytest.raises(PackagesUnreadable, match="cannot be read"):
        packages(rows(rpm_database(tmp_path / "db", schema=SCHEMAS[schema])))


@pytest.mark.heavy
def test_a_database_that_is_none_or_damaged_is_refused_and_never_crashes(tmp_path: Path) -> None:
    good = rpm_database(tmp_path / "db", *[header(t1000=f"p{number}") for number in range(200)])
    assert len(packages(rows(good))) == 200
    for data in (b"", b"x" * 5000, good[:5000], good[:100], good[:4096] + b"\0" * (len(good) - 4096)):
        with pytest.raises(PackagesUnreadable):
            packages(rows(data))
    for position in range(0, len(good), 97):
        damaged = bytearray(good)
        damaged[position] ^= 0xFF
        with suppress(PackagesUnreadable):
            packages(rows(bytes(damaged)))


def varint(value: int) -> bytes:
    """A number of two bytes, as SQLite writes it ("Database File Format", section 1.6)."""
    return bytes([0x80 | value >> 7, value & 0x7F])


def test_rows_that_share_a_page_are_not_read_without_end(tmp_path: Path) -> None:
    # One row of 8,000 bytes goes on in a page of its own; all others, of 3,912, are made to go on in that page, too.
    long = header(t1014="x" * 7900).ljust(8000, b"\0")
    short = long[:3912]
    data = bytearray(rpm_database(tmp_path / "db", long, *[short] * 60))
    tail = data.index(long[-100:]) // 4096 + 1
    for number in range(2, 62):
        begin = varint(4 + len(short)) + bytes([number, 4, 0]) + varint(2 * len(short) + 12)
        start = data.index(begin + long[:100])
        data[start : start + len(begin)] = varint(4 + len(long)) + bytes([number, 4, 0]) + varint(2 * len(long) + 12)
        end = start + len(begin) + len(short) - 4
        data[end : end + 4] = struct.pack(">I", tail)
    with pytest.raises(PackagesUnreadable, match="longer than all of it"):
        packages(rows(bytes(data)))


def test_rows_are_read_as_they_are_stored_and_not_all_put_in_order_first(tmp_path: Path) -> None:
    schema = "CREATE TABLE Packages (hnum INTEGER, blob)"
    rpm_database(tmp_path / "db", header(t1000="a"), header(t1000="b"), schema=schema)
    connection = sqlite3.connect(tmp_path / "db", isolation_level=None)
    connection.execute("UPDATE Packages SET hnum = -rowid")
    connection.close()
    assert [package.name for package in packages(rows((tmp_path / "db").read_bytes()))] == ["a", "b"]


def test_of_equal_tags_of_a_header_the_first_counts(tmp_path: Path) -> None:
    tags = ((1000, 0), (1000, 2), (1001, 4), (1002, 4))
    index = b"".join(struct.pack(">IIII", tag, 6, offset, 1) for tag, offset in tags)
    blob = struct.pack(">II", len(tags), 6) + index + b"a\0b\0001\0"[:6]
    assert [package.name for package in packages(rows(rpm_database(tmp_path / "db", blob)))] == ["a"]


@pytest.mark.parametrize("value", ["text", 7, None])
def test_a_row_that_holds_no_header_is_refused(tmp_path: Path, value: object) -> None:
    with pytest.raises(PackagesUnreadable, match="without a header"):
        packages(rows(rpm_database(tmp_path / "db", value)))


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"var/lib/rpm/Packages": b"x"}, "a Berkeley DB"),
        ({"usr/lib/sysimage/rpm/Packages.db": b"x"}, "an ndb"),
        ({"var/lib/dpkg/status": b"Package: a b\nVersion: 1\n"}, "no name of a package"),
        ({"var/lib/dpkg/status": b"Package: a\n"}, "no version of a"),
        ({"var/lib/dpkg/status": b"Package: a\nVersion: 1\nSource: x (y\n"}, "source package"),
        ({"var/lib/dpkg/status": b"Package: " + b"a" * 300 + b"\nVersion: 1\n"}, "no name of a package"),
        ({"lib/apk/db/installed": b"P:\x1b]0;x\nV:1\n"}, "no name of a package"),
        ({"lib/apk/db/installed": b"P:/\nV:1\n"}, "no name of a package"),
        ({"var/lib/dpkg/status": b"Package: a/b\nVersion: 1\n"}, "no name of a package"),
    ],
)
def test_what_cannot_be_read_is_refused_and_not_left_out(files: dict[str, Content], reason: str) -> None:
    with pytest.raises(PackagesUnreadable, match=reason) as caught:
        packages(files)
    assert str(caught.value).isprintable()


def test_changes_that_are_not_in_the_database_are_refused(tmp_path: Path) -> None:
    files = rows(rpm_database(tmp_path / "db", header())) | {"var/lib/rpm/rpmdb.sqlite-wal": b"changes"}
    with pytest.raises(PackagesUnreadable, match="-wal"):
        packages(files)


def test_there_are_limits_to_what_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inventory, "MAX_PACKAGES", 3)
    assert len(packages({"lib/apk/db/installed": b"P:a\nV:1\n\n" * 3})) == 3
    with pytest.raises(PackagesUnreadable, match="more than 3 packages"):
        packages({"lib/apk/db/installed": b"P:a\nV:1\n\n" * 4})
    with pytest.raises(PackagesUnreadable, match="1048577 bytes"):
        packages({"etc/os-release": b"#" * ((1 << 20) + 1)})
    monkeypatch.setattr(files_of_disk, "_MAX_READ", 19)
    each = b"Package:a\nVersion:1"
    with pytest.raises(PackagesUnreadable, match="more than 19 bytes"):
        packages({"var/lib/dpkg/status.d/a": each, "var/lib/dpkg/status.d/b": each})


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"var/lib/dpkg/status": "status"},
        {"var/lib/dpkg/status": "../../../../../../nowhere"},
        {"var/lib/dpkg/status/dir": b""},
        {"var": b"file"},
        {"var/lib": "/a", "a": "/b", "b": "/a"},
        {"var": "/".join(["."] * 5000)},
    ],
)
def test_a_disk_without_databases_has_no_packages_wherever_its_symlinks_lead(files: dict[str, Content]) -> None:
    assert packages(files) == []


def test_symlinks_lead_to_files_of_the_disk_alone() -> None:
    files: dict[str, Content] = {"lib": "../../usr/./lib", "usr/lib/apk": "/opt/apk", "opt/apk/db/installed": APK}
    assert len(packages(files)) == 2 * 2
