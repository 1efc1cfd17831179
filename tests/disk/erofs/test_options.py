"""Options that erofs has or has not, and the installed tools."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from builder.disk.erofs.features import check_compression, installed_features, is_at_least
from builder.disk.erofs.pack import Erofs
from builder.disk.filesystem import Compression, DiskOptions, parse_compression
from builder.errors import MissingRequirement, ToolMissing, UsageError

SEED = bytes(32)


@pytest.mark.parametrize(
    ("text", "compression"),
    [
        ("lz4", Compression("lz4")),
        ("lz4hc:12", Compression("lz4hc", 12)),
        ("lzma:109", Compression("lzma", 109)),
        ("deflate:0", Compression("deflate", 0)),
        ("zstd:22", Compression("zstd", 22)),
    ],
)
def test_a_compression_is_an_algorithm_and_a_level(text: str, compression: Compression) -> None:
    assert parse_compression(text) == compression
    assert str(compression) == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("gzip", "'gzip' is no erofs compression; there are lz4, lz4hc, lzma, deflate, zstd"),
        ("", "'' is no erofs compression"),
        ("lz4:1", "lz4 has no levels; lz4hc has"),
        ("lz4hc:13", "the level of lz4hc must be 0 to 12"),
        ("lzma:10", "the level of lzma must be 0 to 9 or 100 to 109"),
        ("zstd:23", "the level of zstd must be 0 to 22"),
        ("zstd:", "the level must be a number, as in zstd:19"),
        ("zstd:-1", "the level must be a number"),
        ("zstd:٣", "the level must be a number"),
    ],
)
def test_what_is_no_compression_is_refused(text: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        parse_compression(text)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (DiskOptions(SEED, free=1), "--free"),
        (DiskOptions(SEED, inodes=1), "--inodes"),
        (DiskOptions(SEED, label="sixteen byte lab"), "15 bytes"),
        (DiskOptions(SEED, label="a\0b"), "no NUL"),
        (DiskOptions(SEED, label="\udcff"), "is not UTF-8"),
        (DiskOptions(SEED, dedupe=True), "--dedupe.*--compress"),
        (DiskOptions(SEED, fragments=True), "--fragments.*--compress"),
    ],
)
def test_options_without_a_meaning_for_erofs_are_refused(options: DiskOptions, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        Erofs().check(options)


def test_a_compression_the_installed_tool_lacks_is_refused_with_the_version_that_has_it() -> None:
    old = replace(installed_features(), version="1.5", compressors=frozenset({"lz4", "lz4hc"}))
    check_compression(Compression("lz4hc", 9), old)
    with pytest.raises(MissingRequirement, match=r"1\.5 has no usable zstd: install erofs-utils 1\.8 .* lz4, lz4hc"):
        check_compression(Compression("zstd"), old)


@pytest.mark.parametrize(
    ("option", "options"),
    [
        ("dedupe", DiskOptions(SEED, compress=Compression("lz4"), dedupe=True)),
        ("fragments", DiskOptions(SEED, compress=Compression("lz4"), fragments=True)),
    ],
)
def test_features_come_with_the_version_that_has_them(option: str, options: DiskOptions) -> None:
    if is_at_least(installed_features().version, 1, 6):
        Erofs().check(options)
    else:
        with pytest.raises(MissingRequirement, match=f"has no {option}: install erofs-utils 1.6"):
            Erofs().check(options)


def test_the_installed_tools_are_asked() -> None:
    features = installed_features()
    assert {"lz4", "lz4hc"} <= features.compressors
    assert features.tar == is_at_least(features.version, 1, 7)
    assert features.workers == is_at_least(features.version, 1, 8)


@pytest.mark.parametrize(
    ("version", "wanted", "answer"),
    [
        ("1.5", (1, 5), True),
        ("1.5", (1, 6), False),
        ("1.10.1", (1, 8, 7), True),
        ("1.8.6-g12", (1, 8, 7), False),
        ("1.8", (1, 8, 7), False),
        ("2.0", (1, 8), True),
    ],
)
def test_versions_compare_by_number(version: str, wanted: tuple[int, ...], answer: bool) -> None:
    assert is_at_least(version, *wanted) == answer


def test_missing_tools_are_named_with_their_packages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("builder.tool._SYSTEM_DIRECTORIES", "")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolMissing, match=r"mkfs\.erofs is not installed: install erofs-utils"):
        Erofs().check(DiskOptions(SEED))
