"""Whom a process runs as: a config's User, looked up in the image's own passwd(5) and group(5) as runc and crun do it.

A number is always an id, also where somebody has that name. Supplementary groups are those that list the user, and only
where no group is asked for; the primary group is one of them (as since CVE-2023-25173).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO

from builder.errors import BuilderError
from builder.words import quoted

MAX_ID = (1 << 31) - 1

# NGROUPS_MAX of linux/limits.h.
_MAX_GROUPS = 65536

_NUMBER = re.compile(rb"\d{1,10}")


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
    name: bytes
    uid: int
    gid: int
    home: str


@dataclass(frozen=True, slots=True)
class _Group:
    name: bytes
    gid: int
    members: bytes

    def has(self, user: bytes) -> bool:
        # Not split: a line may have millions of names.
        return b"," + user + b"," in b"," + self.members + b","


def find_account(user: str, passwd: bytes, group: bytes) -> Account:
    """Resolve `USER[:GROUP]`, each a name or a number, in the contents of the two files; "" is root.

    Raises UnknownUser for a name that the file does not have, and for numbers that are no ids.
    """
    wanted, _, wanted_group = user.partition(":")
    entry = next((each for each in _users(passwd) if _is(each.name, each.uid, wanted or "0")), None)
    if entry is None and wanted and _number(wanted) is None:
        raise UnknownUser(user, f"the image's /etc/passwd has no user {quoted(wanted)}")
    account = _User(b"", _number(wanted) or 0, 0, "/") if entry is None else entry
    groups: tuple[int, ...] = ()
    if wanted_group:
        found = next((each for each in _groups(group) if _is(each.name, each.gid, wanted_group)), None)
        number = _number(wanted_group)
        if found is None and number is None:
            raise UnknownUser(user, f"the image's /etc/group has no group {quoted(wanted_group)}")
        primary = found.gid if found is not None else number or 0
    else:
        primary = account.gid
        groups = tuple(each.gid for each in _groups(group) if account.name and each.has(account.name))
    ids = tuple(dict.fromkeys((primary, *groups)))
    for number in (account.uid, *ids):
        if number > MAX_ID:
            raise UnknownUser(user, f"{number} is no id; they end at {MAX_ID}")
    if len(ids) > _MAX_GROUPS:
        raise UnknownUser(user, f"is in {len(ids)} groups of the image's /etc/group, and Linux takes {_MAX_GROUPS}")
    return Account(account.uid, primary, ids, account.home or "/")


def _number(text: str | bytes) -> int | None:
    text = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
    return int(text) if _NUMBER.fullmatch(text) else None


def _is(name: bytes, number: int, wanted: str) -> bool:
    """Compare as runc does: what is a number is one, also where somebody has it for a name."""
    wanted_number = _number(wanted)
    return name == wanted.encode("utf-8", "surrogateescape") if wanted_number is None else number == wanted_number


def _fields(data: bytes, count: int, most: int) -> Iterator[list[bytes]]:
    """Split the lines of a colon-separated file; those with too few fields say nothing, nor do NIS's + and -."""
    for line in BytesIO(data):
        fields = line.strip().split(b":", most)
        # Nor does one with a NUL, which no variable and no path can hold.
        if len(fields) >= count and fields[0] and fields[0][:1] not in b"+-#" and b"\0" not in line:
            yield fields


def _users(passwd: bytes) -> Iterator[_User]:
    for name, _, uid, gid, *rest in _fields(passwd, 4, 6):
        numbers = _number(uid), _number(gid)
        home = rest[1].decode("utf-8", "surrogateescape") if len(rest) > 1 else ""
        if numbers[0] is not None and numbers[1] is not None:
            yield _User(name, numbers[0], numbers[1], home)


def _groups(group: bytes) -> Iterator[_Group]:
    for name, _, gid, *rest in _fields(group, 3, 4):
        if (number := _number(gid)) is not None:
            yield _Group(name, number, rest[0] if rest else b"")
