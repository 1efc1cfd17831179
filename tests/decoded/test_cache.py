"""Decoded layers are kept for other images and builds, and nothing but the work is other than without."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from support.images import Spec, layout
from support.kept import LOWER, UPPER, Heard, opened, small_image, with_cache
from support.tars import file, tar

from builder import Addition, build, unpack
from builder.archive.compression import COMPRESSIONS
from builder.decoded.cache import Claim, Kept
from builder.decoded.room import clear, prune, stored
from builder.disk import FILESYSTEMS
from builder.errors import LimitExceeded
from builder.image.digest import Digest
from builder.layers.account import Taken
from builder.layers.estargz import TOC_ANNOTATION
from builder.limits import Limits
from builder.tree.entries import Entries

DIFF_ID = Digest("sha256", "1" * 64)


@pytest.mark.parametrize("format", FILESYSTEMS)
def test_a_disk_is_the_same_whether_its_layers_were_kept_or_not(tmp_path: Path, format: str) -> None:
    image, options = small_image(tmp_path / "image"), with_cache(tmp_path / "cache")
    without = build(image, tmp_path / f"without.{format}", with_cache(tmp_path, keep=False)).output
    for name, expected in (("cold", ["read", "read"]), ("warm", ["taken", "taken"])):
        heard = Heard()
        disk = build(image, tmp_path / f"{name}.{format}", options, heard).output
        assert (heard.layers, heard.notices) == (expected, [])
        assert disk.read_bytes() == without.read_bytes()


def test_a_base_is_read_once_whatever_packs_it_and_whoever_has_it(tmp_path: Path) -> None:
    options = with_cache(tmp_path / "cache")
    said = []
    for compression in sorted(COMPRESSIONS):
        own = tar(file("own", compression.encode()))
        image, heard = small_image(tmp_path / compression, LOWER, own, compression=compression), Heard()
        disk = build(image, tmp_path / f"{compression}.ext4", options, heard).output
        said.append(heard.layers)
        without = build(
            image, tmp_path / "without.ext4", replace(options, cache=with_cache(tmp_path, keep=False).cache)
        )
        assert disk.read_bytes() == without.output.read_bytes()
    assert said == [["read", "read"], *[["taken", "read"]] * (len(COMPRESSIONS) - 1)]


def test_additions_stand_where_they_do_without(tmp_path: Path) -> None:
    """Content of the build's own comes behind that of layers that were kept, whose order decides where it is."""
    (tmp_path / "added").write_bytes(b"added" * 2000)
    added = (Addition(str(tmp_path / "added"), "/etc/added"),)
    image = small_image(tmp_path / "image")
    disks = set()
    for keep in (False, True, True):
        options = replace(with_cache(tmp_path / "cache", keep=keep), additions=added)
        disks.add(build(image, tmp_path / "disk.ext4", replace(options, force=True)).output.read_bytes())
    assert len(disks) == 1


def test_unpack_uses_what_a_build_has_kept(tmp_path: Path) -> None:
    image, options, heard = small_image(tmp_path / "image"), with_cache(tmp_path / "cache"), Heard()
    build(image, tmp_path / "disk.ext4", options)
    unpack(image, tmp_path / "root", options, heard)
    assert heard.layers == ["taken", "taken"]
    assert (tmp_path / "root" / "etc" / "new").read_bytes() == b"n" * 4097
    assert (tmp_path / "root" / "etc" / "sparse").read_bytes() == bytes(8192) + b"d" * 10 + bytes(40000 - 8202)


@pytest.mark.parametrize("limits", [Limits(max_size=50_000), Limits(max_entries=8), Limits(max_metadata=60)])
def test_limits_count_the_same(tmp_path: Path, limits: Limits) -> None:
    image, options = small_image(tmp_path / "image"), with_cache(tmp_path / "cache")
    said = []
    for name in ("cold", "warm"):
        with pytest.raises(LimitExceeded) as refused:
            build(image, tmp_path / f"{name}.ext4", replace(options, limits=limits))
        said.append(str(refused.value))
        build(image, tmp_path / "kept.ext4", options)
    assert said[0] == said[1]


def test_two_layers_share_what_the_limits_allow(tmp_path: Path) -> None:
    """A layer that is kept counts for those that follow and are not."""
    options = replace(with_cache(tmp_path / "cache"), limits=Limits(max_entries=8))
    build(small_image(tmp_path / "lower", LOWER), tmp_path / "lower.ext4", options)
    with pytest.raises(LimitExceeded, match="layer 2 of 2"):
        build(small_image(tmp_path / "both", LOWER, UPPER), tmp_path / "both.ext4", options)


