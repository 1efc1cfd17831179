"""Several blobs at once, read as they arrive, and no longer waited for than they are wanted."""

from __future__ import annotations

import random
import resource
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from threading import Event, Thread
from threading import enumerate as all_threads

import pytest
from support.command import ENVIRONMENT, argv
from support.images import Spec, digest, layout_files
from support.proxy import Fault, Proxy
from support.registry import Registry
from support.tars import file, tar

from builder.errors import SourceUnreadable
from builder.sources import open_source
from builder.sources.access import Access, Means
from builder.sources.docker.queue import AT_ONCE
from builder.sources.resolve import resolve
from builder.sources.source import Arriving, expect

_BYTES = random.Random(5).randbytes
LAYERS = tuple(tar(file(f"file{number}", _BYTES(200_000))) for number in range(6))
IMAGE = Spec(LAYERS)
BLOBS = layout_files(IMAGE)[1][0].layers


@pytest.fixture(scope="module", autouse=True)
def _image(registry: Registry) -> None:
    registry.push("six", IMAGE)


@pytest.fixture(autouse=True)
def _no_thread_stays() -> Iterator[None]:
    yield
    assert [each.name for each in all_threads() if each.name == "download"] == []


def until(condition: Callable[[], bool]) -> None:
    """Wait for what happens in another thread; a machine may be slow, but not that slow."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def asked_for(proxy: Proxy) -> list[int]:
    """Which layers have been asked for, counted from 0."""
    paths = "".join(each.path for each in proxy.sent("GET .*blobs"))
    return [number for number, blob in enumerate(BLOBS) if blob in paths]


@pytest.mark.parametrize("keep", [True, False])
def test_the_next_layers_are_fetched_while_the_first_is_read(proxy: Proxy, tmp_path: Path, keep: bool) -> None:
    release = Event()
    proxy.faults.append(Fault(f"GET .*{BLOBS[0]}", hold=release, hold_at=1000))
    reference = f"docker://{proxy.host}/six"
    with closing(open_source(reference, Access(str(tmp_path / "store"), keep=keep))) as source:
        layers = [layer.descriptor for layer in resolve(source, reference, None).layers]
        expect(source, layers)
        with source.open(layers[0]) as blob:
            # What has arrived can be read while the rest is on its way.
            head = blob.read(1000)
            until(lambda: asked_for(proxy) == list(range(AT_ONCE)))
            release.set()
            assert digest(head + blob.read()) == BLOBS[0]
        until(lambda: asked_for(proxy) == list(range(AT_ONCE + 1)))
        for layer in layers[1:]:
            with source.open(layer) as blob:
                assert digest(blob.read()) == str(layer.digest)
    assert len(proxy.sent("GET .*blobs")) == 7


def test_a_reader_that_is_stopped_waits_no_longer(proxy: Proxy, tmp_path: Path) -> None:
    proxy.faults.append(Fault(f"GET .*{BLOBS[0]}", hold=Event(), hold_at=1000))
    reference = f"docker://{proxy.host}/six"
    with closing(open_source(reference, Access(keep=False), Means(tmp_path))) as source:
        layers = [layer.descriptor for layer in resolve(source, reference, None).layers]
        with source.open(layers[0]) as blob:
            assert len(blob.read(1000)) == 1000
            failures: list[BaseException] = []

            def read_on() -> None:
                try:
                    blob.read(1)
                except SourceUnreadable as error:
                    failures.append(error)

            reading = Thread(target=read_on)
            reading.start()
            assert isinstance(blob, Arriving)
            blob.stop()
            reading.join(60)
            assert [str(each) for each in failures] == [f"{proxy.host}/six: the transfer was stopped"]


@pytest.mark.heavy
def test_a_build_that_is_interrupted_does_not_wait_for_the_network(proxy: Proxy, tmp_path: Path) -> None:
    proxy.faults.append(Fault(f"GET .*{BLOBS[0]}", hold=Event(), hold_at=1000))
    build = subprocess.Popen(
        argv("build", f"docker://{proxy.host}/six", "-o", tmp_path / "disk.ext4", "--store", tmp_path / "store"),
        env=dict(ENVIRONMENT, HOME=str(tmp_path), CONTAINERS_REGISTRIES_CONF="/dev/null"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        # The others are fetched meanwhile; the build has nothing to do but wait for the first.
        until(lambda: asked_for(proxy) == list(range(AT_ONCE)))
        time.sleep(0.5)
        build.send_signal(signal.SIGINT)
        # Shorter than the minute of silence after which the connection would be given up.
        assert build.wait(50) == 130
    finally:
        build.kill()
        build.wait()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(("disk", ".disk"))] == []


def test_a_layer_that_is_there_twice_is_read_twice(registry: Registry, tmp_path: Path) -> None:
    registry.push("twice", Spec((LAYERS[0], LAYERS[1], LAYERS[0])))
    reference = f"docker://{registry.host}/twice"
    for keep in (False, True):
        with closing(open_source(reference, Access(str(tmp_path / "store"), keep=keep))) as source:
            layers = [layer.descriptor for layer in resolve(source, reference, None).layers]
            expect(source, layers)
            for layer in layers:
                with source.open(layer) as blob:
                    assert digest(blob.read()) == str(layer.digest)


def test_a_blob_that_is_not_read_to_its_end_leaves_nothing_behind(proxy: Proxy, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    reference = f"docker://{proxy.host}/six"
    with closing(open_source(reference, Access(keep=False), Means(scratch))) as source:
        layers = [layer.descriptor for layer in resolve(source, reference, None).layers]
        expect(source, layers)
        with source.open(layers[0]) as blob:
            assert len(blob.read(10)) == 10
        with source.open(layers[0]) as blob:
            assert digest(blob.read()) == BLOBS[0]
    assert list(scratch.iterdir()) == []


def test_a_disk_that_takes_no_more_is_told_to_the_reader(proxy: Proxy, tmp_path: Path) -> None:
    reference = f"docker://{proxy.host}/six"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with closing(open_source(reference, Access(keep=False), Means(tmp_path))) as source:
        layers = [layer.descriptor for layer in resolve(source, reference, None).layers]
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
        try:
            with source.open(layers[0]) as blob, pytest.raises(OSError, match="File too large"):
                blob.read()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_closing_the_source_ends_who_waits_for_it_and_may_be_repeated(proxy: Proxy, tmp_path: Path) -> None:
    proxy.faults.append(Fault(f"GET .*{BLOBS[0]}", hold=Event(), hold_at=1000))
    reference = f"docker://{proxy.host}/six"
    source = open_source(reference, Access(str(tmp_path / "store")))
    layer = resolve(source, reference, None).layers[0].descriptor
    failures: list[str] = []
    with source.open(layer) as blob:

        def read_on() -> None:
            try:
                blob.read()
            except SourceUnreadable as error:
                failures.append(str(error))

        reading = Thread(target=read_on)
        reading.start()
        until(lambda: 0 in asked_for(proxy))
        source.close()
        source.close()
        reading.join(60)
    assert [each.rpartition(": ")[2] for each in failures] == ["the transfer was stopped"]
    assert list((tmp_path / "store" / "images" / "leases").iterdir()) == []


@pytest.mark.heavy
def test_what_a_killed_build_has_fetched_is_not_fetched_again(proxy: Proxy, tmp_path: Path) -> None:
    proxy.faults.append(Fault(f"GET .*{BLOBS[1]}", hold=Event(), hold_at=150_000))
    store = tmp_path / "store"
    build = subprocess.Popen(
        argv("build", f"docker://{proxy.host}/six", "-o", tmp_path / "disk.ext4", "--store", store),
        env=dict(ENVIRONMENT, HOME=str(tmp_path), CONTAINERS_REGISTRIES_CONF="/dev/null"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until(lambda: any(path.stat().st_size == 150_000 for path in store.glob("images/tmp/*")))
    finally:
        build.kill()
        build.wait()
    proxy.faults.clear()
    proxy.requests.clear()
    reference = f"docker://{proxy.host}/six"
    with closing(open_source(reference, Access(str(store)))) as source:
        layers = [layer.descriptor for layer in resolve(source, reference, None).layers]
        expect(source, layers)
        for layer in layers:
            with source.open(layer) as blob:
                assert digest(blob.read()) == str(layer.digest)
    assert [each.headers["Range"] for each in proxy.sent(f"GET .*{BLOBS[1]}")] == ["bytes=150000-"]
