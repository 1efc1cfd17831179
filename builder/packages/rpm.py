"""The packages that rpm's database names: headers as blobs in a table of SQLite (rpm 4.16 and later).

The database is read in memory, and nothing in it is run: only that table, if it is an ordinary one, may be asked, and
no function, view or trigger. Older databases are of Berkeley DB and ndb, and are refused rather than overlooked.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Iterator
from contextlib import closing

from builder.packages.files import DiskFiles
from builder.packages.package import RPM_DIRECTORIES, Package, PackagesUnreadable
from builder.packages.rpm_header import parse_header

DATABASE = "rpmdb.sqlite"
_OTHER_KINDS = {"Packages": "a Berkeley DB", "Packages.db": "an ndb"}
# A workstation's of 2,500 packages has some 130 MB.
_MAX_SIZE = 256 << 20
# In virtual instructions of SQLite, of which a row takes a handful.
_STEPS, _MAX_ROUNDS = 100_000, 100
# An ordinary table, whose blobs are stored (0) and not made up when they are asked for.
_IS_TABLE = """
    SELECT 1 FROM sqlite_schema AS entry, pragma_table_xinfo('Packages') AS field
    WHERE entry.type = 'table' AND entry.name = 'Packages' AND entry.rootpage > 0
    AND field.name = 'blob' AND field.hidden = 0
"""
_ALLOWED = (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ)
# Where a database says that it has a write-ahead log (SQLite, "Database File Format", section 1.3): it has none here.
_VERSIONS = slice(18, 20)
_HEADER_SIZE = 100


def read_rpm(files: DiskFiles) -> Iterator[Package]:
    """Read what is installed. Raises PackagesUnreadable."""
    for directory in RPM_DIRECTORIES:
        path = f"{directory}/{DATABASE}"
        data = files.read(path, _MAX_SIZE)
        if data is None:
            _refuse_other_kinds(files, directory)
        elif files.size(f"{path}-wal"):
            raise PackagesUnreadable(path, "has changes in its -wal that are not in it; run rpm -qa in the image once")
        else:
            yield from _read(data, path)


def _refuse_other_kinds(files: DiskFiles, directory: str) -> None:
    for name, kind in _OTHER_KINDS.items():
        if files.size(f"{directory}/{name}"):
            raise PackagesUnreadable(f"{directory}/{name}", f"is {kind}; only rpm's SQLite databases can be read")


def _read(data: bytes, path: str) -> list[Package]:
    packages: list[Package] = []
    left = len(data)
    try:
        # Closed here: an error on the way keeps the loop, and all that is open in it.
        with closing(_rows(data)) as rows:
            for (blob,) in rows:
                if not isinstance(blob, bytes):
                    raise PackagesUnreadable(path, "has a row without a header")
                # Pages that several rows share would be read again and again.
                left -= len(blob)
                if left < 0:
                    raise PackagesUnreadable(path, "has headers that are longer than all of it")
                if (package := parse_header(blob, path)) is not None:
                    packages.append(package)
    # The message is made of words of the database, which need be no text.
    except (sqlite3.Error, sqlite3.Warning, UnicodeDecodeError) as error:
        raise PackagesUnreadable(path, f"cannot be read ({error})") from error
    return packages


def _rows(data: bytes) -> Generator[tuple[object], None, None]:
    """Give the blobs of the table Packages. Raises sqlite3.Error for what is no such database."""
    if len(data) < _HEADER_SIZE:
        raise sqlite3.DatabaseError("file is not a database")
    changed = bytearray(data)
    changed[_VERSIONS] = b"\x01\x01"
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        connection.deserialize(bytes(changed))
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA cell_size_check = ON")
        connection.execute("PRAGMA query_only = ON")
        rounds = iter(range(_MAX_ROUNDS))
        # Whatever it returns that is true interrupts the query.
        connection.set_progress_handler(lambda: next(rounds, None) is None, _STEPS)
        # No value that a row makes up is longer than what there is.
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, len(data))
        if connection.execute(_IS_TABLE).fetchone() is None:
            raise sqlite3.DatabaseError("it has no table Packages with blobs")
        connection.set_authorizer(_judge)
        # As they are stored: to put them in order, SQLite would first write all blobs, however long, to a file.
        yield from connection.execute("SELECT blob FROM Packages")
    finally:
        connection.close()


def _judge(action: int, first: str | None, _second: str | None, _database: str | None, _inner: str | None) -> int:
    """Allow that columns of the one table are read."""
    table = action == sqlite3.SQLITE_SELECT or first == "Packages"
    return sqlite3.SQLITE_OK if action in _ALLOWED and table else sqlite3.SQLITE_DENY
