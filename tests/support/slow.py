"""An image that takes a while, made once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.images import Spec, layout
from support.tars import file, tar


@pytest.fixture(scope="session")
def slow_layout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An OCI layout whose build takes long enough to be caught in the middle."""
    place = tmp_path_factory.mktemp("slow") / "layout"
    noise = os.urandom(1 << 20)
    layers = tuple(tar(*(file(f"{n}/{m}", noise, mode=0o755) for m in range(60))) for n in range(6))
    layout(place, Spec(layers, compression="none", config={"Cmd": ["/0/0"]}))
    return place
