"""A real registry on this machine's loopback, and how to fill it; written independently of builder/."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.command import ROOT
from support.images import OCI, Files, Link, Spec, digest, layout_files

_UNPACKED = ROOT / ".cache" / "registry" / "usr" / "bin" / "docker-registry"
# In seconds: a busy machine takes its time to start a process.
_PATIENCE = 60


def program() -> str:
    """The path of docker-registry; skips the test where it is not installed."""
    found = str(_UNPACKED) if _UNPACKED.exists() else shutil.which("docker-registry")
    if found is None:
        pytest.skip("NOT RUN: docker-registry is not installed")
    return found


@dataclass(slots=True)
class Registry:
    """A running docker-registry: `host` is its address and port."""

    host: str
    process: subprocess.Popen[bytes]
    log: Path

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()

    def push(self, repository: str, *specs: Spec, tag: str = "latest", nested: bool = False) -> dict[str, str]:
        """Push images by plain HTTP, as the specification has it; returns `{"manifest": digest, "config": ...}`.

        With `nested`, the tag is an index of all the images by platform.
        """
        files, made = layout_files(*specs, nested="all" if nested else None)
        self.push_layout(repository, files, tag)
        return {"manifest": made[0].manifest, "config": made[0].config}

    def push_layout(self, repository: str, files: Files, tag: str) -> str:
        """Push the first image of a layout; returns the digest that the tag has then."""
        index = json.loads(content(files, "index.json"))
        blobs = {name: content(files, name) for name in files if name.startswith("blobs/sha256/")}
        documents = {}
        for data in blobs.values():
            media_type = _media_type(data)
            if media_type is None:
                self.push_blob(repository, data)
            else:
                documents[digest(data)] = (data, media_type)
        # What an index names must be there before it.
        for of, (data, media_type) in sorted(documents.items(), key=lambda each: b'"manifests"' in each[1][0]):
            self.push_manifest(repository, of, data, media_type)
        root = str(index["manifests"][0]["digest"])
        self.push_manifest(repository, tag, *documents[root])
        return root

    def push_blob(self, repository: str, data: bytes) -> str:
        status, headers = self.send("POST", f"/v2/{repository}/blobs/uploads/", b"", {})
        assert status == 202, status
        place = headers["Location"].partition(self.host)[2]
        joint = "&" if "?" in place else "?"
        body = {"Content-Type": "application/octet-stream"}
        status, _ = self.send("PUT", f"{place}{joint}digest={digest(data)}", data, body)
        assert status == 201, status
        return digest(data)

    def push_manifest(self, repository: str, reference: str, data: bytes, media_type: str) -> None:
        status, _ = self.send("PUT", f"/v2/{repository}/manifests/{reference}", data, {"Content-Type": media_type})
        assert status == 201, status

    def send(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, dict[str, str]]:
        connection = http.client.HTTPConnection(self.host, timeout=_PATIENCE)
        try:
            connection.request(method, path, body, dict(headers))
            answer = connection.getresponse()
            answer.read()
            return answer.status, dict(answer.getheaders())
        finally:
            connection.close()


def start_registry(place: Path, http_options: Mapping[str, Any] | None = None, auth: Any = None) -> Registry:
    """Start a registry that keeps its data below `place`; the caller stops it."""
    place.mkdir(parents=True, exist_ok=True)
    for _ in range(5):
        host = f"127.0.0.1:{free_port()}"
        config = {
            "version": "0.1",
            "log": {"level": "warn"},
            "storage": {"filesystem": {"rootdirectory": str(place / "data")}, "delete": {"enabled": True}},
            "http": {"addr": host, **(http_options or {})},
            **({"auth": auth} if auth else {}),
        }
        # JSON is YAML.
        (place / "config.yml").write_text(json.dumps(config))
        log = place / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [program(), "serve", str(place / "config.yml")],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={"PATH": "/usr/bin:/bin", "HOME": str(place), "OTEL_TRACES_EXPORTER": "none"},
            )
        if _answers(process, host):
            return Registry(host, process, log)
        process.kill()
        process.wait()
    raise AssertionError(log.read_text())


def free_port(address: str = "127.0.0.1") -> int:
    with socket.socket() as probe:
        probe.bind((address, 0))
        port: int = probe.getsockname()[1]
        return port


def skopeo_copy(source: str, target: str, *options: str) -> None:
    """Copy an image with skopeo; skips the test where it is not installed."""
    if shutil.which("skopeo") is None:
        pytest.skip("NOT RUN: skopeo is not installed")
    ran = subprocess.run(
        ["skopeo", "copy", "--all", "--insecure-policy", *options, source, target],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert ran.returncode == 0, ran.stderr


def content(files: Files, name: str) -> bytes:
    data = files[name]
    assert not isinstance(data, Link)
    return data


def _media_type(data: bytes) -> str | None:
    """The media type of a manifest or an index; None for what is neither."""
    try:
        document = json.loads(data)
    except ValueError:
        return None
    if "schemaVersion" not in document:
        return None
    return str(document.get("mediaType") or OCI + "manifest.v1+json")


def _answers(process: subprocess.Popen[bytes], host: str) -> bool:
    address, _, port = host.rpartition(":")
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end and process.poll() is None:
        try:
            socket.create_connection((address, int(port)), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            # It may be another's that took the port first.
            time.sleep(0.05)
            return process.poll() is None
    return False
