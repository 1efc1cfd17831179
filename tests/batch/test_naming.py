"""How disks are called: by a template whose fields are said by the image, never out of their directory."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder import BuildOptions
from builder.batch.entries import InvalidList
from builder.batch.images import parse_list
from builder.batch.naming import Template
from builder.errors import UsageError

DIGEST = "sha256:" + "0123456789abcdef" * 4


def named(lines: str, template: str) -> list[str]:
    jobs = parse_list(lines, "list", Path("disks"), BuildOptions(), Template(template))
    return [str(job.output) for job in jobs]


def test_fields_are_what_the_image_and_its_line_say() -> None:
    lines = """
    oci:images/alpine:3.20 platform=linux/arm64
    docker://registry.example:5000/team/app platform=linux/arm/v7 format=erofs
    store:busybox:1.36 platform=linux/amd64
    docker-archive:saved.tar:example.com/team/app:2 platform=linux/amd64
    """
    assert named(lines, "{arch}/{name}-{tag}.{format}") == [
        "disks/arm64/alpine-3.20.ext4",
        "disks/arm-v7/app-latest.erofs",
        "disks/amd64/busybox-1.36.ext4",
        "disks/amd64/saved-example.com-team-app-2.ext4",
    ]
    assert named(f"docker://app@{DIGEST}\noci:layout@{DIGEST}", "{name}-{digest}") == [
        "disks/app-0123456789ab.ext4",
        "disks/layout-0123456789ab.ext4",
    ]
    assert named("containers-storage:[overlay@/srv/store]localhost/app:1", "{name}-{tag}") == ["disks/app-1.ext4"]


def test_braces_may_stand_for_themselves_and_output_has_the_last_word() -> None:
    assert named("oci:a:1 output=mine\noci:b:1", "{{{name}}}") == ["disks/mine.ext4", "disks/{b}.ext4"]


@pytest.mark.parametrize("template", ["{nmae}", "{}", "{name", "name}", "{name!r}", "{name:>99999999}", "{0}"])
def test_what_is_no_field_is_refused_with_those_that_are(template: str) -> None:
    with pytest.raises(UsageError, match=r"is no field; there are \{name\}, .*, \{format\}$"):
        Template(template)


@pytest.mark.parametrize(
    ("line", "template", "reason"),
    [
        ("oci:a", "{name}-{tag}", r"line 1: --name asks for \{tag\}, and oci:a names none; say output=NAME"),
        ("oci:a:1", "{digest}", r"asks for \{digest\}"),
        ("oci:a:1", "../{name}", "is not a path below the output directory"),
        ("oci:a:1", "/{name}", "is not a path below the output directory"),
        ("oci:a:1 format=ext4", "{name}.erofs", "--name=a.erofs says erofs, format=ext4 something else"),
        ("oci:a:1\noci:b:1", "{tag}", "line 2: writes disks/1.ext4, and so does line 1; give one of them output=NAME"),
    ],
)
def test_names_that_cannot_be_are_refused(line: str, template: str, reason: str) -> None:
    with pytest.raises(InvalidList, match=reason):
        named(line, template)


def test_no_tag_leads_out_of_the_directory() -> None:
    assert named("'oci:a:../../etc/passwd'", "{tag}") == ["disks/etc-passwd.ext4"]
