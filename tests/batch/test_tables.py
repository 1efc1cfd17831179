"""Lists of images as TOML: what tables may say, and that mistakes and hostile text are one line with their place."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from builder import BuildOptions
from builder.batch.entries import InvalidList
from builder.batch.images import Job, parse_list

DISKS = Path("disks")
LIST = """
[defaults]
free = "2M"
init = "none"

[[image]]
reference = "oci:a:1"

[[image]]
reference = "oci:b"
output = "sub/b"
format = "erofs"
free = 0
compress = "lz4hc:12"
max-entries = 5
no-store = true
check = false
remove = ["/etc/motd", "/tmp"]
add = "motd:/etc/"
"""
LINES = """
oci:a:1 free=2M init=none
oci:b output=sub/b format=erofs free=0 compress=lz4hc:12 max-entries=5 no-store=yes check=no remove=/etc/motd \
 remove=/tmp add=motd:/etc/ init=none
"""


def jobs(text: str, name: str = "list.toml") -> list[Job]:
    return parse_list(text, name, DISKS, BuildOptions())


def test_tables_say_what_lines_say() -> None:
    lines = [replace(job, line=number) for number, job in enumerate(jobs(LINES, "list"), start=1)]
    assert jobs(LIST) == lines


def test_tables_are_known_by_the_suffix_or_by_the_first_of_them() -> None:
    assert jobs("# images\n\n" + LIST, "<stdin>") == jobs(LIST)
    assert jobs("", "images.toml") == []
    with pytest.raises(InvalidList, match=r"^images\.toml: it is no TOML: "):
        jobs("oci:a:1", "images.toml")


def test_options_of_build_alone_may_be_said_of_one_image() -> None:
    (job,) = jobs('[[image]]\nreference="oci:a"\ndepfile="a.d"\nmetadata-file="m.json"')
    assert (job.options.depfile, job.options.metadata_file) == (Path("a.d"), Path("m.json"))


IMAGE = '[[image]]\nreference = "oci:a"\n'
MISTAKES = [
    ("[[image]]", "l.toml [[image]] 1: it names no image; write reference = "),
    (f"{IMAGE}[[image]]\nsize = 3", "l.toml [[image]] 2: it names no image"),
    ("[[image]]\nreference = 3", "l.toml [[image]] 1: reference is no text; write it in quotes"),
    (f"{IMAGE}output = true", "l.toml [[image]] 1: output is no text"),
    (f"{IMAGE}colour = 'red'", "l.toml [[image]] 1: 'colour' is no option; there are reference, output, format, "),
    (f"{IMAGE}working_dir = '/'", "l.toml [[image]] 1: 'working_dir' is no option; did you mean working-dir?"),
    (f"{IMAGE}size = 'huge'", "l.toml [[image]] 1: size: 'huge' is not a size"),
    (f"{IMAGE}size = 1.5", "l.toml [[image]] 1: size: is no value of an option"),
    (f"{IMAGE}size = 2024-01-01", "l.toml [[image]] 1: size: is no value of an option"),
    (f"{IMAGE}size = ['1G']", "l.toml [[image]] 1: size: is no value of an option"),
    (f"{IMAGE}size = {{a = 1}}", "l.toml [[image]] 1: size: is no value of an option"),
    (f"{IMAGE}cmd = [['a']]", "l.toml [[image]] 1: cmd: is no value of an option"),
    (f"{IMAGE}journal = 'maybe'", "l.toml [[image]] 1: journal: 'maybe' is neither yes nor no"),
    (f"[defaults]\noutput = 'a'\n{IMAGE}", "l.toml [defaults]: 'output' is no option; there are format, "),
    (f"[defaults]\nsize = 'x'\n{IMAGE}", "l.toml [defaults]: size: 'x' is not a size"),
    (f"[images]\n{IMAGE}", "l.toml: 'images' is none of its tables; write [[image]] and [defaults]"),
    ("image = 3", "l.toml: image is no list of tables; write [[image]] above each"),
    ("[image]\nreference = 'a'", "l.toml: image is no list of tables; write [[image]] above each"),
    (f"defaults = 3\n{IMAGE}", "l.toml: defaults is no table; write [defaults] above what is meant for all"),
    (IMAGE + IMAGE, "l.toml [[image]] 2: writes disks/a.ext4, and so does [[image]] 1; give one of them output=NAME"),
    (f"{IMAGE}output = '../x'", "l.toml [[image]] 1: output=../x is not a path below the output directory"),
    (f"{IMAGE}size = ", "l.toml: it is no TOML: 'Invalid value (at "),
    # What is made to harm.
    (f"{IMAGE}size = {'[' * 100_000}", "l.toml: its values are nested too deep"),
    (f"{IMAGE}size = {'{a=' * 100_000}", "l.toml: its values are nested too deep"),
    # Read all the same, these would take tens of gigabytes.
    (f"{IMAGE}{'a.' * 100_000}b = 1", "l.toml: its values are nested too deep"),
    (f"""{IMAGE}{"'a' . " * 100_000}b = 1""", "l.toml: its values are nested too deep"),
    ("[" + '"\\"".' * 100_000 + "b]", "l.toml: its values are nested too deep"),
    (f"{IMAGE}{'a.' * 15}a = 1", "l.toml [[image]] 1: 'a' is no option"),
    # Nor may the look for those take long.
    (f"{IMAGE}{' ' * 4_000_000}b", "l.toml: it is no TOML: "),
    (f"{IMAGE}size = {'9' * 10_000}", "l.toml: it is no TOML: "),
    (f"{IMAGE}size = 0x{'f' * 100_000}", "l.toml [[image]] 1: size: is no value of an option"),
    (f'{IMAGE}label = "a\\u0000"', "l.toml [[image]] 1: label: is no value of an option"),
    ('[[image]]\nreference = "oci:a\\u0000"', "l.toml [[image]] 1: reference is no text"),
    (f'{IMAGE}output = "a\\u0000"', "l.toml [[image]] 1: output is no text"),
    ("#" + "a" * (5 << 20), "l.toml: it is larger than 4 MiB; split it"),
]


@pytest.mark.parametrize(("text", "said"), MISTAKES, ids=[str(number) for number in range(len(MISTAKES))])
def test_mistakes_are_one_line_that_names_file_and_table(text: str, said: str) -> None:
    with pytest.raises(InvalidList) as caught:
        jobs(text, "l.toml")
    message = str(caught.value)
    assert message.startswith(said)
    assert message.isprintable()
    assert len(message) < 1500
