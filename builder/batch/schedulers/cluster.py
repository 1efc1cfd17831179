"""A Dask cluster, reached: its address, the connection, and whether a worker of it can build for this client."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
import os
import pkgutil
import re
import ssl
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from distributed import Client
from distributed.security import Security

from builder.batch.messages import FORM
from builder.batch.schedulers import on_worker
from builder.errors import BuilderError, FailedAt, MissingRequirement, UsageError
from builder.version import VERSION
from builder.words import quoted

# How long a scheduler may take to let us in, in seconds.
_CONNECT_SECONDS = 5.0
_ADDRESS = re.compile(r"(tcp|tls)://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::\d{1,5})?/?", re.ASCII)
_DASK_NAME = "distributed:__version__"
_DASK = pkgutil.resolve_name(_DASK_NAME)
_LARGEST_FILE = 1 << 20
_ADVICE = "install one version everywhere"
# Files of certificates and keys that cannot be read come up as errors of the connection.
_FAILURES_OF_TLS = (ssl.SSLError, FileNotFoundError, IsADirectoryError, PermissionError)
_LOGGERS = ("distributed", "tornado", "asyncio", "dask")


class ClusterUnreachable(BuilderError):
    """There is no scheduler at `address`, or it is one no more."""

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(f"the scheduler {address}: {reason}")
        self.address = address
        self.reason = reason


class ClusterRefused(FailedAt, MissingRequirement):
    """A cluster on which what was asked for cannot be built; `where` is its scheduler's or a worker's address."""


def scheduler_address(said: str, *, insecure: bool) -> str:
    """Tell the address of a scheduler from itself or from the name of a scheduler file, as Dask writes it.

    Raises UsageError where there is none, and, unless `insecure`, where who is on the way could read and change what
    is built: at `tcp://` of other machines.
    """
    address = said if "://" in said else _written_in(Path(said))
    match = _ADDRESS.fullmatch(address)
    if match is None:
        raise UsageError(f"{quoted(address, 200)} is no scheduler; name tcp://HOST:PORT, tls://HOST:PORT or its file")
    if match[1] == "tcp" and not insecure and not _is_loopback(match[2]):
        raise UsageError(
            f"{address} is neither encrypted nor this machine: everybody on the way could decide what is built; "
            "use tls://, or say --insecure if the network is trusted"
        )
    return address


def _written_in(file: Path) -> str:
    try:
        # Not a fifo, at which this would wait for ever.
        if not file.is_file():
            raise UsageError(f"{file}: there is no scheduler file of this name; name it, or tcp://HOST:PORT")
        with file.open("rb") as opened:
            return str(json.loads(opened.read(_LARGEST_FILE))["address"])
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}; name a scheduler file that can be read") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UsageError(f"{file}: this is no scheduler file: it has no address in JSON") from error


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


@contextmanager
def quiet_logs() -> Iterator[None]:
    """Keep what Dask and its libraries log from standard error, where they put it by themselves."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    loggers += [each for name, each in logging.Logger.manager.loggerDict.items()
                if name.partition(".")[0] in _LOGGERS and "." in name and isinstance(each, logging.Logger)]  # fmt: skip
    before = [(each, each.handlers, each.propagate) for each in loggers]
    try:
        for each in loggers:
            each.handlers, each.propagate = [logging.NullHandler()], False
        yield
    finally:
        for each, handlers, propagate in before:
            each.handlers, each.propagate = handlers, propagate


@asynccontextmanager
async def connected(address: str, security: Security | None = None) -> AsyncIterator[Client]:
    """Connect to a scheduler of the same version of Dask. Raises ClusterUnreachable and ClusterRefused.

    Without `security`, Dask's own configuration has the certificates for `tls://`.
    """
    options = {} if security is None else {"security": security}
    client = None
    try:
        async with asyncio.timeout(2 * _CONNECT_SECONDS):
            with warnings.catch_warnings():
                # Versions are compared here, too, and more strictly.
                warnings.simplefilter("ignore")
                client = Client(address, asynchronous=True, timeout=_CONNECT_SECONDS, set_as_default=False, **options)
                await client
                scheduler: Any = client.scheduler
                theirs = (await scheduler.versions())["packages"]["distributed"]
    except Exception as error:
        if client is not None:
            await _close(client)
        raise ClusterUnreachable(address, _reason(address, error)) from error
    try:
        if theirs != _DASK:
            raise ClusterRefused(address, f"it is Dask {theirs}, and here is {_DASK}; {_ADVICE}")
        yield client
    finally:
        await _close(client)


async def refusal(client: Client, worker: str, directory: str) -> str | None:
    """Say why `worker` cannot build for this client, if it cannot: of another version, or without its directory.

    Raises OSError if it does not answer.
    """
    # By a function of the standard library, as the worker may have nothing of this program.
    for what, name, wanted in (
        ("Dask", _DASK_NAME, _DASK),
        ("rootfs-builder", "builder.version:VERSION", VERSION),
        ("rootfs-builder with messages of form", "builder.batch.messages:FORM", FORM),
    ):
        found = await _ask(client, worker, pkgutil.resolve_name, name)
        if isinstance(found, ImportError):
            return f"it has no {what} ({found}); install {VERSION} there, for the Python of its worker"
        if found != wanted:
            return f"it has {what} {found}, and here is {wanted}; {_ADVICE}"
    if await _ask(client, worker, on_worker.sees, directory) is not True:
        return f"it does not see {os.path.dirname(directory)}; build where the workers' machines share a directory"
    return None


async def _ask(client: Client, worker: str, function: object, argument: str) -> object:
    answers = await client.run(function, argument, workers=[worker], on_error="return")
    answer = answers.get(worker)
    if isinstance(answer, OSError):
        raise answer
    if answer is None or (isinstance(answer, Exception) and not isinstance(answer, (ImportError, AttributeError))):
        raise OSError(f"it did not answer: {answer}")
    return answer


async def _close(client: Client) -> None:
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            await client._close(fast=True)
    except Exception:
        # What could not be said to a scheduler that is gone.
        return


def _reason(address: str, error: BaseException) -> str:
    """Say in one short line what an exception of Dask's means."""
    # Not to what is no Exception: from Python 3.12 on, it is a cancellation that a TimeoutError comes of.
    while isinstance(error, OSError) and isinstance(error.__cause__, Exception):
        error = error.__cause__
    said = str(getattr(error, "strerror", None) or error)
    if address.startswith("tls:") and (isinstance(error, _FAILURES_OF_TLS) or "SSLError: " in said):
        advice = "name certificates that both trust in Dask's configuration (distributed.comm.tls)"
        return f"no TLS with it ({said.rpartition('SSLError: ')[2]}); {advice}"
    if isinstance(error, TimeoutError):
        return f"no answer in {_CONNECT_SECONDS:.0f} s; start it, or name another"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}; start it, or name another"
    if isinstance(error, TypeError) and "ssl_context" in str(error):
        return "Dask's configuration has no certificates for tls:// (distributed.comm.tls); name them there"
    # Dask takes the first words of another protocol for the length of a message, which memory may not hold.
    why = "" if isinstance(error, MemoryError) else f" ({' '.join(str(error).split()) or type(error).__name__})"
    return f"what answers there is no scheduler of Dask that takes us{why}; name another"
