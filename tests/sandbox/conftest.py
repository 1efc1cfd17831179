"""Code that is confined runs in a process of its own: it gives up for ever."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from socket import AF_UNIX, create_server, socket

import pytest
from support.command import ENVIRONMENT
from support.escaping import abstract_name


@pytest.fixture
def python() -> Callable[..., str]:
    def run_code(code: str, *words: str) -> str:
        tests = Path(__file__).parents[1]
        environment = {**ENVIRONMENT, "PYTHONPATH": f"{tests.parent}:{tests}"}
        argv = [sys.executable, "-c", code, *words]
        return subprocess.run(argv, env=environment, capture_output=True, text=True, check=True).stdout

    return run_code


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A user's home, with files that nobody else is to reach."""
    place = tmp_path / "home"
    place.mkdir()
    for name in ("victim", "second"):
        (place / name).write_text("the user's own")
    return place


@pytest.fixture
def port() -> Iterator[int]:
    """A port on loopback where somebody listens, and at the abstract socket of that number, too."""
    with closing(create_server(("127.0.0.1", 0))) as listener, closing(socket(AF_UNIX)) as abstract:
        number = listener.getsockname()[1]
        abstract.bind(abstract_name(number))
        abstract.listen()
        yield number
