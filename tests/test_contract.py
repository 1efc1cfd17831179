"""The product's promise, over every transport, compression and file system: one image, one disk, the image's tree.

A new transport, compression or file system joins by standing in its table (in the project or in the fixtures).
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from support import tars
from support.images import Spec, layout
from support.mounts import mounted
from support.registry import Registry, skopeo_copy
from support.users import ids, open_to_users, run_as_user

from builder import BuildOptions, DiskOptions, build, unpack, verify
from builder.actions.pull import pull
from builder.archive.compression import COMPRESSIONS
from builder.disk import FILESYSTEMS
from builder.disk.erofs.features import installed_features
from builder.disk.filesystem import Compression
from builder.errors import LayerRefused
from builder.events import Event, Stage
from builder.guest.options import GuestOptions
from builder.image.name import ImageName
from builder.sources.access import Access
from builder.sources.transports import TRANSPORTS
from builder.store import open_store
from builder.store.collect import collect
from builder.tool import find_tool
from fixtures.expected import expected
from fixtures.facts import differences, read_facts
from fixtures.image import COMPRESSIONS as EXAMPLE_COMPRESSIONS
from fixtures.image import example_image
from fixtures.make_example import BUSYBOX, make_example
from fixtures.transports import oci_layout, write_files

# The image's own tree, which is known to the last bit.
BARE = BuildOptions(guest=GuestOptions(init="none"))
CHECKS = {"ext4": ["e2fsck", "-fn"], "erofs": ["fsck.erofs"]}


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """References of the example image by file name, one for each shape it travels in."""
    if not BUSYBOX.exists():
        pytest.skip("NOT RUN: busybox-static is not installed")
    return make_example(tmp_path_factory.mktemp("example"))


@pytest.fixture(scope="module")
def first(example: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One disk per format, of the OCI layout."""
    place = tmp_path_factory.mktemp("first")
    return {name: build(example["oci"], place / f"disk.{name}", BARE).output for name in FILESYSTEMS}


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def test_the_tables_and_the_tests_name_the_same_things() -> None:
    assert set(CHECKS) == set(FILESYSTEMS)
    assert set(EXAMPLE_COMPRESSIONS) == set(COMPRESSIONS)


@pytest.mark.heavy
def test_every_transport_has_an_example(example: dict[str, str]) -> None:
    # These are filled from the others, below and in test_transports.py.
    own = {"store", "docker", "containers-storage"}
    assert {reference.partition(":")[0] for reference in example.values()} >= set(TRANSPORTS) - own


@pytest.mark.parametrize("format", FILESYSTEMS)
@pytest.mark.parametrize(
    "shape", ["oci", "dir", "oci.tar", "docker.tar", "docker.tar.gz", "docker-new.tar", "layout.zip"]
)
def test_every_transport_gives_the_same_disk(
    example: dict[str, str], first: dict[str, Path], tmp_path: Path, format: str, shape: str
) -> None:
    disk = build(example[shape], tmp_path / f"disk.{format}", BARE).output
    assert digest(disk) == digest(first[format])


@pytest.mark.parametrize("format", FILESYSTEMS)
@pytest.mark.parametrize("shape", ["oci", "docker.tar.gz", "layout.zip"])
def test_the_store_gives_the_same_disk_wherever_the_image_came_from(
    example: dict[str, str], first: dict[str, Path], tmp_path: Path, format: str, shape: str
) -> None:
    access = Access(store=str(tmp_path / "store"))
    pulled = pull(example[shape], access, name=ImageName.parse("example.com/example:1"))
    reference = f"store:{pulled.name}"
    disk = build(reference, tmp_path / f"disk.{format}", replace(BARE, access=access)).output
    assert digest(disk) == digest(first[format])


