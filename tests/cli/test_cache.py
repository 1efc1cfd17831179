"""`rootfs-builder cache`, and the options of a build that concern it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.command import run
from support.kept import small_image


def test_what_is_kept_is_counted_pruned_and_cleared(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    empty = run("cache", "info", "--cache", cache)
    assert (empty.returncode, empty.stdout) == (0, f"0 layers, 0 B, in {cache}\n")
    assert not cache.exists()
    image = small_image(tmp_path / "image")
    built = run("build", image, "-o", tmp_path / "d.ext4", "--init", "none", "-q", ROOTFS_BUILDER_CACHE=str(cache))
    assert (built.returncode, built.stderr) == (0, "")
    info = json.loads(run("cache", "--cache", cache, "info", "--json").stdout)
    sizes = [layer["size"] for layer in info["layers"]]
    assert (info["place"], info["size"], len(sizes)) == (str(cache), sum(sizes), 2)
    pruned = run("cache", "prune", "--cache-size", sum(sizes) - 1, ROOTFS_BUILDER_CACHE=str(cache))
    assert (pruned.returncode, pruned.stdout.split(": ")[1]) == (0, "1 file\n")
    assert run("cache", "info", "--cache", cache).stdout.startswith("1 layer, ")
    assert run("cache", "clear", "--cache", cache).stdout.endswith(" freed: 1 file\n")
    assert list((cache / "layers").iterdir()) == []


@pytest.mark.parametrize("command", ["info", "prune", "clear"])
def test_a_place_that_others_may_write_is_named_with_what_to_do(tmp_path: Path, command: str) -> None:
    (tmp_path / "layers").mkdir()
    (tmp_path / "layers").chmod(0o777)
    refused = run("cache", command, "--cache", tmp_path)
    assert (refused.returncode, refused.stdout) == (4, "")
    assert refused.stderr == (
        f"rootfs-builder: error: {tmp_path}: belongs to another user, or others may write it; "
        "name another place with --cache\n"
    )


def test_who_wants_no_cache_gets_none(tmp_path: Path) -> None:
    image, home = small_image(tmp_path / "image"), tmp_path / "home"
    home.mkdir()
    words = ("build", image, "-o", tmp_path / "d.ext4", "--init", "none", "-q", "--force")
    assert run(*words, HOME=str(home), ROOTFS_BUILDER_CACHE="").returncode == 0
    assert run(*words, "--no-cache", HOME=str(home), ROOTFS_BUILDER_CACHE=str(home / "cache")).returncode == 0
    assert list(home.iterdir()) == []
