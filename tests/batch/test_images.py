"""Lists of images: what a line may say, and that mistakes are found before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.batch.entries import InvalidList
from builder.batch.images import parse_list
from builder.disk.filesystem import Compression, DiskOptions
from builder.image.platform import Platform
from builder.options import BuildOptions

DISKS = Path("disks")


def outputs(text: str, defaults: BuildOptions | None = None) -> list[str]:
    return [str(job.output) for job in parse_list(text, "list", DISKS, defaults or BuildOptions())]


def test_comments_and_empty_lines_are_no_images() -> None:
    assert outputs("# images\n\n   \noci:web:1.0  # the site\n\t# end") == ["disks/web-1.0.ext4"]


def test_a_hash_inside_a_word_is_no_comment() -> None:
    assert outputs("oci:we#b:1 output=a#b") == ["disks/a#b.ext4"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("oci:a output='b #1' # 'c", "b #1"),
        ("oci:a output=b\\ #1 # it's \\", "b #1"),
        (r'''oci:a output="b \" #1" # "''', 'b " #1'),
        ("oci:a output=b'\\' #1'", "b\\"),
    ],
)
def test_a_hash_in_quotes_is_no_comment_and_quotes_in_a_comment_are_none(line: str, words: str) -> None:
    assert outputs(line) == [f"disks/{words}.ext4"]


def test_disks_are_named_after_place_tag_and_asked_for_architecture() -> None:
    text = """
    oci:images/alpine:3.20
    oci:images/alpine:3.20 platform=linux/arm64
    oci:images/alpine:3.20 platform=linux/arm/v7 format=erofs
    oci-archive:/srv/app.tar
    docker-archive:saved.tar:example.com/team/app:2
    """
    assert outputs(text) == [
        "disks/alpine-3.20.ext4",
        "disks/alpine-3.20-arm64.ext4",
        "disks/alpine-3.20-arm-v7.erofs",
        "disks/app.ext4",
        "disks/saved-example.com-team-app-2.ext4",
    ]


def test_two_disks_are_not_pushed_to_the_same_tag(home: Path) -> None:
    """Only the last would stay there, and all would be said to be well."""
    tag = "docker://registry.example/disks:1"
    for text, defaults in (
        ("oci:a\noci:b", BuildOptions(push=tag)),
        (f"oci:a push={tag}\noci:b push={tag}", BuildOptions()),
    ):
        with pytest.raises(
            InvalidList, match=r"list line 2: pushes to registry.example/disks:1, .* so does line 1; give"
        ):
            outputs(text, defaults)
    assert len(outputs(f"oci:a push={tag}\noci:b push={tag}.2\noci:c\noci:d")) == 4


@pytest.mark.parametrize(
    "push", ["oci:layout:1", "docker://registry.example/disks", "docker://registry.example/UPPER:1"]
)
def test_where_no_disk_can_go_is_found_before_anything_starts(home: Path, push: str) -> None:
    with pytest.raises(InvalidList, match=r"list line 2: image reference"):
        outputs(f"oci:a\noci:b push={push}")


def test_a_line_overrides_the_defaults() -> None:
    defaults = BuildOptions(format="erofs", disk=DiskOptions(label="all", free=1))
    line = "oci:web platform=linux/arm64 format=ext4 size=1G free=2M inodes=5000 journal=no label=web output=sub/w"
    (job,) = parse_list(line, "list", DISKS, defaults)
    assert job.output == DISKS / "sub/w.ext4"
    assert job.options == BuildOptions(
        platform=Platform("linux", "arm64"),
        format="ext4",
        disk=DiskOptions(size=1 << 30, free=2 << 20, inodes=5000, journal=False, label="web"),
        metadata_file=DISKS / "sub/w.ext4.json",
    )


def test_erofs_options_may_stand_on_a_line() -> None:
    (job,) = parse_list(
        "oci:web output=w.erofs compress=zstd:5 dedupe=yes fragments=yes", "list", DISKS, BuildOptions()
    )
    assert job.options.format == "erofs"
    assert job.options.disk == DiskOptions(compress=Compression("zstd", 5), dedupe=True, fragments=True)


def test_an_output_says_its_format_as_that_of_a_build_does() -> None:
    jobs = parse_list("oci:a output=a.erofs.img\noci:b output=b.img", "list", DISKS, BuildOptions())
    assert [(str(job.output), job.options.format) for job in jobs] == [
        ("disks/a.erofs.img", "erofs"),
        ("disks/b.img.ext4", "ext4"),
    ]


def test_two_names_of_one_file_are_found(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with pytest.raises(InvalidList, match=r"line 2: .* so does line 1"):
        parse_list("oci:a output=real/x\noci:a output=link/x", "list", tmp_path, BuildOptions())


def test_only_a_newline_ends_a_line() -> None:
    (job,) = parse_list("'oci:a\u2028b' output=x", "list", DISKS, BuildOptions())
    assert job.reference == "oci:a\u2028b"


def test_words_may_be_quoted() -> None:
    assert outputs("'oci:my images:1' output='my disk'") == ["disks/my disk.ext4"]


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("oci:a\noci:b size=huge", 2, "'huge' is not a size"),
        ("oci:a colour=red", 1, "'colour=red' is no option; write KEY=VALUE (there are output, format, "),
        ("oci:a fre=1M", 1, "'fre=1M' is no option; write KEY=VALUE (did you mean free or force?)"),
        ("oci:a --free 1M", 1, "'--free' is no option; write KEY=VALUE (did you mean free?)"),
        ("oci:a working_dir=/", 1, "'working_dir=/' is no option; write KEY=VALUE (did you mean working-dir?)"),
        ("oci:a size", 1, "size has no value; write size=VALUE"),
        ("oci:a size=1 size=2", 1, "size is given twice"),
        ("oci:a output=x output=y", 1, "output is given twice"),
        ("oci:a output=../x", 1, "not a path below the output directory"),
        ("oci:a output=/etc/x", 1, "not a path below the output directory"),
        ("oci:a output=", 1, "not a path below the output directory"),
        ("oci:a output=x.erofs format=ext4", 1, "says erofs, format=ext4 something else"),
        ("oci:a depfile=-", 1, "'-' is no stream here"),
        ("oci:a journal=maybe", 1, "neither yes nor no"),
        ("oci:a 'unclosed", 1, "quote words as in a shell"),
        ("nope:a", 1, "no transport of that name"),
        ("oci:a\n\n# twice\noci:a", 4, "writes disks/a.ext4, and so does line 1"),
        ("oci:a\noci:b output=sub/../a", 2, "below the output directory"),
        ("oci:a\noci:b output=./a", 2, "and so does line 1"),
        ("oci:a\noci:b output=a.ext4", 2, "and so does line 1"),
        ("oci:a\noci:b output=a.ext4/x/b", 2, "and line 1 a file"),
        ("oci:a output=b.ext4.json/a\noci:b", 1, "and line 2 a file"),
        (f"# {'x' * (1 << 17)}\noci:a env=A={'x' * (1 << 17)}", 2, "it is longer than 128 KiB"),
    ],
)
def test_mistakes_are_named_with_their_line(text: str, line: int, reason: str) -> None:
    with pytest.raises(InvalidList) as caught:
        parse_list(text, "images.txt", DISKS, BuildOptions())
    assert caught.value.place == f"line {line}"
    assert reason in str(caught.value)
    assert str(caught.value).startswith(f"images.txt line {line}: ")
