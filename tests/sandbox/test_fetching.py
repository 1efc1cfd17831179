"""The process that fetches: what it gives up, what it does for whom, and that it ends with who it serves."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from threading import Event

import pytest
from support.command import ENVIRONMENT, argv, run, run_in
from support.images import Spec, digest
from support.proxy import Fault, Proxy
from support.registries import PASSWORD, USER, PrivateRegistry
from support.registry import Registry
from support.tars import file, tar

from builder.sandbox import landlock, seccomp

NEEDS = "NOT RUN: needs a kernel with Landlock and seccomp: Linux 6.12 or later, with landlock among its lsm="
needs_kernel = pytest.mark.skipif(landlock.version() < 6 or not seccomp.is_there(), reason=NEEDS)

LAYER = tar(file("a", b"a" * 300_000))
# In seconds: for what comes at once, on a machine that is busy with other things.
PATIENCE = 120

# What is left to it: to read, and the network. Where is nothing to be changed, there is none to be tried.
ITS_WORK = {
    *("read a file of the user's", "list a directory of the user's", "connect", "listen", "send a datagram"),
    *("read /etc/shadow", "read another's environment", "own a handed file"),
}

FETCHES = """
from builder.sandbox.fetching import confine_fetching
from support import escaping

confine_fetching()
escaping.main()
"""


@needs_kernel
def test_a_process_that_fetches_and_was_taken_over_changes_and_starts_nothing(
    python: Callable[..., str], home: Path, port: int
) -> None:
    outcomes: dict[str, str] = json.loads(python(FETCHES, str(home), str(port), "0", str(os.getpid())))
    assert {name for name, outcome in outcomes.items() if outcome not in ("EACCES", "EPERM", "EXDEV")} <= ITS_WORK
    assert outcomes["connect"] == "done"
    assert {path.name: path.read_text() for path in home.iterdir()} == dict.fromkeys(
        ("victim", "second"), "the user's own"
    )


# Of the image it knows one blob; then all that it might send is tried, to this registry and to another.
ASKS = """
import sys
from builder.actions.fetching import fetching_apart
from builder.errors import BuilderError
from builder.events import ignore
from builder.image.descriptor import Descriptor
from builder.image.digest import Digest
from builder.registry import RegistryAccess
from builder.registry.fetcher import running_fetcher
from builder.sandbox.owned import own_process

host, digest, size = sys.argv[1:]
own_process()
with fetching_apart(f"docker://{host}/settled", "auto"):
    fetcher = running_fetcher()
    access = RegistryAccess(tls_verify=False)
    origin = fetcher.open(host, "settled", access, ignore)
    blob = Descriptor("application/octet-stream", Digest.parse(digest), int(size))
    other = Descriptor("application/octet-stream", Digest.of(b"secret"), 6)
    assert origin.has_blob(blob.digest)
    origin.settle([blob.digest])
    origin.settle([other.digest])
    print(len(b"".join(origin.download(blob).chunks(0))))
    for attempt in (
        lambda: origin.manifest("secret"),
        lambda: origin.tag_hint("secret"),
        lambda: origin.tags(1),
        lambda: origin.has_blob(other.digest),
        lambda: list(origin.download(other).chunks(0)),
        lambda: fetcher.open(host, "secret", access, ignore),
    ):
        try:
            print(attempt())
        except BuilderError as error:
            print(error)
