"""What is said of a guest is checked alike, on the command line, in lists and in Python."""

from __future__ import annotations

import pytest

from builder.errors import UsageError
from builder.guest.options import GuestOptions, parse_command


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ()),
        ("[]", ()),
        ("sh -c 'a b' \"\"", ("sh", "-c", "a b", "")),
        ('["/a b", "", "\\n"]', ("/a b", "", "\n")),
        ('["\\udcff"]', ("\udcff",)),
        ("a\\ b #c", ("a b", "#c")),
    ],
)
def test_a_command_is_words_or_an_array(text: str, words: tuple[str, ...]) -> None:
    assert parse_command(text) == words


@pytest.mark.parametrize(
    "text", ["'", "[", "[1]", '["a", null]', '["a\\u0000"]', "a\0b", '["\\ud800"]', "[" * 3000, '["a"]x'], ids=repr
)
def test_what_is_no_command_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_command(text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


def test_python_says_it_as_the_command_line_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HERE", "there")
    said = GuestOptions(cmd=("a b", "\udcff"), env=("HERE", "A=1"), stop_signal="term", dns=("::2",), user="")
    assert said.decided() == GuestOptions(
        cmd=("a b", "\udcff"), env=("HERE=there", "A=1"), stop_signal="term", dns=("::2",), user=""
    )
    assert said.decided().decided() == said.decided()


@pytest.mark.parametrize(
    "said",
    [
        GuestOptions(cmd=("a\0",)),
        GuestOptions(cmd=("\ud800",)),
        GuestOptions(env=("A=\0",)),
        GuestOptions(env=("=x",)),
        GuestOptions(user="\0"),
        GuestOptions(working_dir="/\0"),
        GuestOptions(stop_signal="SIGNOTHING"),
        GuestOptions(hostname="no name"),
        GuestOptions(dns=("127.0.0.53",)),
        GuestOptions(dns=("::ffff:127.0.0.1",)),
        GuestOptions(dns=("0.0.0.0",)),
        GuestOptions(dns=("fe80::1%eth0\nsearch evil",)),
        GuestOptions(add_host=("x",)),
        GuestOptions(add_host=("a:fe80::1%x\n10.0.0.1 bank",)),
        GuestOptions(add_host=("a:]]10.0.0.1[[",)),
    ],
    ids=str,
)
def test_python_is_told_of_the_same_mistakes(said: GuestOptions) -> None:
    with pytest.raises(UsageError):
        said.decided()


def test_addresses_may_have_brackets_and_scopes() -> None:
    said = GuestOptions(dns=("fe80::1%eth0",), add_host=("a:[::1]", "b:::1", "c:10.0.0.1"))
    assert said.decided() == said
