"""Leases of processes that were killed: whoever takes the next removes them, and no other."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from support.image_stores import describe

from builder.store import open_store
from builder.store.lease import LEASES
from builder.store.store import Store

_TAKE = """
import sys
from support.image_stores import describe
from builder.store import open_store
lease = open_store(sys.argv[1]).lease()
lease.add(describe(b"another process"))
print("taken", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(open_store(str(tmp_path))) as opened:
        yield opened


@contextmanager
def another_process(place: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that has taken a lease."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(
        [sys.executable, "-c", _TAKE, str(place)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "taken\n"
        yield process


def leases(store: Store) -> list[str]:
    return store.room.names(LEASES)


def test_the_lease_of_a_killed_process_is_removed_by_the_next(store: Store, tmp_path: Path) -> None:
    with another_process(tmp_path) as process:
        process.send_signal(signal.SIGKILL)
    (dead,) = leases(store)
    with store.lease() as lease:
        # Nothing is removed, nor made, before something is needed.
        assert leases(store) == [dead]
        lease.add(describe(b"mine"))
        (mine,) = leases(store)
        assert mine != dead
    assert leases(store) == []


def test_the_lease_of_a_living_process_stays(store: Store, tmp_path: Path) -> None:
    with another_process(tmp_path) as process:
        (theirs,) = leases(store)
        with store.lease() as lease:
            lease.add(describe(b"mine"))
            assert len(leases(store)) == 2
        assert leases(store) == [theirs]
        assert process.stdin is not None
        process.stdin.close()


def test_what_is_no_lease_stays(store: Store, tmp_path: Path) -> None:
    (tmp_path / "images" / "leases").mkdir(parents=True)
    (tmp_path / "images" / "leases" / "contract.pdf").write_text("ours")
    with store.lease() as lease:
        lease.add(describe(b"mine"))
    assert leases(store) == ["contract.pdf"]
