"""Where outputs may not stand: among the files of a store, whatever the image is and wherever it comes from."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from support.images import Spec, layout
from support.left import identity
from support.stores import write_store
from support.tars import file, tar

from builder import BuildOptions, build
from builder.actions.pull import pull
from builder.errors import UsageError
from builder.output.checks import check_directory, check_output, check_side_output
from builder.sources.access import Access

SPEC = Spec((tar(file("etc/hosts", b"127.0.0.1 localhost\n")),), tag="localhost/app:1")


def own(tmp_path: Path) -> Path:
    layout(tmp_path / "image", SPEC)
    pull(f"oci:{tmp_path}/image", Access(store=str(tmp_path / "store")))
    return tmp_path / "store/images"


def podmans(tmp_path: Path) -> Path:
    write_store(tmp_path / "storage", SPEC)
    return tmp_path / "storage"


Make = Callable[[Path], Path]
STORES: list[Make] = [own, podmans]


def files(path: Path) -> dict[Path, tuple[int, int, int]]:
    return {each: identity(each) for each in path.rglob("*") if each.is_file() and path / "overlay" not in each.parents}


@pytest.mark.parametrize("make", STORES)
def test_no_output_goes_among_the_files_of_a_store(tmp_path: Path, make: Make) -> None:
    store = make(tmp_path)
    before = files(store)
    deepest = max(before, key=lambda path: len(path.parts))
    (tmp_path / "link").symlink_to(deepest)
    among = re.escape(f"is among the files of a store of images, {store}; name another output")
    for place in (*before, deepest.with_name("disk.ext4"), tmp_path / "link"):
        for check in (lambda path: check_output(path, True), check_side_output, check_directory):
            with pytest.raises(UsageError, match=among):
                check(place)
        with pytest.raises(UsageError, match=among):
            build("oci:anything", tmp_path / "d.ext4", BuildOptions(metadata_file=place))
    assert files(store) == before


def test_a_store_without_an_image_is_one(tmp_path: Path) -> None:
    for name in ("overlay-images", "overlay-layers"):
        (tmp_path / "storage" / name).mkdir(parents=True)
    own(tmp_path)
    shutil.rmtree(tmp_path / "store/images/blobs")
    shutil.rmtree(tmp_path / "store/images/manifests")
    for place in ("storage/overlay-images/images.json", "store/images/tmp/d.ext4"):
        with pytest.raises(UsageError, match="is among the files of a store of images"):
            check_side_output(tmp_path / place)


def test_blobs_that_are_elsewhere_are_among_them(tmp_path: Path) -> None:
    blobs = own(tmp_path) / "blobs"
    blobs.rename(tmp_path / "elsewhere")
    blobs.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="is among the files of a store of images"):
        check_output(next(blobs.glob("sha256/*")), True)


@pytest.mark.parametrize("make", STORES)
def test_beside_those_it_may_stand(tmp_path: Path, make: Make) -> None:
    store = make(tmp_path)
    mounted = "overlay/0123/merged/disk/disk.ext4"
    for place in (store / "d.ext4", store / mounted, store.parent / "d.ext4", tmp_path / "image/blobs/d.ext4"):
        place.parent.mkdir(parents=True, exist_ok=True)
        check_output(place, False)
