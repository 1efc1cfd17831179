from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.errors import UsageError
from builder.image.platform import Platform

words = st.text("AZaz09_.-", min_size=1, max_size=8)
architectures = st.one_of(words, st.sampled_from(["amd64", "arm64", "arm", "armhf", "x86_64", "aarch64"]))
variants = st.one_of(words, st.sampled_from(["", "1", "v1", "v2", "v6", "7", "v7", "8.0", "v8", "v8.6", "9", "v9.1"]))
platforms = st.builds(Platform, words, architectures, st.none() | variants)


@pytest.mark.parametrize(
    ("text", "platform"),
    [
        ("linux/amd64", Platform("linux", "amd64")),
        ("Linux/AMD64", Platform("linux", "amd64")),
        ("linux/x86_64", Platform("linux", "amd64")),
        ("linux/x86-64", Platform("linux", "amd64")),
        ("linux/amd64/v1", Platform("linux", "amd64")),
        ("linux/amd64/V3", Platform("linux", "amd64", "v3")),
        ("linux/i386", Platform("linux", "386")),
        ("linux/i686", Platform("linux", "386")),
        ("linux/arm64", Platform("linux", "arm64")),
        ("linux/aarch64", Platform("linux", "arm64")),
        ("linux/arm64/v8", Platform("linux", "arm64")),
        ("linux/arm64/8", Platform("linux", "arm64")),
        ("linux/arm64/v8.0", Platform("linux", "arm64")),
        ("linux/arm64/v8.2", Platform("linux", "arm64", "v8.2")),
        ("linux/arm64/9.0", Platform("linux", "arm64", "v9")),
        ("linux/arm", Platform("linux", "arm", "v7")),
        ("linux/arm/7", Platform("linux", "arm", "v7")),
        ("linux/arm/v6", Platform("linux", "arm", "v6")),
        ("linux/armhf", Platform("linux", "arm", "v7")),
        ("linux/armel", Platform("linux", "arm", "v6")),
        ("linux/armv7l", Platform("linux", "arm", "v7")),
        ("linux/s390x", Platform("linux", "s390x")),
        ("linux/riscv64/rva22u64", Platform("linux", "riscv64", "rva22u64")),
        ("macos/arm64", Platform("darwin", "arm64")),
    ],
)
def test_a_platform_is_read_and_normalised(text: str, platform: Platform) -> None:
    assert Platform.parse(text) == platform


@pytest.mark.parametrize(
    "text",
    ["", "linux", "/", "linux/", "/amd64", "linux//v8", "linux/arm/v7/x", "linux amd64", "linux/amd64\n", "ü/amd64"],
)
def test_what_is_no_platform_is_a_usage_error_that_shows_the_form(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        Platform.parse(text)
    assert str(caught.value) == (
        f"platform {text!r}: write it as os/architecture or os/architecture/variant, "
        "such as linux/amd64 or linux/arm/v7"
    )


@given(platforms)
def test_normalising_is_stable_and_survives_writing(platform: Platform) -> None:
    normal = platform.normalised()
    assert normal.normalised() == normal
    assert Platform.parse(str(normal)) == normal
    assert platform.accepts(normal)
    assert normal.accepts(platform)


@given(platforms, platforms)
def test_no_two_different_platforms_accept_each_other(one: Platform, other: Platform) -> None:
    if one.normalised() != other.normalised():
        assert not (one.accepts(other) and other.accepts(one))


@pytest.mark.parametrize(
    ("wanted", "accepted", "refused"),
    [
        ("linux/amd64", ["linux/amd64", "linux/amd64/v1"], ["linux/amd64/v2", "linux/386", "windows/amd64"]),
        ("linux/amd64/v3", ["linux/amd64", "linux/amd64/v2", "linux/amd64/v3"], ["linux/amd64/v4"]),
        ("linux/arm/v7", ["linux/arm", "linux/arm/v7", "linux/arm/v6", "linux/arm/v5"], ["linux/arm/v8"]),
        ("linux/arm/v6", ["linux/arm/v6", "linux/arm/v5"], ["linux/arm/v7", "linux/arm"]),
        ("linux/arm64", ["linux/arm64", "linux/arm64/v8"], ["linux/arm64/v8.1", "linux/arm64/v9", "linux/arm/v7"]),
        ("linux/arm64/v8.2", ["linux/arm64/v8", "linux/arm64/v8.1"], ["linux/arm64/v8.3", "linux/arm64/v9"]),
        ("linux/arm64/v9", ["linux/arm64/v8", "linux/arm64/v8.5"], ["linux/arm64/v8.6", "linux/arm64/v9.1"]),
        ("linux/riscv64", ["linux/riscv64"], ["linux/riscv64/rva22u64"]),
        ("linux/amd64/strange", ["linux/amd64/strange"], ["linux/amd64", "linux/amd64/v1"]),
    ],
)
def test_a_platform_accepts_its_own_and_lower_variants_only(
    wanted: str, accepted: list[str], refused: list[str]
) -> None:
    platform = Platform.parse(wanted)
    offered = [*accepted, *refused]
    assert [text for text in offered if platform.accepts(Platform(*text.split("/")))] == accepted


@pytest.mark.parametrize(
    ("machine", "platform"),
    [
        ("x86_64", Platform("linux", "amd64")),
        ("aarch64", Platform("linux", "arm64")),
        ("armv6l", Platform("linux", "arm", "v6")),
        ("i686", Platform("linux", "386")),
        ("ppc64le", Platform("linux", "ppc64le")),
        ("loongarch64", Platform("linux", "loong64")),
    ],
)
def test_the_host_platform_is_linux_on_this_machine(
    machine: str, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "uname", lambda: os.uname_result(("Darwin", "host", "1", "1", machine)))
    assert Platform.host() == platform


def test_a_platform_that_states_nothing_is_written_as_unknown() -> None:
    assert str(Platform("", "")) == "unknown/unknown"
