"""cosign and oras themselves, with a key pair, and with no network but this machine's loopback."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

# What asks anybody but a registry on loopback, for which proxies are not asked, fails at once.
_NOWHERE = "http://127.0.0.1:1"


@dataclass(frozen=True, slots=True)
class Programs:
    """Both programs, with `home` as their home and working directory; a key pair of cosign's, and its public half."""

    home: Path

    @property
    def key(self) -> Path:
        return self.home / "cosign.pub"

    def cosign(self, *words: str, **environment: str) -> str:
        return self._run("cosign", *words, **environment)

    def sign(self, verb: str, *words: str, **environment: str) -> None:
        """Have cosign sign, or attest, without a transparency log."""
        self.cosign(verb, "--key", "cosign.key", "--yes", "--tlog-upload=false", *words, **environment)

    def oras(self, *words: str) -> str:
        return self._run("oras", *words)

    def _run(self, *argv: str, **environment: str) -> str:
        """Run a program, and return what it prints. Raises CalledProcessError."""
        fixed = {"HOME": str(self.home), "PATH": os.environ["PATH"], "COSIGN_PASSWORD": ""}
        proxies = {"HTTP_PROXY": _NOWHERE, "HTTPS_PROXY": _NOWHERE}
        done = subprocess.run(
            argv,
            cwd=self.home,
            env={**fixed, **proxies, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            # pytest shows what stands in a note.
            error = subprocess.CalledProcessError(done.returncode, argv, done.stdout, done.stderr)
            error.add_note(done.stderr)
            raise error
        return done.stdout


def find_programs(home: Path) -> Programs:
    """Make a key pair in `home`; skips the test where a program is not installed."""
    for name in ("cosign", "oras"):
        if shutil.which(name) is None:
            _skip(name)
    programs = Programs(home)
    programs.cosign("generate-key-pair")
    return programs


def _skip(name: str) -> None:
    # ci/setup asks the same.
    if platform.freedesktop_os_release().get("VERSION_CODENAME") == "bookworm":
        pytest.skip(f"Debian 12 has no {name}")
    pytest.skip(f"NOT RUN: {name} is not installed; ci/setup brings it")