print(running_fetcher())
"""


@pytest.mark.heavy
@needs_kernel
def test_who_was_taken_over_sends_nothing_by_way_of_what_fetches(
    python: Callable[..., str], registry: Registry, proxy: Proxy, tmp_path: Path
) -> None:
    registry.push_blob("settled", LAYER)
    said = python(ASKS, proxy.host, digest(LAYER), str(len(LAYER))).splitlines()
    assert said == [str(len(LAYER)), *["fetching: this image has no such thing"] * 6, "None"]
    assert {each.path.rpartition("/")[2] for each in proxy.sent("settled|secret")} == {digest(LAYER)}


@pytest.mark.heavy
@needs_kernel
def test_what_comes_wrong_is_found_wrong_by_who_is_confined(registry: Registry, proxy: Proxy, tmp_path: Path) -> None:
    registry.push("wrong", Spec((LAYER,)))

    def change(answer: object) -> None:
        body: bytes = answer.body  # type: ignore[attr-defined]
        answer.body = body[:-1] + bytes([body[-1] ^ 1])  # type: ignore[attr-defined]

    packed = next(each for each in blobs(registry, "wrong") if each != registry_config(registry, "wrong"))
    proxy.faults.append(Fault(f"GET .*{packed}", change=change))
    done = run("-q", "build", f"docker://{proxy.host}/wrong", "-o", tmp_path / "d.erofs", *WORDS)
    assert (done.returncode, done.stderr.count("\n")) == (3, 1)
    assert f"expected {packed}, its content is sha256:" in done.stderr
    assert not (tmp_path / "d.erofs").exists()


WORDS = ("--no-store", "--cmd", "/a", "--sandbox", "require")


def manifest(registry: Registry, repository: str) -> dict[str, object]:
    import http.client

    connection = http.client.HTTPConnection(registry.host, timeout=PATIENCE)
    accept = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
    connection.request("GET", f"/v2/{repository}/manifests/latest", headers=accept)
    found: dict[str, object] = json.loads(connection.getresponse().read())
    connection.close()
    return found


def blobs(registry: Registry, repository: str) -> list[str]:
    layers = manifest(registry, repository)["layers"]
    assert isinstance(layers, list)
    return [layer["digest"] for layer in layers]


def registry_config(registry: Registry, repository: str) -> str:
    config = manifest(registry, repository)["config"]
    assert isinstance(config, dict)
    return str(config["digest"])


@pytest.fixture
def held(registry: Registry, proxy: Proxy, tmp_path: Path) -> Callable[[], subprocess.Popen[str]]:
    """Start a build in a session of its own, whose layer never comes; give it when it waits for that."""
    registry.push("held", Spec((LAYER,)))
    arrived = Event()

    class Reached(Event):
        def wait(self, timeout: float | None = None) -> bool:
            arrived.set()
            return super().wait(timeout)

    def start() -> subprocess.Popen[str]:
        proxy.faults.append(Fault(f"GET .*{blobs(registry, 'held')[0]}", hold=Reached()))
        words = argv("-q", "build", f"docker://{proxy.host}/held", "-o", tmp_path / "d.erofs", *WORDS)
        environment = {**ENVIRONMENT, "HOME": str(tmp_path), "CONTAINERS_REGISTRIES_CONF": "/dev/null"}
        process = subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True)
        assert arrived.wait(PATIENCE)
        return process

    return start


def children(process: subprocess.Popen[str]) -> list[int]:
    return [int(each) for each in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def end_of(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Wait for the end of all that holds its standard error, which the process that fetches does as well."""
    _, said = process.communicate(timeout=PATIENCE)
    return process.returncode, said


@pytest.mark.heavy
@needs_kernel
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_it_ends_with_who_it_serves_whatever_that_ends_by(
    held: Callable[[], subprocess.Popen[str]], number: signal.Signals
) -> None:
    process = held()
    # What is readable once the process has ended.
    (child,) = children(process)
    fetcher = os.pidfd_open(child)
    process.send_signal(number)
    assert end_of(process) == (-9 if number == signal.SIGKILL else 128 + number, "")
    assert select.select([fetcher], [], [], PATIENCE)[0]
    os.close(fetcher)


@pytest.mark.heavy
@needs_kernel
def test_ctrl_c_reaches_both_and_ends_them_once(held: Callable[[], subprocess.Popen[str]]) -> None:
    process = held()
    os.killpg(process.pid, signal.SIGINT)
    assert end_of(process) == (128 + signal.SIGINT, "")


