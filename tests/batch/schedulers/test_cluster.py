"""Where a scheduler may be, and how it is named."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest

from builder.batch.schedulers import cluster
from builder.batch.schedulers.cluster import ClusterUnreachable, connected, scheduler_address
from builder.errors import UsageError


@pytest.mark.parametrize(
    "address",
    [
        "tcp://127.0.0.1:8786",
        "tcp://127.9.9.9:1",
        "tcp://[::1]:8786",
        "tcp://localhost:8786",
        "tls://farm.example:8786",
    ],
)
def test_this_machine_and_what_is_encrypted_are_taken(address: str) -> None:
    assert scheduler_address(address, insecure=False) == address


@pytest.mark.parametrize(
    "address", ["tcp://10.0.0.1:8786", "tcp://farm:8786", "tcp://[fe80::1]:8786", "tcp://0.0.0.0:1"]
)
def test_plain_tcp_of_another_machine_has_to_be_asked_for(address: str, tmp_path: Path) -> None:
    file = tmp_path / "scheduler.json"
    file.write_text(json.dumps({"address": address}))
    for said in (address, str(file)):
        with pytest.raises(UsageError, match=r"^tcp://\S+ is neither encrypted nor this machine: .*--insecure"):
            scheduler_address(said, insecure=False)
        assert scheduler_address(said, insecure=True) == address


@pytest.mark.parametrize(
    "address",
    ["http://127.0.0.1:80", "inproc://127.0.0.1/1", "tcp://", "tcp://a b:1", "tcp://127.0.0.1:8786/x", "tcp://a\n:1"],
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match="is no scheduler; name tcp://HOST:PORT"):
        scheduler_address(address, insecure=True)


@pytest.mark.parametrize("text", ["", "{}", "[]", "3", '"tcp://127.0.0.1:1"', "[" * 100_000, '{"address": 3}'])
def test_what_is_no_scheduler_file_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text(text)
    with pytest.raises(UsageError, match="scheduler"):
        scheduler_address(str(tmp_path / "file"), insecure=True)


def test_a_scheduler_file_that_is_not_there_and_a_fifo_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for name in ("fifo", "nothing", "."):
        with pytest.raises(UsageError, match="there is no scheduler file of this name"):
            scheduler_address(str(tmp_path / name), insecure=True)


def test_what_is_far_too_large_for_a_scheduler_file_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "disk.ext4").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(UsageError, match="this is no scheduler file"):
        scheduler_address(str(tmp_path / "disk.ext4"), insecure=True)


def test_a_scheduler_that_does_not_answer_in_time_is_said_not_to(monkeypatch: pytest.MonkeyPatch) -> None:
    async def connect() -> None:
        async with connected("tcp://127.0.0.1:1"):
            pass

    monkeypatch.setattr(cluster, "_CONNECT_SECONDS", 0)
    with pytest.raises(ClusterUnreachable, match=": no answer in 0 s; start it, or name another"):
        asyncio.run(connect())
