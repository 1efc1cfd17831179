"""What runs: the config, what the user says instead, and the defaults of a container."""

from __future__ import annotations

from dataclasses import replace

import pytest

from builder.errors import UnsupportedImage, UsageError
from builder.guest.description import Description
from builder.guest.facts import Resolved
from builder.guest.options import GuestOptions
from builder.guest.process import DEFAULT_PATH, NothingToRun, describe_process, plan_process
from builder.guest.users import find_account
from builder.image.config import ImageConfig

PASSWD = b"root:x:0:0::/root:\nnginx:x:101:102::/var/cache/nginx:\n"
GROUP = b"nginx:x:102:\nlogs:x:7:nginx\n"
CONFIG = ImageConfig(
    "linux",
    "amd64",
    (),
    entrypoint=("/entry", "-v"),
    cmd=("nginx", "-g", "daemon off;"),
    env=("A=1", "PATH=/bin", "A=2", "EMPTY=", "BARE"),
    working_dir="srv",
    user="nginx",
    volumes=("/data", "log", "n\0l"),
    stop_signal="SIGQUIT",
)
NOTHING = ImageConfig("linux", "amd64", ())


def described(config: ImageConfig = CONFIG, **overrides: object) -> Description:
    process = plan_process(config, GuestOptions(**overrides), "image")  # type: ignore[arg-type]
    account = find_account(process.user, PASSWD, GROUP)
    found = Resolved(account.uid, account.gid, account.groups, account.home, "vm", process.stop, False, ())
    return describe_process(process, found)


def test_the_config_says_what_runs() -> None:
    assert described() == Description(
        entrypoint=("/entry", "-v"),
        cmd=("nginx", "-g", "daemon off;"),
        env=("HOME=/var/cache/nginx", "HOSTNAME=vm", "PATH=/bin", "A=2", "EMPTY=", "BARE"),
        cwd="/srv",
        volumes=("/data", "/log"),
        uid=101,
        gid=102,
        groups=(102, 7),
        stop=3,
        hostname="vm",
    )


def test_what_an_image_does_not_say_is_as_in_a_container() -> None:
    assert described(replace(NOTHING, cmd=("sh",))) == Description(
        cmd=("sh",), env=("HOME=/root", "HOSTNAME=vm", f"PATH={DEFAULT_PATH}"), groups=(0,), hostname="vm"
    )


def test_a_users_entrypoint_takes_the_place_of_cmd_too() -> None:
    assert described(entrypoint=("/bin/sh",)).argv == ("/bin/sh",)
    assert described(entrypoint=("/bin/sh",), cmd=("-c", "id")).argv == ("/bin/sh", "-c", "id")
    assert described(cmd=("id",)).argv == ("/entry", "-v", "id")
    assert described(entrypoint=(), cmd=("id",)).argv == ("id",)


@pytest.mark.parametrize("entrypoint", [(), ("",)])
def test_an_empty_entrypoint_clears_the_images(entrypoint: tuple[str, ...]) -> None:
    assert described(entrypoint=entrypoint, cmd=("id",)).entrypoint == ()
    with pytest.raises(NothingToRun):
        described(entrypoint=entrypoint)
    # An image may have one, too.
    assert described(replace(CONFIG, entrypoint=("",))).argv == ("nginx", "-g", "daemon off;")


@pytest.mark.parametrize(
    ("said", "found"),
    [("", "/"), ("/", "/"), ("srv", "/srv"), ("//srv//x/", "/srv/x"), ("/a/./b/../c", "/a/c"), ("/../..", "/")],
)
def test_a_working_directory_is_absolute_and_clean(said: str, found: str) -> None:
    assert described(replace(CONFIG, working_dir=said)).cwd == found
    assert described(working_dir=said or "/").cwd == found


@pytest.mark.parametrize("place", ["/" + "x" * 256, "/x" * 2049, "\0", "/bin/.wh.sh", "/bin/.wh..wh..opq"])
def test_a_working_directory_that_linux_cannot_hold_is_refused(place: str) -> None:
    with pytest.raises(UsageError, match="the working directory '/"):
        described(working_dir=place)
    with pytest.raises(
        UnsupportedImage, match=r"image: the working directory .*; name another with --working-dir, or l"
    ):
        described(replace(CONFIG, working_dir=place))


def test_a_stop_signal_of_the_image_that_is_none_says_what_to_do() -> None:
    config = replace(CONFIG, stop_signal="SIGNOTHING")
    with pytest.raises(
        UnsupportedImage, match=r"'SIGNOTHING' is not a signal; .*; name another with --stop-signal, or"
    ):
        described(config)
    assert described(config, stop_signal="rtmin+3").stop == 37


def test_half_a_character_of_a_config_is_none_as_for_other_tools() -> None:
    found = described(replace(CONFIG, cmd=("\ud800", "\udcff"), env=("A=\udfff",), user="0"))
    assert (found.cmd, found.env[-1]) == (("\ufffd", "\ufffd"), "A=\ufffd")
    assert b"cmd=\xef\xbf\xbd\0" in found.encode()


def test_arguments_of_any_size_and_bytes_arrive_in_the_description() -> None:
    cmd = ("/app", "", "a\nb", "'\"\\", "\udcff", "x" * 100_000, *map(str, range(2000)))
    found = described(entrypoint=(), cmd=cmd, env=("V=" + "y" * 100_000, "N=1\n2"))
    strings = found.encode().split(b"\0")
    assert strings[1 : len(cmd) + 1] == [b"cmd=" + word.encode("utf-8", "surrogateescape") for word in cmd]
    assert {b"env=N=1\n2", b"env=V=" + b"y" * 100_000} <= set(strings)


def test_overrides_count_before_the_config() -> None:
    found = described(env=("A=3", "B=4"), user="root", working_dir="/x/y", stop_signal="HUP")
    assert found.env == ("HOME=/root", "HOSTNAME=vm", "PATH=/bin", "A=3", "EMPTY=", "BARE", "B=4")
    assert (found.uid, found.gid, found.groups, found.cwd, found.stop) == (0, 0, (0,), "/x/y", 1)


def test_an_image_with_nothing_to_run_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(NothingToRun, match="say what to run with --cmd, or leave init out with --init none"):
        described(NOTHING)


def test_a_description_is_strings_with_a_beginning_and_an_end() -> None:
    description = Description(("a",), ("b c", ""), ("X=1\n2",), "/", 1, 2, (2, 3), 9, True, "h", "1\tx\n", True, "")
    assert description.encode().split(b"\0") == [
        b"rootfs-builder 2",
        *(b"entrypoint=a", b"cmd=b c", b"cmd=", b"env=X=1\n2", b"group=2", b"group=3"),
        *(b"cwd=/", b"uid=1", b"gid=2", b"stop=9", b"takeover=yes", b"hostname=h"),
        *(b"hosts=1\tx\n", b"hostname-file=yes", b"resolver=", b"end", b""),
    ]


def test_a_description_holds_no_nul() -> None:
    with pytest.raises(ValueError, match="no NUL"):
        Description(cmd=("a\0b",)).encode()