def estargz(path: Path, layer: bytes) -> str:
    """Write an image whose one layer says of itself that it is eStargz, and return its reference."""
    (made,) = layout(path, Spec((layer,)))
    manifest = path / "blobs" / made.manifest.replace(":", "/")
    text = manifest.read_bytes().replace(
        b'"layers": [{', b'"layers": [{"annotations": {"%s": "x"}, ' % TOC_ANNOTATION.encode()
    )
    digest = Digest.of(text)
    (path / "blobs" / "sha256" / digest.hex).write_bytes(text)
    return f"oci:{path}@{digest}"


@pytest.mark.parametrize("first", ["plain", "annotated"])
def test_what_is_estargzs_own_in_one_blob_is_the_images_in_another(tmp_path: Path, first: str) -> None:
    layer, options = tar(file("stargz.index.json", b"{}"), file("f")), with_cache(tmp_path / "cache")
    images = {
        "plain": small_image(tmp_path / "plain", layer),
        "annotated": estargz(tmp_path / "annotated", layer),
    }
    expected = {"plain": ["f", "stargz.index.json"], "annotated": ["f"]}
    for number, kind in enumerate([first, *sorted(images), first]):
        root = tmp_path / f"root{number}"
        unpack(images[kind], root, options)
        assert sorted(path.name for path in root.iterdir()) == expected[kind]


def test_what_is_estargzs_own_counts_for_the_limits_when_it_was_kept_too(tmp_path: Path) -> None:
    layer, options = tar(file("f"), file("stargz.index.json", b"{}")), with_cache(tmp_path / "cache")
    image = estargz(tmp_path / "image", layer)
    for name in ("cold", "warm"):
        with pytest.raises(LimitExceeded, match="more than 1 entries"):
            build(image, tmp_path / f"{name}.ext4", replace(options, limits=Limits(max_entries=1)))
        build(image, tmp_path / "kept.ext4", options)


