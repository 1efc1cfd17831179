"""Whom a process runs as: a config's User, looked up in the image's own passwd(5) and group(5) as runc and crun do it.

A number is always an id, also where somebody has that name. Supplementary groups are those that list the user, and only
where no group is asked for; the primary group is one of them (as since CVE-2023-25173).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from builder.errors import BuilderError
from builder.words import quoted

MAX_ID = (1 << 31) - 1

_NUMBER = re.compile(r"\d{1,10}", re.ASCII)


class UnknownUser(BuilderError):
    """The image does not know the user or group that its process should run as."""

    def __init__(self, user: str, reason: str) -> None:
        advice = "choose another with --user, or leave init out with --init none"
        super().__init__(f"User {quoted(user)}: {reason}; {advice}")
        self.user = user
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Account:
    """A process's ids, its supplementary groups in order, and its home directory."""

    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()
    home: str = "/"


@dataclass(frozen=True, slots=True)
class _User:
    name: str
    uid: int
    gid: int
    home: str


@dataclass(frozen=True, slots=True)
class _Group:
    name: str
    gid: int
    members: tuple[str, ...]


def find_account(user: str, passwd: bytes, group: bytes) -> Account:
    """Resolve `USER[:GROUP]`, each a name or a number, in the contents of the two files; "" is root.

    Raises UnknownUser for a name that the file does not have, and for numbers that are no ids.
    """
    wanted, _, wanted_group = user.partition(":")
    uid, gid = _number(wanted), _number(wanted_group)
    entry = next((each for each in _users(passwd) if _is(each.name, each.uid, wanted or "0", uid)), None)
    if entry is None and wanted and uid is None:
        raise UnknownUser(user, f"the image's /etc/passwd has no user {quoted(wanted)}")
    account = _User("", uid or 0, 0, "/") if entry is None else entry
    groups: tuple[int, ...] = ()
    if wanted_group:
        found = next((each for each in _groups(group) if _is(each.name, each.gid, wanted_group, gid)), None)
        if found is None and gid is None:
            raise UnknownUser(user, f"the image's /etc/group has no group {quoted(wanted_group)}")
        primary = found.gid if found is not None else gid or 0
    else:
        primary = account.gid
        groups = tuple(each.gid for each in _groups(group) if account.name and account.name in each.members)
    for number in (account.uid, primary):
        if number > MAX_ID:
            raise UnknownUser(user, f"{number} is no id; they end at {MAX_ID}")
    return Account(account.uid, primary, tuple(dict.fromkeys((primary, *groups))), account.home or "/")


def _number(text: str) -> int | None:
    return int(text) if _NUMBER.fullmatch(text) else None


def _is(name: str, number: int, wanted: str, wanted_number: int | None) -> bool:
    if wanted_number is None and _NUMBER.fullmatch(wanted):
        wanted_number = int(wanted)
    return name == wanted if wanted_number is None else number == wanted_number


def _fields(data: bytes, count: int) -> Iterator[list[str]]:
    """Split the lines of a colon-separated file; lines of other lengths, and NIS's + and -, say nothing."""
    for line in data.split(b"\n"):
        fields = line.decode("utf-8", "surrogateescape").split(":")
        # Nor does one with a NUL, which no variable and no path can hold.
        if len(fields) >= count and fields[0] and fields[0][0] not in "+-#" and b"\0" not in line:
            yield fields


def _users(passwd: bytes) -> Iterator[_User]:
    for name, _, uid, gid, *rest in _fields(passwd, 4):
        if _NUMBER.fullmatch(uid) and _NUMBER.fullmatch(gid):
            yield _User(name, int(uid), int(gid), rest[1] if len(rest) > 1 else "")


def _groups(group: bytes) -> Iterator[_Group]:
    for name, _, gid, *rest in _fields(group, 3):
        if _NUMBER.fullmatch(gid):
            yield _Group(name, int(gid), tuple(filter(None, rest[0].split(","))) if rest else ())