def test_the_store_gives_the_same_disk_while_garbage_is_collected(
    example: dict[str, str], first: dict[str, Path], tmp_path: Path
) -> None:
    """The image is removed, and collected again and again, from when its build begins to read it."""
    access = Access(store=str(tmp_path / "store"))
    pulled = pull(example["oci"], access, name=ImageName.parse("example.com/example:1"))
    store = open_store(access.store)
    collected: list[int] = []

    def collect_now(event: Event) -> None:
        if isinstance(event, Stage):
            store.remove(pulled.name)
            collected.append(collect(store).blobs)

    disk = build(
        "store:example.com/example:1", tmp_path / "disk.ext4", replace(BARE, access=access), collect_now
    ).output
    assert digest(disk) == digest(first["ext4"])
    assert len(collected) > 5
    # The last stage checks the disk: by then the image is read, and nobody needs its blobs.
    *meanwhile, afterwards = collected
    assert set(meanwhile) == {0}
    assert afterwards > 5


@pytest.mark.heavy
@pytest.mark.parametrize("format", FILESYSTEMS)
def test_a_plain_path_gives_the_same_disk(
    example: dict[str, str], first: dict[str, Path], tmp_path: Path, format: str
) -> None:
    for shape in ("oci", "dir", "oci.tar", "docker.tar.gz"):
        place = example[shape].partition(":")[2]
        while not Path(place).exists():
            place = place.rpartition(":")[0]
        disk = build(place, tmp_path / f"{shape}.{format}", BARE).output
        assert digest(disk) == digest(first[format])


@pytest.mark.heavy
@pytest.mark.parametrize("format", FILESYSTEMS)
def test_a_registry_gives_the_same_disk(
    example: dict[str, str], first: dict[str, Path], registry: Registry, tmp_path: Path, format: str
) -> None:
    skopeo_copy(example["oci"], f"docker://{registry.host}/example:1", "--dest-tls-verify=false")
    store = str(tmp_path / "store")
    for access in (Access(keep=False), Access(store=store), Access(store=store)):
        options = replace(BARE, access=access)
        disk = build(f"docker://{registry.host}/example:1", tmp_path / f"disk.{format}", replace(options, force=True))
        assert digest(disk.output) == digest(first[format])


@pytest.mark.heavy
@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_every_compression_gives_the_same_disk(first: dict[str, Path], tmp_path: Path, compression: str) -> None:
    write_files(oci_layout(example_image(BUSYBOX.read_bytes(), compression)), tmp_path / "oci")
    for format in FILESYSTEMS:
        disk = build(f"oci:{tmp_path}/oci", tmp_path / f"disk.{format}", BARE).output
        assert digest(disk) == digest(first[format])


@pytest.mark.heavy
@pytest.mark.parametrize("format", FILESYSTEMS)
def test_the_disk_is_verified_against_the_image_in_each_shape(
    example: dict[str, str], first: dict[str, Path], format: str
) -> None:
    for shape, reference in example.items():
        found = verify(first[format], reference)
        assert (found.equal, found.differences, found.faults) == (True, [], []), shape
        assert found.names > 100


@pytest.mark.parametrize("compression", sorted(installed_features().compressors))
def test_a_compressed_disk_is_verified(example: dict[str, str], tmp_path: Path, compression: str) -> None:
    options = replace(BARE, disk=DiskOptions(compress=Compression(compression)))
    found = verify(build(example["oci"], tmp_path / "disk.erofs", options).output, example["oci"])
    assert (found.equal, found.differences, found.faults) == (True, [], [])


@pytest.mark.root
@pytest.mark.parametrize("format", FILESYSTEMS)
def test_what_others_make_of_the_unpacked_image_is_verified(
    example: dict[str, str], tmp_path: Path, format: str
) -> None:
    """mke2fs and mkfs.erofs copy a directory: what they lose of it is said, and nothing else."""
    unpack(example["oci"], tmp_path / "root")
    disk = tmp_path / f"disk.{format}"
    made = {
        "ext4": ["mke2fs", "-q", "-t", "ext4", "-d", str(tmp_path / "root"), str(disk), "32M"],
        "erofs": ["mkfs.erofs", "-zlz4", str(disk), str(tmp_path / "root")],
    }
    subprocess.run([find_tool(made[format][0]), *made[format][1:]], check=True, capture_output=True)
    found = verify(disk, example["oci"])
    lost = {each.what for each in found.differences}
    # mke2fs 1.47.0 keeps whole seconds, and makes of a symlink with two names two symlinks.
    assert lost <= ({"mtime", "hardlink", "links"} if format == "ext4" else set()), found.differences
    assert found.faults == []


