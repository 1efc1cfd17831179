"""Whom a process runs as, as runc's own table of cases has it, and what the image's files may look like."""

from __future__ import annotations

import tracemalloc

import pytest

from builder.guest.users import Account, UnknownUser, find_account

PASSWD = b"""\
root:x:0:0:root user:/root:/bin/bash
adm:x:42:43:adm:/var/adm:/bin/false
111:x:222:333::/var/garbage
odd:x:111:112::/home/odd:::::
user7456:x:7456:100:Vasya:/home/user7456
nohome:x:50:51
+nis::::::
broken:x:abc:1::/:
adm:x:1:1::/second:
  web:x:8:9::/home/web:/bin/sh
"""
GROUP = b"""\
root:x:0:root
adm:x:43:
grp:x:1234:root,adm,user7456
444:x:555:111
odd:x:444:
several:x:10:adm,
few:x:600
adm:x:999:adm
 spaces:x:11:x,web\t
"""


@pytest.mark.parametrize(
    ("user", "account"),
    [
        # The first of several lines counts for a name, all of them for who is a member.
        ("adm:adm", Account(42, 43, (43,), "/var/adm")),
        # A line without members is a group, too.
        ("adm:few", Account(42, 600, (600,), "/var/adm")),
        ("adm:600", Account(42, 600, (600,), "/var/adm")),
        ("007:010", Account(7, 10, (10,), "/")),
        # Space around a line is none of it, as from editors that end lines with CR LF.
        ("web", Account(8, 9, (9, 11), "/home/web")),
        ("", Account(0, 0, (0, 1234), "/root")),
        ("root", Account(0, 0, (0, 1234), "/root")),
        ("0", Account(0, 0, (0, 1234), "/root")),
        ("root:", Account(0, 0, (0, 1234), "/root")),
        ("adm", Account(42, 43, (43, 1234, 10, 999), "/var/adm")),
        ("adm:grp", Account(42, 1234, (1234,), "/var/adm")),
        ("adm:10", Account(42, 10, (10,), "/var/adm")),
        ("adm:77", Account(42, 77, (77,), "/var/adm")),
        # A number is an id, also where somebody has it for a name.
        ("111", Account(111, 112, (112,), "/home/odd")),
        ("111:444", Account(111, 444, (444,), "/home/odd")),
        ("222", Account(222, 333, (333, 555), "/var/garbage")),
        ("999", Account(999, 0, (0,), "/")),
        ("999:888", Account(999, 888, (888,), "/")),
        (":grp", Account(0, 1234, (1234,), "/root")),
        ("nohome", Account(50, 51, (51,), "/")),
    ],
)
def test_users_and_groups_are_those_of_the_image(user: str, account: Account) -> None:
    assert find_account(user, PASSWD, GROUP) == account


@pytest.mark.parametrize(
    ("user", "reason"),
    [
        ("nobody", "'nobody': the image's /etc/passwd has no user 'nobody'"),
        ("root:wheel", "'root:wheel': the image's /etc/group has no group 'wheel'"),
        ("+nis", "has no user '+nis'"),
        ("broken", "has no user 'broken'"),
        ("2147483648", "2147483648 is no id; they end at 2147483647"),
        ("0:4294967296", "4294967296 is no id"),
        ("-1", "has no user '-1'"),
    ],
)
def test_an_unknown_user_is_an_error_that_says_what_to_do(user: str, reason: str) -> None:
    with pytest.raises(UnknownUser) as caught:
        find_account(user, PASSWD, GROUP)
    assert reason in str(caught.value)
    assert "choose another with --user, or leave init out with --init none" in str(caught.value)


def test_ids_that_linux_cannot_hold_are_refused_wherever_they_come_from() -> None:
    """Also those of supplementary groups; what nobody is a member of harms nobody."""
    passwd = b"a:x:2147483648:1::/:\nb:x:1:4294967295::/:\nc:x:1:1::/:\n"
    for user, number in (("a", 2147483648), ("b", 4294967295), ("c", 4294967296)):
        with pytest.raises(UnknownUser, match=f"{number} is no id; they end at 2147483647"):
            find_account(user, passwd, b"big:x:4294967296:c\n")
    assert find_account("c", passwd, b"big:x:4294967296:other\n").groups == (1,)
    with pytest.raises(UnknownUser, match="99999999999"):
        find_account("99999999999", passwd, b"")


def test_more_groups_than_linux_takes_are_refused() -> None:
    groups = b"".join(b"g%d:x:%d:c\n" % (number, number) for number in range(65537))
    with pytest.raises(UnknownUser, match="is in 65537 groups of the image's /etc/group, and Linux takes 65536"):
        find_account("c", b"c:x:1:0::/:\n", groups)


@pytest.mark.heavy
@pytest.mark.parametrize(
    "filler", [b":", b",", b"\n", b"x,", b"\0"], ids=["colons", "commas", "lines", "names", "NULs"]
)
def test_a_long_line_takes_little_memory(filler: bytes) -> None:
    data = (filler * (1 << 20))[: (1 << 20) - 32] + b"\nc:x:1:2:a,c::\nd:x:3:4::/d:\n"
    tracemalloc.start()
    try:
        account = find_account("d", data, data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (account.uid, account.home) == (3, "/d")
    assert peak < 7 * len(data)


def test_an_image_without_the_files_knows_numbers_only() -> None:
    assert find_account("", b"", b"") == Account(0, 0, (0,), "/")
    assert find_account("1000:50", b"", b"") == Account(1000, 50, (50,), "/")


def test_names_that_are_no_utf8_are_found() -> None:
    passwd = b"j\xf6rg:x:5:6::/home/j\xf6rg:\n"
    account = find_account(b"j\xf6rg".decode("utf-8", "surrogateescape"), passwd, b"")
    assert account == Account(5, 6, (6,), b"/home/j\xf6rg".decode("utf-8", "surrogateescape"))


def test_a_line_with_a_nul_says_nothing() -> None:
    assert find_account("0", b"root:x:0:0::/ro\0ot:\n", b"") == Account(0, 0, (0,), "/")
