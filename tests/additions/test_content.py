"""The content of what is added: whole, with its holes, and within limits."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.adding import add, image, refused, write

from builder import Addition, exact
from builder.additions import host
from builder.limits import Limits
from builder.tree import filling
from builder.tree.nodes import File


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_holes_stay_holes_and_zeros_are_holes_wherever_the_host_wrote_them() -> None:
    with open("sparse", "wb") as file:
        file.seek(40 << 20)
        file.write(b"x" * 10)
        file.truncate(60 << 20)
    write("dense", bytes(8192) + b"y" + bytes(8191) + b"z" * 4096 + bytes(5))
    tree = image()
    data = {}
    written: list[tuple[int, int]] = []

    def record(_fd: int, chunk: bytes, position: int) -> None:
        written.append((position, len(chunk)))

    for name in ("sparse", "dense"):
        written.clear()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(filling, "write_at", record)
            add(Addition(name, f"/{name}"), tree=tree)
        data[name] = list(written)
    assert data == {"sparse": [(40 << 20, 4096)], "dense": [(8192, 4096), (16384, 4096)]}
    node = tree.root.children[b"sparse"]
    assert isinstance(node, File)
    assert node.content.size == 60 << 20


@pytest.mark.heavy
def test_holes_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    with open("sparse", "wb") as file:
        file.truncate(1 << 28)
        file.seek(1 << 27)
        file.write(b"x")
    if os.stat("sparse").st_blocks * 512 > 1 << 27:
        pytest.skip("the file system of temporary files has no holes")
    read = exact.read_up_to
    sizes = []

    def recorded(fd: int, size: int, position: int) -> bytes:
        sizes.append(size)
        return read(fd, size, position)

    monkeypatch.setattr(host, "read_up_to", recorded)
    add(Addition("sparse", "/sparse"))
    assert sum(sizes) < 8 << 20


def test_content_arrives_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("builder.additions.host.CHUNK", 10_000)
    data = b"".join((b"a" * 4096, bytes(5000), os.urandom(30_000), bytes(4096), b"b", bytes(9000)))
    assert add(Addition(write("f", data), "/f")).content["f"] == data


def test_additions_count_for_the_limits_of_an_image() -> None:
    write("d/a", b"x" * 600)
    write("d/b", b"x" * 600)
    assert "raise --max-size" in refused(Addition("d", "/d"), limits=Limits(max_size=1000), status=3)
    assert "raise --max-size" in refused(Addition(b"x" * 2000, "/d"), limits=Limits(max_size=1000), status=3)
    assert "raise --max-entries" in refused(Addition("d", "/d"), limits=Limits(max_entries=2), status=3)
    add(Addition("d", "/d"), limits=Limits(max_size=1200, max_entries=3))