@pytest.mark.parametrize("format", FILESYSTEMS)
def test_the_disk_passes_its_own_checker(first: dict[str, Path], format: str) -> None:
    checked = subprocess.run(
        [*CHECKS[format], first[format]],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.root
@pytest.mark.parametrize("format", FILESYSTEMS)
def test_the_mounted_disk_is_what_was_stated_by_hand(first: dict[str, Path], format: str) -> None:
    with mounted(first[format]) as tree:
        assert list(differences(expected(BUSYBOX.read_bytes()), read_facts(str(tree)))) == []


@pytest.mark.root
def test_the_unpacked_tree_is_what_was_stated_by_hand(example: dict[str, str], tmp_path: Path) -> None:
    assert unpack(example["oci"], tmp_path / "root") == []
    assert list(differences(expected(BUSYBOX.read_bytes()), read_facts(str(tmp_path / "root")))) == []


@pytest.mark.root
@pytest.mark.parametrize("format", FILESYSTEMS)
def test_an_ordinary_users_disk_is_the_same_file(
    example: dict[str, str], first: dict[str, Path], tmp_path: Path, format: str
) -> None:
    place = Path(example["oci"].removeprefix("oci:").removesuffix(":latest"))
    open_to_users(place)
    theirs = open_to_users(tmp_path) / "theirs"
    theirs.mkdir()
    os.chown(theirs, *ids())
    code = "build(sys.argv[1], sys.argv[2], BuildOptions(guest=GuestOptions(init='none')))"
    run_as_user(
        "from builder import BuildOptions, build; from builder.guest.options import GuestOptions",
        code,
        example["oci"],
        theirs / f"disk.{format}",
    )
    assert digest(theirs / f"disk.{format}") == digest(first[format])
    assert (theirs / f"disk.{format}").stat().st_uid == ids()[0]


@pytest.mark.parametrize("format", FILESYSTEMS)
def test_the_disk_file_is_sparse(first: dict[str, Path], format: str) -> None:
    status = first[format].stat()
    assert status.st_blocks * 512 < status.st_size + 4096
    if format == "ext4":
        assert status.st_blocks * 512 < status.st_size * 3 // 4


@pytest.mark.parametrize("format", FILESYSTEMS)
def test_source_date_epoch_clamps_every_time(example: dict[str, str], tmp_path: Path, format: str) -> None:
    early = build(example["oci"], tmp_path / f"early.{format}", replace(BARE, source_date_epoch=1000)).output
    again = build(example["oci"], tmp_path / f"again.{format}", replace(BARE, source_date_epoch=1000)).output
    assert digest(early) == digest(again)
    if shutil.which("mount") and tmp_path.owner() == "root":
        with mounted(early) as tree:
            assert max(path.lstat().st_mtime for path in tree.rglob("*")) <= 1000


@pytest.mark.parametrize("format", FILESYSTEMS)
def test_what_no_linux_file_system_holds_is_refused_by_every_format_in_the_same_words(
    tmp_path: Path, format: str
) -> None:
    records = {"SCHILY.xattr.system.posix_acl_access": b"garbage"}
    layout(tmp_path / "layout", Spec((tars.tar(tars.file("etc/passwd", pax=records)),)))
    with pytest.raises(LayerRefused) as caught:
        build(f"oci:{tmp_path / 'layout'}", tmp_path / f"disk.{format}")
    assert caught.value.entry == b"etc/passwd"
    assert caught.value.layer.startswith("layer 1")
    assert caught.value.reason == (
        "its extended attribute 'system.posix_acl_access' is no access control list that Linux takes"
    )
