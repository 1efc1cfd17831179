"""Errors are what callers get, wherever those have the work done: in another thread, or in another process."""

from __future__ import annotations

import copy
import inspect
import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from builder import BuilderError, build, errors
from builder.errors import ImageNotFound
from builder.registry.failures import AccessDenied
from builder.shortage import Shortage

# By the names of what an error is told: something of each kind.
FACTS = {"str": "text", "int": 7, "bytes": b"raw", "bool": True, "Sequence[str]": ("a",)}


KINDS = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, BuilderError)]


def fact(parameter: inspect.Parameter) -> Any:
    return next((made for name, made in FACTS.items() if str(parameter.annotation).startswith(name)), ())


@pytest.mark.parametrize("kind", [*KINDS, AccessDenied, Shortage])
def test_an_error_is_the_same_after_it_went_to_another_process(kind: type[BuilderError]) -> None:
    error = kind(*map(fact, inspect.signature(kind).parameters.values()))
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert (type(again), str(again), vars(again)) == (kind, str(error), vars(error))


@pytest.mark.heavy
def test_who_builds_in_a_pool_of_processes_is_told_what_failed_and_the_pool_goes_on(tmp_path: Path) -> None:
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        for _ in range(2):
            with pytest.raises(ImageNotFound, match="there is no such directory") as caught:
                pool.submit(build, f"oci:{tmp_path}/none", tmp_path / "d.erofs").result()
            assert caught.value.reference == f"{tmp_path}/none"