@pytest.mark.heavy
@needs_kernel
def test_what_lost_it_says_so_in_a_line(held: Callable[[], subprocess.Popen[str]], tmp_path: Path) -> None:
    process = held()
    (fetcher,) = children(process)
    os.kill(fetcher, signal.SIGKILL)
    status, said = end_of(process)
    assert (status, said.count("\n")) == (1, 1)
    assert said.endswith("the process that fetches has ended, or says what it should not; try again\n")
    assert not list(tmp_path.glob("*d.erofs*"))


# What helpers keep beside the secret, and other programs that they are made of.
HELPER = """#!/bin/sh
cat >/dev/null
date >"$HOME/kept" || exit 1
echo '{"Username":"%s","Secret":"%s"}'
"""


@pytest.mark.heavy
@needs_kernel
def test_helpers_for_credentials_do_what_they_do(
    private_registry: PrivateRegistry, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin/docker-credential-test"
    program.parent.mkdir()
    program.write_text(HELPER % (USER, PASSWORD))
    program.chmod(0o755)
    (tmp_path / "ca.crt").write_bytes(private_registry.authority)
    (tmp_path / "auth.json").write_text(json.dumps({"credHelpers": {private_registry.host: "test"}}))
    image = f"docker://{private_registry.host}/nothing"
    # By names that are relative, which a batch would mean as this process does.
    words = ("--authfile", "auth.json", "--cert-dir", ".", *WORDS)
    environment = {"HOME": str(home), "PATH": f"{program.parent}:{os.environ['PATH']}"}
    done = run_in(tmp_path, "-q", "build", image, "-o", tmp_path / "d.erofs", *words, **environment)
    assert done.returncode == 1
    assert "has no tag" in done.stderr
    assert (home / "kept").read_text()
    done = run_in(tmp_path, "-q", "build", image, "-o", tmp_path / "d.erofs", "--cert-dir", ".", *WORDS)
    assert (done.returncode, done.stderr.count("\n")) == (4, 1)


# All that is asked, of each of the two ways to ask.
BOTH = """
import sys
from threading import Event
from builder.actions.fetching import fetching_apart
from builder.events import ignore
from builder.image.descriptor import Descriptor
from builder.image.digest import Digest
from builder.registry import RegistryAccess
from builder.registry.direct import DirectOrigin
from builder.registry.failures import NotThere
from builder.registry.fetcher import running_fetcher
from builder.registry.repository import Repository
from builder.sandbox.owned import own_process

host, digest, size = sys.argv[1:]
own_process()
access = RegistryAccess(tls_verify=False)
blob = Descriptor("application/octet-stream", Digest.parse(digest), int(size))

def said(origin):
    found = origin.manifest("latest")
    yield found.data, found.digest, found.media_type
    yield origin.manifest(found.digest).data
    try:
        origin.manifest("none")
    except NotThere as error:
        yield str(error)
    yield origin.tag_hint("latest"), origin.tag_hint("none"), origin.tags(5)
    yield origin.has_blob(blob.digest), origin.has_blob(Digest.of(b"none"))
    yield list(origin.referrers(found.digest, "application/vnd.none"))
    yield b"".join(origin.download(blob).chunks(0))
    yield b"".join(origin.download(blob).chunks(blob.size - 5)), list(origin.download(blob).chunks(blob.size))
    yield origin.where

with fetching_apart(f"docker://{host}/asked", "auto"):
    apart = running_fetcher().open(host, "asked", access, ignore)
    here = DirectOrigin(Repository(host, "asked", access, Event(), ignore))
    print([a == b for a, b in zip(said(apart), said(here), strict=True)])
"""


@pytest.mark.heavy
@needs_kernel
def test_it_says_what_the_registry_says(python: Callable[..., str], registry: Registry) -> None:
    registry.push("asked", Spec((LAYER,)))
    registry.push_blob("asked", LAYER)
    assert python(BOTH, registry.host, digest(LAYER), str(len(LAYER))) == f"{[True] * 9}\n"