def test_a_layer_that_cannot_be_begun_leaves_no_file_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(fd: int, size: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    cache = opened(tmp_path)
    monkeypatch.setattr(os, "ftruncate", failing)
    with pytest.raises(OSError, match="Input/output error"):
        cache.claim(DIFF_ID, lambda: None)
    assert os.listdir(tmp_path / "layers") == []


def test_who_wants_a_layer_that_is_in_the_making_waits_for_it(tmp_path: Path) -> None:
    cache, waits, found = opened(tmp_path), threading.Event(), []
    claim = cache.claim(DIFF_ID, lambda: None)
    assert isinstance(claim, Claim)
    other = threading.Thread(target=lambda: found.append(cache.claim(DIFF_ID, waits.set)))
    other.start()
    with claim:
        assert waits.wait(60)
        claim.spool.keep(b"content")
        claim.publish(1 << 20, "", Taken(0, 0, 0, 0), Entries())
    other.join(60)
    (kept,) = found
    assert isinstance(kept, Kept)
    assert os.pread(kept.fd, 7, 0) == b"content"
    assert [each.is_layer for each in stored(cache.directory)] == [True]
    kept.close()
    cache.close()


def test_who_waited_for_a_layer_does_not_wait_for_others_that_did(tmp_path: Path) -> None:
    """Each verifies all of it, which takes a while."""
    path, cache = make(tmp_path, 1, 1), opened(tmp_path)
    other = os.open(f"{path}.making", os.O_RDWR | os.O_CREAT)
    fcntl.flock(other, fcntl.LOCK_EX)
    kept = cache.claim(Digest("sha256", f"{1:064x}"), lambda: pytest.fail("waits"))
    assert isinstance(kept, Kept)
    kept.close()
    os.close(other)
    cache.close()


@pytest.mark.parametrize("written", [b"", b"half a layer"])
def test_after_a_maker_that_was_killed_the_next_one_makes_it(tmp_path: Path, written: bytes) -> None:
    cache, waits, found = opened(tmp_path), threading.Event(), []
    told, telling = os.pipe()
    if (maker := os.fork()) == 0:
        claim = cache.claim(DIFF_ID, lambda: None)
        assert isinstance(claim, Claim)
        claim.spool.keep(written)
        os.write(telling, b"!")
        signal.pause()
    assert os.read(told, 1) == b"!"
    other = threading.Thread(target=lambda: found.append(cache.claim(DIFF_ID, waits.set)))
    other.start()
    assert waits.wait(60)
    os.kill(maker, signal.SIGKILL)
    os.waitpid(maker, 0)
    other.join(60)
    (claim,) = found
    assert isinstance(claim, Claim)
    with claim:
        assert os.fstat(claim.spool.fd).st_size == 0
        # Nobody else may make it meanwhile, nor take it for litter.
        assert prune(cache.directory, 0).files == 0
    assert stored(cache.directory) == []
    cache.close()


def test_who_is_interrupted_after_keeping_a_layer_leaves_the_next_makers_file_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, rename, others = opened(tmp_path), os.rename, tmp_path / "layers" / f"sha256-{DIFF_ID.hex}.making"

    def interrupted(source: str, target: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        rename(source, target, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
        others.write_bytes(b"another's")
        raise KeyboardInterrupt

    claim = cache.claim(DIFF_ID, lambda: None)
    assert isinstance(claim, Claim)
    monkeypatch.setattr(os, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt), claim:
        claim.publish(1 << 20, "", Taken(0, 0, 0, 0), Entries())
    assert others.read_bytes() == b"another's"
    kept = cache.find(DIFF_ID)
    assert kept is not None
    kept.close()
    cache.close()


def make(place: Path, number: int, used: int) -> Path:
    """Keep a layer of two blocks that was used last at a time."""
    cache = opened(place)
    digest = Digest("sha256", f"{number:064x}")
    claim = cache.claim(digest, lambda: None)
    assert isinstance(claim, Claim)
    with claim:
        claim.spool.keep(b"x")
        claim.publish(1 << 20, "", Taken(0, 0, 0, 0), Entries())
    cache.close()
    path = place / "layers" / f"sha256-{digest.hex}"
    os.utime(path, (used, used))
    return path


def test_what_was_used_longest_ago_goes_first_and_what_is_in_use_last(tmp_path: Path) -> None:
    paths = [make(tmp_path, number, used) for number, used in enumerate((30, 10, 20, 40))]
    size = paths[0].stat().st_blocks * 512
    cache = opened(tmp_path)
    killed = Path(f"{paths[0]}.making".replace("0.making", "9.making"))
    killed.write_bytes(b"half")
    in_use = os.open(paths[1], os.O_RDONLY)
    fcntl.flock(in_use, fcntl.LOCK_SH)
    assert prune(cache.directory, 4 * size).files == 1
    assert not killed.exists()
    assert prune(cache.directory, 3 * size).size == size
    assert [path.exists() for path in paths] == [True, True, False, True]
    assert prune(cache.directory, size).files == 2
    assert [path.exists() for path in paths] == [False, True, False, False]
    # The limit holds all the same; who has it open reads on.
    assert prune(cache.directory, size - 1).files == 1
    assert os.pread(in_use, 1, 0) == b"x"
    os.close(in_use)
    cache.close()


def test_a_build_that_uses_a_layer_puts_it_behind_the_others(tmp_path: Path) -> None:
    image, options = small_image(tmp_path / "image"), with_cache(tmp_path / "cache")
    build(image, tmp_path / "disk.ext4", options)
    for path in (tmp_path / "cache" / "layers").iterdir():
        os.utime(path, (1, 1))
    newer = make(tmp_path / "cache", 1, 2)
    build(image, tmp_path / "again.ext4", options)
    cache = opened(tmp_path / "cache")
    assert stored(cache.directory)[0].name == newer.name
    assert clear(cache.directory).files == 3
    assert stored(cache.directory) == []
    cache.close()


def test_a_build_keeps_no_more_than_the_limit(tmp_path: Path) -> None:
    options = with_cache(tmp_path / "cache", size=80_000)
    for number in range(3):
        image = small_image(tmp_path / f"image{number}", tar(file("f", os.urandom(50_000))))
        build(image, tmp_path / f"{number}.ext4", options)
    cache = opened(tmp_path / "cache")
    assert len(stored(cache.directory)) == 1
    cache.close()


def test_a_layer_larger_than_the_limit_pushes_nothing_out(tmp_path: Path) -> None:
    """However small its blob is."""
    options, heard = with_cache(tmp_path / "cache", size=80_000), Heard()
    small, large = small_image(tmp_path / "small"), small_image(tmp_path / "large", tar(file("f", b"x" * 200_000)))
    for number, image in enumerate((small, large)):
        build(image, tmp_path / f"{number}.ext4", options)
    build(small, tmp_path / "again.ext4", options, heard)
    assert heard.layers == ["taken", "taken"]
