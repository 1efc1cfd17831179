"""A real Dask cluster on loopback, whose workers may be killed.

Its processes are forked from one that has imported Dask, for that takes longer than most tests; it does not find this
program, nor does a scheduler or worker that is not to have it. As with Dask's own nanny, a worker is a session leader.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from support.command import ROOT
from support.processes import alive, wait_until

SERVER = """
import asyncio, json, os, signal, sys, traceback
sys.path.append(sys.argv[1])
import dask
dask.config.set({"logging": {"distributed": "critical"}, "distributed.worker.profile.enabled": False})
import distributed, distributed.scheduler, distributed.worker

async def serve(said, answer):
    if said["scheduler"] is None:
        server = distributed.Scheduler(
            host="127.0.0.1", port=0, dashboard=False, dashboard_address="127.0.0.1:0", protocol=said["protocol"])
    else:
        server = distributed.Worker(
            said["scheduler"], host=said["host"], nthreads=said["threads"], resources=said["resources"],
            local_directory=said["directory"], dashboard=False, memory_limit=0)
    async with server:
        os.write(answer, server.address.encode())
        os.close(answer)
        await server.finished()

def child(said, answer):
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0), os.dup2(null, 1)
    os.environ.update(said["environment"])
    os.chdir(said["directory"])
    sys.path += said["path"]
    dask.config.refresh()
    exec(said["before"])
    asyncio.run(serve(said, answer))

signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for line in sys.stdin:
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(reading)
        try:
            child(json.loads(line), writing)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)
    os.close(writing)
    address = b""
    while part := os.read(reading, 1000):
        address += part
    os.close(reading)
    print(json.dumps([pid, address.decode()]), flush=True)
"""


@dataclass(frozen=True)
class Process:
    """A scheduler or a worker."""

    pid: int
    address: str

    def kill(self) -> None:
        """Kill it, unless it has ended, and wait for its end."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        wait_until(lambda: not alive(self.pid))


class Cluster:
    """Starts schedulers and workers, and kills all that is left of them at the end."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._started: list[Process] = []

    def __enter__(self) -> Self:
        # Neither the environment nor what .pth files say: nothing of this program is found.
        command = [sys.executable, "-I", "-S", "-c", SERVER, sysconfig.get_path("purelib")]
        self._server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.communicate()
        for process in self._started:
            if alive(process.pid):
                process.kill()

    def scheduler(self, **options: Any) -> Process:
        """Start a scheduler, which does not have this program."""
        return self._start(None, product=False, **options)

    def worker(self, scheduler: Process, **options: Any) -> Process:
        """Start a worker."""
        return self._start(scheduler, **options)

    def _start(
        self,
        scheduler: Process | None,
        *,
        product: bool = True,
        before: str = "",
        protocol: str = "tcp",
        host: str = "127.0.0.1",
        threads: int = 1,
        resources: Mapping[str, float] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Process:
        said = {
            "scheduler": scheduler.address if scheduler else None,
            "path": [str(ROOT)] if product else [],
            "before": before,
            "protocol": protocol,
            "host": host,
            "threads": threads,
            "resources": dict(resources or {}),
            "environment": dict(environment or {}),
            "directory": str(self._directory),
        }
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps(said) + "\n")
        self._server.stdin.flush()
        process = Process(*json.loads(self._server.stdout.readline()))
        self._started.append(process)
        assert process.address
        return process
