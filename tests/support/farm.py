"""What tests of a batch on many machines build on: a cluster, and images that are never built."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.cluster import Cluster, Process
from support.processes import builders


@dataclass
class Farm:
    """A scheduler with workers, and what starts more of them."""

    cluster: Cluster
    scheduler: Process
    workers: list[Process]
    mark: str

    def worker(self, **options: object) -> Process:
        """Start one more worker, whose builds have the mark."""
        self.workers.append(self.cluster.worker(self.scheduler, environment=environment(self.mark), **options))
        return self.workers[-1]

    @property
    def builds(self) -> list[int]:
        """The processes that build on this cluster; that one is ready to says nothing of this batch."""
        return builders(self.mark, ready=False)


def environment(mark: str) -> dict[str, str]:
    name, _, value = mark.partition("=")
    return {name: value}


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture
def farm(cluster: Cluster, tmp_path: Path) -> Iterator[Farm]:
    """A cluster of one worker that takes one build at a time."""
    farm = Farm(cluster, cluster.scheduler(), [], f"BATCH_OF={tmp_path}")
    farm.worker()
    yield farm
    for process in (farm.scheduler, *farm.workers):
        process.kill()


class Hung:
    """A registry that takes who comes and never answers: what builds from it goes on for ever."""

    def __init__(self, server: socket.socket) -> None:
        self._server = server
        self.port = server.getsockname()[1]
        self.taken: list[socket.socket] = []

    def take(self) -> None:
        """Wait until somebody builds from it."""
        self.taken.append(self._server.accept()[0])

    def connect(self) -> None:
        """Be one who builds from it."""
        socket.create_connection(("127.0.0.1", self.port)).close()

    def image(self, output: str = "hanging") -> str:
        """A line of a list for a disk that is never built."""
        return f"docker://127.0.0.1:{self.port}/a:b tls-verify=no no-store=yes output={output}\n"


@pytest.fixture
def hung() -> Iterator[Hung]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        hung = Hung(server)
        yield hung
        for taken in hung.taken:
            taken.close()
