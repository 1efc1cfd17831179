"""A registry on this machine's loopback that has one image, for as long as a bench takes."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from benching.peers import CHECKOUT

_PROGRAM = CHECKOUT / ".cache/registry/usr/bin/docker-registry"
_PATIENCE_SECONDS = 60


def program() -> str | None:
    """Find docker-registry, which ci/setup brings."""
    return str(_PROGRAM) if _PROGRAM.exists() else shutil.which("docker-registry")


@contextmanager
def serving(reference: str, scratch: Path) -> Iterator[str]:
    """Serve an image, its blobs as they are; gives its name, HOST:PORT/REPOSITORY:TAG."""
    found = program()
    if found is None:
        raise FileNotFoundError("there is no docker-registry; ci/setup brings it")
    place = scratch / "registry"
    place.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as free:
        host = f"127.0.0.1:{free.getsockname()[1]}"
    config = place / "config.yml"
    config.write_text(
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {place / 'data'}}}}}\nhttp: {{addr: '{host}'}}\n"
    )
    with (place / "log").open("wb") as log:
        server = subprocess.Popen([found, "serve", config], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        _wait_for(host, server)
        name = f"{host}/bench:1"
        push = ["skopeo", "copy", "--quiet", "--insecure-policy", "--dest-tls-verify=false"]
        environment = {**os.environ, "HOME": str(place)}
        subprocess.run([*push, reference, f"docker://{name}"], check=True, env=environment)
        yield name
    finally:
        server.terminate()
        server.wait()
        shutil.rmtree(place)


def _wait_for(host: str, server: subprocess.Popen[bytes]) -> None:
    address, _, port = host.partition(":")
    until = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < until and server.poll() is None:
        with suppress(OSError), socket.create_connection((address, int(port)), 1):
            return
        time.sleep(0.05)
    raise TimeoutError("docker-registry does not answer")
