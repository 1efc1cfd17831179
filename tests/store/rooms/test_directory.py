"""A store in a directory: what another process holds, and what is wrong with a place in one line."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
from support.command import run
from support.image_stores import contents, describe, image, litter, put
from support.images import Spec, layout
from support.tars import file, tar
from support.users import ids, open_to_users, run_as_user

from builder.errors import StoreDenied, StoreError
from builder.image.digest import Digest
from builder.image.name import ImageName
from builder.sources import open_source
from builder.sources.access import Access
from builder.sources.resolve import resolve
from builder.sources.source import expect
from builder.store import default_root, open_store
from builder.store.check import check
from builder.store.collect import collect
from builder.store.rooms.directory import LocalRoom
from builder.store.rooms.directory_file import using

BLOB = b"some content" * 100

WRITE_HALF = """
import sys
from builder.image.descriptor import Descriptor
from builder.image.digest import Digest
from builder.store import open_store
store, lease = open_store(sys.argv[1]), open_store(sys.argv[1]).lease()
data = bytes.fromhex(sys.argv[2])
incoming = store.receive(Descriptor("", Digest.of(data), len(data)), lease)
incoming.write(data[: len(data) // 2])
print(incoming.there, flush=True)
sys.stdin.read()
"""


@contextmanager
def another_process(root: Path, data: bytes) -> Iterator[subprocess.Popen[str]]:
    """A process that has received half of a blob."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITE_HALF, str(root), data.hex()],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == str(len(data) // 2)
        try:
            yield process
        finally:
            process.kill()


def test_what_another_process_writes_is_its_own_until_it_is_killed(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    with another_process(tmp_path, BLOB) as other, store.lease() as lease:
        with closing(store.receive(describe(BLOB), lease)) as ours:
            assert ours.there == 0
        with closing(store.receive(describe(BLOB), lease)) as again:
            assert again.there == 0
        other.kill()
        other.wait()
        found = []
        for _ in range(2):
            incoming = store.receive(describe(BLOB), lease)
            found.append(incoming)
        assert sorted(each.there for each in found) == [0, len(BLOB) // 2]
        for each in found:
            each.close()
    collect(store)
    assert litter(store) == []


def test_the_lease_of_a_living_process_holds_and_that_of_a_dead_one_does_not(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    with store.lease() as lease:
        store.put(describe(BLOB), [BLOB], lease)
    with another_process(tmp_path, BLOB) as other:
        assert collect(store).blobs == 0
        other.kill()
        other.wait()
        collected = collect(store)
    assert (collected.blobs, collected.temporaries, collected.leases) == (1, 1, 1)
    assert litter(store) == []


def test_the_users_own_store_follows_the_xdg_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    assert default_root() == "/home/me/.local/share/rootfs-builder"
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    assert default_root() == "/home/me/.local/share/rootfs-builder"
    monkeypatch.setenv("XDG_DATA_HOME", "")
    assert default_root() == "/home/me/.local/share/rootfs-builder"
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert default_root() == "/data/rootfs-builder"
    assert open_store(None).place == "/data/rootfs-builder/images"


def test_blobs_are_where_the_layout_says(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    put(store, "docker.io/library/x:1", image(b"layer"))
    digest = Digest.of(b"layer")
    assert (tmp_path / "images/blobs/sha256" / digest.hex).read_bytes() == b"layer"
    assert (tmp_path / "images/manifests/docker.io+library+x/1.json").exists()


def test_a_root_that_is_a_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    layout(tmp_path / "image", Spec((tar(file("a", b"a")),)))
    ran = run("store", "pull", f"oci:{tmp_path}/image", "--store", tmp_path / "file")
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "a file is where the store needs a directory; remove it, or choose another --store" in ran.stderr


def test_a_symlink_in_place_of_a_blob_is_not_followed(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    put(store, "localhost/x", image(b"layer"))
    path = Path(store.path(Digest.of(b"layer")) or "")
    path.unlink()
    path.symlink_to("/etc/passwd")
    with pytest.raises(StoreError, match="a symlink is where the store keeps a file"):
        store.open(Digest.of(b"layer"))
    with pytest.raises(StoreError, match="not a regular file"):
        store.has(Digest.of(b"layer"))


def test_a_fifo_in_place_of_a_temporary_keeps_nobody_waiting(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    digest = Digest.of(BLOB)
    (tmp_path / "images/tmp").mkdir(parents=True)
    os.mkfifo(tmp_path / f"images/tmp/sha256-{digest.hex}.x")
    with store.lease() as lease, pytest.raises(StoreError, match="not a regular file"):
        store.receive(describe(BLOB), lease)


@pytest.mark.parametrize(
    ("number", "kind", "words"),
    [
        (errno.ENOSPC, StoreError, "no space is left; `rootfs-builder store gc` frees"),
        (errno.EDQUOT, StoreError, "the quota is used up"),
        (errno.EXDEV, StoreError, "parts of the store are on different drives"),
        (errno.ENOLCK, StoreError, "this file system has no locks (flock), which a store needs"),
        (errno.EOPNOTSUPP, StoreError, "this file system has no locks (flock), which a store needs"),
        (errno.EACCES, StoreDenied, "this user may not use the store; choose another with --store"),
        (errno.EROFS, StoreDenied, "the file system is read-only; choose another with --store"),
        (errno.EIO, StoreError, "the store cannot be used: Input/output error"),
    ],
)
def test_what_the_system_refuses_is_said_in_our_words(number: int, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind) as caught, using("/the/place"):
        raise OSError(number, os.strerror(number))
    assert str(caught.value).startswith("/the/place: ")
    assert words in str(caught.value)


@pytest.mark.root
def test_a_full_disk_leaves_what_was_there_and_says_what_to_do(tmp_path: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", tmp_path], check=True)
    try:
        store = open_store(str(tmp_path))
        put(store, "localhost/x", image(b"layer"))
        before = contents(store)
        with store.lease() as lease, pytest.raises(StoreError, match="no space is left"):
            store.put(describe(b"x" * (2 << 20)), [b"x" * (1 << 18)] * 8, lease)
        assert contents(store) == before
        assert collect(store).temporaries == 1
        assert store.get_manifest(ImageName.parse("localhost/x")) is not None
    finally:
        subprocess.run(["umount", tmp_path], check=True)


@pytest.mark.root
def test_a_store_on_a_full_disk_can_be_verified_built_from_and_made_smaller(tmp_path: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", tmp_path], check=True)
    try:
        store = open_store(str(tmp_path))
        put(store, "localhost/x", image(b"layer"))
        with suppress(OSError), (tmp_path / "others").open("wb", buffering=0) as others:
            while others.write(bytes(4096)):
                pass
        with store.lease() as lease, pytest.raises(StoreError, match="no space is left"):
            lease.add(describe(b""))
        assert check(store).damages == ()
        with closing(open_source("store:localhost/x", Access(store=str(tmp_path)))) as source:
            layers = [layer.descriptor for layer in resolve(source, "x", None).layers]
            expect(source, layers)
            with source.open(layers[0]) as layer:
                assert layer.read() == b"layer"
        assert store.remove(ImageName.parse("localhost/x"))
        assert collect(store).blobs == 3
    finally:
        subprocess.run(["umount", tmp_path], check=True)


@pytest.mark.root
def test_another_users_store_can_be_read_and_verified_but_not_changed(tmp_path: Path) -> None:
    root = tmp_path / "store"
    put(open_store(str(root)), "localhost/x", image(b"layer"))
    open_to_users(tmp_path)
    code = """
from builder.errors import StoreDenied
store = open_store(sys.argv[1])
(found,) = images(store)
assert found.platforms and not found.missing
assert check(store).damages == ()
with closing(open_source("store:localhost/x", Access(store=sys.argv[1]))) as source:
    image = resolve(source, "x", None)
    expect(source, [layer.descriptor for layer in image.layers])
    print(source.open(image.layers[0].descriptor).read().decode())
for act in (lambda: collect(store), lambda: store.remove(found.name)):
    try:
        act()
    except StoreDenied as error:
        print(error.exit_status)
"""
    imports = (
        "import os\nfrom contextlib import closing\nfrom builder.sources import open_source\n"
        "from builder.sources.access import Access\nfrom builder.sources.resolve import resolve\n"
        "from builder.sources.source import expect\n"
        "from builder.store import open_store\nfrom builder.store.check import check\n"
        "from builder.store.collect import collect\nfrom builder.store.listing import images"
    )
    assert ids()[0] != 0
    said = run_as_user(imports, code, root)
    assert said == "layer\n4\n"
    assert contents(open_store(str(root))) != {}


@pytest.mark.root
def test_a_store_that_may_not_be_made_is_status_4(tmp_path: Path) -> None:
    open_to_users(tmp_path)
    with pytest.raises(AssertionError, match=r"StoreDenied: .* this user may not use the store"):
        run_as_user(
            "from builder.store import open_store\nfrom builder.image.descriptor import Descriptor\n"
            "from builder.image.digest import Digest",
            "open_store(sys.argv[1]).lease().add(Descriptor('', Digest.of(b''), 0))",
            tmp_path / "store",
        )


def test_the_lock_is_the_systems_so_that_other_processes_heed_it(tmp_path: Path) -> None:
    room = LocalRoom(str(tmp_path))

    def free() -> list[bool]:
        """Whether somebody else could share the lock, or have it alone."""
        found = []
        for kind in (fcntl.LOCK_SH, fcntl.LOCK_EX):
            with (tmp_path / "lock").open("rb") as file:
                try:
                    fcntl.flock(file, kind | fcntl.LOCK_NB)
                    found.append(True)
                except BlockingIOError:
                    found.append(False)
        return found

    with room.lock(exclusive=False):
        assert free() == [True, False]
    with room.lock(exclusive=True):
        assert free() == [False, False]
    assert free() == [True, True]
