"""What a process sees is what the image's config and the user say of it: built by the command, and run by init.

No machine makes a difference here, so init is process 1 of a namespace; tests/boot has machines.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from support import tars
from support.guests import build, image
from support.init_machine import console, ended, machine, start, stopped
from support.mounts import mounted

pytestmark = pytest.mark.root

LOOK = b"""\
#!/bin/sh
[ $# = 0 ] || printf 'argument <%s>\\n' "$@"
echo "user $(id -u):$(id -g), groups $(id -G)"
echo "in $(pwd)"
[ "${A-unset}" = unset ] || echo "A=<$A>"
"""
PROGRAMS = {
    "bin/look": LOOK,
    "srv/app": b"#!/bin/sh -e\necho the application, in $(pwd)\n",
    "bin/words": b"#!/bin/sh\necho $# words, ${#A} bytes\n",
    "bin/home": b"#!/bin/sh\necho $HOME $HOSTNAME $PATH\n",
    "bin/no-interpreter": b"echo run by nobody\n",
    "bin/lost-interpreter": b"#!/bin/lost\n",
    "bin/empty": b"",
}
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SAY = "rootfs-builder init: "


def place_disk(place: Path, config: Mapping[str, object], words: Sequence[str]) -> bytes:
    """Build a disk, make a root with its init and programs, and return its description."""
    members = [tars.file(name, content, mode=0o755) for name, content in PROGRAMS.items()]
    disk = build(image(place / "image", config, *members), place / "disk.ext4", "--no-check", *words)
    home = place / "root/.rootfs-builder"
    home.mkdir(parents=True)
    machine(place)
    with mounted(disk) as mount:
        for name in ("init", *(f"../{path}" for path in PROGRAMS)):
            target = home / name
            target.parent.mkdir(exist_ok=True)
            target.write_bytes((mount / ".rootfs-builder" / name).read_bytes())
            target.chmod(0o755)
        return (mount / ".rootfs-builder/description").read_bytes()


def seen(place: Path, config: Mapping[str, object], words: Sequence[str]) -> list[str]:
    """Build and run; return the lines of the console, the last of which is the status."""
    with start(place, place_disk(place, config, words)) as process:
        process.wait(60)
    return console(place)


@pytest.mark.parametrize(
    ("user", "words", "ids"),
    [
        ("", (), "0:0, groups 0"),
        ("root", (), "0:0, groups 0"),
        ("web", (), "1000:1001, groups 1001 7"),
        ("1000", (), "1000:1001, groups 1001 7"),
        ("web:logs", (), "1000:7, groups 7"),
        ("web:7", (), "1000:7, groups 7"),
        ("1000:logs", (), "1000:7, groups 7"),
        ("1000:1001", (), "1000:1001, groups 1001"),
        ("12345", (), "12345:0, groups 0"),
        ("12345:54321", (), "12345:54321, groups 54321"),
        ("web", ("--user", "root"), "0:0, groups 0"),
        ("nobody-knows-it", ("--user", "2147483647:2147483647"), "2147483647:2147483647, groups 2147483647"),
    ],
)
def test_the_user_is_the_configs_in_every_form(tmp_path: Path, user: str, words: Sequence[str], ids: str) -> None:
    assert seen(tmp_path, {"Cmd": ["look"], "User": user}, words) == [f"user {ids}", "in /", ended(0)]


ODD = ["new\nline", "quote\"'`", "tab\t", "", "100 %41", "$HOME", "back\\slash", "*", "caf\u00e9 \U0001f680"]


@pytest.mark.parametrize(
    ("config", "words", "arguments"),
    [
        ({"Entrypoint": ["look"]}, (), []),
        ({"Cmd": ["look", "a b"]}, (), ["a b"]),
        ({"Entrypoint": ["look", "x"], "Cmd": ["a b", ""]}, (), ["x", "a b", ""]),
        ({"Entrypoint": ["/bin/look"], "Cmd": ODD}, (), ODD),
        ({"Cmd": ["/bin/sh", "-c", 'exec look in the "shell\'s form"']}, (), ["in", "the", "shell's form"]),
        ({"Entrypoint": ["false"], "Cmd": ["x"]}, ("--entrypoint", "look 'a b' c"), ["a b", "c"]),
        ({"Entrypoint": ["false"], "Cmd": ["x"]}, ("--entrypoint", '["look", "[a]"]', "--cmd", "y"), ["[a]", "y"]),
        ({"Entrypoint": ["false"], "Cmd": ["x"]}, ("--entrypoint", "", "--cmd", "look z"), ["z"]),
        ({"Entrypoint": ["look"], "Cmd": ["x"]}, ("--cmd", '["--flag=v", "two words"]'), ["--flag=v", "two words"]),
    ],
)
def test_entrypoint_and_cmd_are_the_arguments(
    tmp_path: Path, config: Mapping[str, object], words: Sequence[str], arguments: list[str]
) -> None:
    shown = "\n".join(f"argument <{argument}>" for argument in arguments).split("\n") if arguments else []
    assert seen(tmp_path, config, words) == [*shown, "user 0:0, groups 0", "in /", ended(0)]


@pytest.mark.parametrize(
    ("env", "words", "value"),
    [
        (["A=1", "A=2"], (), "2"),
        (["A="], (), ""),
        (["A=x=y"], (), "x=y"),
        (["A=two\nlines 'and' \"quotes\" $HOME"], (), "two\nlines 'and' \"quotes\" $HOME"),
        (["A=1"], ("--env", "A=said last", "--env", "B=3"), "said last"),
    ],
)
def test_variables_are_the_configs_and_the_last_of_a_name_counts(
    tmp_path: Path, env: list[str], words: Sequence[str], value: str
) -> None:
    config = {"Cmd": ["look"], "Env": ["PATH=/bin", *env]}
    assert seen(tmp_path, config, words) == ["user 0:0, groups 0", "in /", *f"A=<{value}>".split("\n"), ended(0)]


def test_many_arguments_and_long_variables_arrive(tmp_path: Path) -> None:
    config = {"Entrypoint": ["words"], "Cmd": ["w"] * 2000, "Env": ["PATH=/bin", "A=" + "v" * 100_000]}
    assert seen(tmp_path, config, ()) == ["2000 words, 100000 bytes", ended(0)]


@pytest.mark.parametrize(
    ("config", "words", "line"),
    [
        ({"Env": []}, (), f"/root localhost {DEFAULT_PATH}"),
        ({"Env": [], "User": "web"}, (), f"/home/web localhost {DEFAULT_PATH}"),
        ({"Env": [], "User": "12345"}, ("--hostname", "vm"), f"/ vm {DEFAULT_PATH}"),
        ({"Env": ["HOME=/own", "HOSTNAME=own", "PATH=/usr/bin:/bin"]}, (), "/own own /usr/bin:/bin"),
    ],
)
def test_what_no_config_says_is_as_in_a_container(
    tmp_path: Path, config: Mapping[str, object], words: Sequence[str], line: str
) -> None:
    assert seen(tmp_path, {"Cmd": ["/bin/home"], **config}, words) == [line, ended(0)]


@pytest.mark.parametrize(
    ("config", "words", "line"),
    [
        ({"WorkingDir": "/srv"}, ("--cmd", "./app"), "the application, in /srv"),
        ({"WorkingDir": "/srv/../srv/."}, ("--cmd", "/srv/app"), "the application, in /srv"),
        (
            {"WorkingDir": "/made/when it is/missing"},
            ("--cmd", "/srv/app"),
            "the application, in /made/when it is/missing",
        ),
        ({"WorkingDir": "/bin"}, ("--cmd", "../srv/app", "--working-dir", "/etc"), "the application, in /etc"),
        ({"WorkingDir": "relative"}, ("--cmd", "/srv/app"), "the application, in /relative"),
    ],
)
def test_the_process_starts_in_its_working_directory(
    tmp_path: Path, config: Mapping[str, object], words: Sequence[str], line: str
) -> None:
    assert seen(tmp_path, config, words) == [line, ended(0)]


@pytest.mark.parametrize(
    ("command", "said", "status"),
    [
        (["sh", "-c", "exit 3"], [], 3),
        (["sh", "-c", "kill -9 $$"], [], 137),
        (["sh", "-c", "kill -TERM $$"], [], 143),
        (["nowhere"], [f"{SAY}nowhere is not in the image, in no directory of its PATH"], 127),
        (["/bin/nowhere"], [f"{SAY}/bin/nowhere is not in the image"], 127),
        (["/bin"], [f"{SAY}/bin cannot be run: Permission denied"], 126),
        (["/etc/passwd"], [f"{SAY}/etc/passwd cannot be run: Permission denied"], 126),
        (["no-interpreter"], [f"{SAY}no-interpreter cannot be run: it is no program of this machine"], 126),
        (["empty"], [f"{SAY}empty cannot be run: it is no program of this machine"], 126),
        (
            ["/bin/lost-interpreter"],
            [f"{SAY}/bin/lost-interpreter cannot be run: the interpreter that it names is not in the image"],
            127,
        ),
    ],
)
def test_the_status_is_the_processs_or_says_why_there_is_none(
    tmp_path: Path, command: list[str], said: list[str], status: int
) -> None:
    assert seen(tmp_path, {"Cmd": command}, ()) == [*said, ended(status)]


@pytest.mark.parametrize(
    ("signal", "words", "trapped"),
    [("SIGQUIT", (), "QUIT"), ("3", (), "QUIT"), ("usr1", (), "USR1"), ("SIGTERM", ("--stop-signal", "HUP"), "HUP")],
)
def test_a_wish_to_stop_is_the_configs_signal(tmp_path: Path, signal: str, words: Sequence[str], trapped: str) -> None:
    script = f"trap 'echo asked; exit 5' {trapped}; echo ready; while :; do sleep 0.1; done"
    description = place_disk(tmp_path, {"Cmd": ["sh", "-c", script], "StopSignal": signal}, words)
    lines, _ = stopped(tmp_path, description, "", 30)  # SIGPWR
    assert lines == ["ready", "asked", ended(5)]
