"""Stores that the real buildah, podman and skopeo write: as root, or as an ordinary user in a user namespace."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from support import stores

_SCRIPT = r"""
store=(--root "$ROOT" --runroot "$RUNROOT" --storage-driver "$DRIVER")
if [ "$DRIVER" = overlay ]; then store+=(--storage-opt overlay.skip_mount_home=true $MORE); fi
# buildah 1.39 wants to lock a file of netavark's there.
if [ -n "$_CONTAINERS_ROOTLESS_UID" ]; then mount -t tmpfs tmpfs /run; mkdir /run/lock; fi
buildah() { command buildah "${store[@]}" "$@"; }
# podman takes no run root of more than 50 characters, and keeps to the first that it saw.
short=/tmp/run.$(echo "$ROOT" | md5sum | head -c 12)
trap 'rm -rf "$short"' EXIT
podman() { command podman "${store[@]}" --runroot "$short" --tmpdir "$HOME/podman" --events-backend none "$@"; }
skopeo() { command skopeo --insecure-policy --tmpdir "$HOME" "$@"; }
"""

# Root maps the IDs itself: newuidmap, which unshare asks, wants them in /etc/subuid.
_ENTER = r"""
import ctypes, os, sys
first, argv = int(sys.argv[1]), sys.argv[2:]
ready, mapped = os.pipe(), os.pipe()
child = os.fork()
if child == 0:
    os.setgroups([])
    # CLONE_NEWUSER | CLONE_NEWNS
    if ctypes.CDLL(None, use_errno=True).unshare(0x10000000 | 0x00020000):
        sys.exit(os.strerror(ctypes.get_errno()))
    os.write(ready[1], b".")
    os.read(mapped[0], 1)
    os.setgid(0)
    os.setuid(0)
    os.execvp(argv[0], argv)
os.close(ready[1])
if not os.read(ready[0], 1):
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
for name in ("uid_map", "gid_map"):
    with open(f"/proc/{child}/{name}", "w") as file:
        file.write(f"0 {first} 65536")
os.write(mapped[1], b".")
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def enter_namespace(first: int) -> tuple[str, ...]:
    """Give the start of a command that runs as root of a user namespace of the 65,536 IDs from `first` on."""
    return (sys.executable, "-c", _ENTER, str(first))


@dataclass(frozen=True, slots=True)
class Engine:
    """One store, at `place`/root, and the programs that write it."""

    place: Path
    driver: str = "overlay"
    # Where the programs run in a user namespace that this command enters, the user ID that is root there.
    namespace: tuple[str, ...] = ()
    user: int = 0

    @property
    def root(self) -> Path:
        return self.place / "root"

    def reference(self, name: str) -> str:
        """Write a reference for us."""
        return stores.reference(self.root, name)

    @property
    def spec(self) -> str:
        """The store as skopeo wants it."""
        return f"[{self.driver}@{self.root}+{self.place}/run:overlay.skip_mount_home=true]"

    def run(self, script: str, additional: Path | None = None, tools: tuple[str, ...] = ("buildah",)) -> str:
        """Run a shell script in which `buildah` and `podman` use the store; return what it prints, or skip."""
        for tool in tools:
            if shutil.which(tool) is None:
                pytest.skip(f"NOT RUN: {tool} is not installed")
        home = self.place / "home"
        home.mkdir(parents=True, exist_ok=True)
        environment = {
            **{
                name: value
                for name, value in os.environ.items()
                if not name.startswith(("XDG_", "CONTAINERS_", "STORAGE_"))
            },
            "HOME": str(home),
            "XDG_RUNTIME_DIR": str(home),
            "ROOT": str(self.root),
            "RUNROOT": str(self.place / "run"),
            "DRIVER": self.driver,
            "SPEC": self.spec,
            "MORE": f"--storage-opt overlay.imagestore={additional}" if additional else "",
        }
        user = self.user or os.geteuid()
        if user != 0:
            # So the programs do not look for ranges of IDs of their own in /etc/subuid: nobody has none.
            environment |= {"_CONTAINERS_USERNS_CONFIGURED": "1", "_CONTAINERS_ROOTLESS_UID": str(user)}
        ran = subprocess.run(
            [*(self.namespace or in_namespace()), "bash", "-ec", _SCRIPT + script],
            env=environment,
            cwd=home,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout


def in_namespace() -> list[str]:
    """Give the start of a command that lets it be root of its own files; nothing, for root."""
    if os.geteuid() == 0:
        return []
    argv = ["unshare", "--map-root-user", "--mount"]
    if subprocess.run([*argv, "true"], capture_output=True, check=False).returncode:
        pytest.skip("NOT RUN: this user may not make user namespaces")
    return argv
