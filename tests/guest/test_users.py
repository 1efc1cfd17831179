"""Whom a process runs as, as runc's own table of cases has it, and what the image's files may look like."""

from __future__ import annotations

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
"""
GROUP = b"""\
root:x:0:root
adm:x:43:
grp:x:1234:root,adm,user7456
444:x:555:111
odd:x:444:
several:x:10:adm,
"""


@pytest.mark.parametrize(
    ("user", "account"),
    [
        ("", Account(0, 0, (0, 1234), "/root")),
        ("root", Account(0, 0, (0, 1234), "/root")),
        ("0", Account(0, 0, (0, 1234), "/root")),
        ("root:", Account(0, 0, (0, 1234), "/root")),
        ("adm", Account(42, 43, (43, 1234, 10), "/var/adm")),
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


def test_an_image_without_the_files_knows_numbers_only() -> None:
    assert find_account("", b"", b"") == Account(0, 0, (0,), "/")
    assert find_account("1000:50", b"", b"") == Account(1000, 50, (50,), "/")


def test_names_that_are_no_utf8_are_found() -> None:
    passwd = b"j\xf6rg:x:5:6::/home/j\xf6rg:\n"
    account = find_account(b"j\xf6rg".decode("utf-8", "surrogateescape"), passwd, b"")
    assert account == Account(5, 6, (6,), b"/home/j\xf6rg".decode("utf-8", "surrogateescape"))


def test_a_line_with_a_nul_says_nothing() -> None:
    assert find_account("0", b"root:x:0:0::/ro\0ot:\n", b"") == Account(0, 0, (0,), "/")
