"""Stores of podman's kind, one that buildah wrote, made once, and one written by hand; and a key."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.built_store import BUILD
from support.engines import Engine
from support.signing import KEY, write_public
from support.stores import write_store
from support.written_store import APP


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """A store with an image of two layers, whiteouts among them, that buildah built; and skopeo's copy of it."""
    engine = Engine(tmp_path_factory.mktemp("engine"))
    engine.run(BUILD, tools=("buildah", "skopeo", "setfattr"))
    return engine


@pytest.fixture
def store(tmp_path: Path) -> Path:
    write_store(tmp_path / "store", APP)
    return tmp_path / "store"


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """The public half of a key that signs."""
    return write_public(KEY, tmp_path / "cosign.pub")
