"""Credential helpers: programs that keep secrets where the operating system does (docker-credential-helpers).

They are the user's own choice, and configured through the user's environment (AWS_PROFILE, DBUS_SESSION_BUS_ADDRESS),
which they therefore get, as from Docker and podman; the tool runner of the disk stage withholds it.
"""

from __future__ import annotations

import os
import re
import subprocess
from typing import BinaryIO

import msgspec

from builder.errors import ToolMissing
from builder.tool import find_tool
from builder.words import quoted

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
# In seconds; some ask the user, or a cloud service.
_PATIENCE = 120
_MAX_ANSWER = 1 << 20
# How helpers say that they have none: most in Docker's words, some in those of their keychain, on either stream.
_NOT_FOUND = re.compile(rb"credentials? (were |was )?not (be )?found|could not be found|no credentials", re.IGNORECASE)


class _Answer(msgspec.Struct, rename="pascal"):
    username: str | None = None
    secret: str | None = None


class HelperFailed(Exception):
    """A helper that gives no credentials, and why; its own words may hold secrets and are not repeated."""


def ask_helper(name: str, server: str) -> tuple[str, str]:
    """Ask `docker-credential-NAME` for the user name and secret of a server; raises HelperFailed."""
    program = f"docker-credential-{name}"
    if not _NAME.fullmatch(name):
        raise HelperFailed(f"credential helper {quoted(name, 100)}: is no name of a program docker-credential-NAME")
    try:
        path = find_tool(program)
    except ToolMissing:
        raise HelperFailed(f"{program}: is not installed") from None
    # No pipes: an agent that a helper leaves behind may hold them open for as long as it lives.
    with _memory(program) as answered, _memory(program) as complained:
        status = _run([path, "get"], server, answered, complained)
        said, words = _written(answered), _written(complained)
    if status != 0:
        if _NOT_FOUND.search(said) or _NOT_FOUND.search(words):
            raise HelperFailed(f"{program}: has no credentials for {server}")
        raise HelperFailed(f"{program}: failed with status {status} for {server}; try it: {program} get")
    try:
        answer = msgspec.json.decode(said, type=_Answer) if said.strip() else _Answer()
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        # Not even as a cause: the decoder's words could quote the answer.
        raise HelperFailed(f"{program}: gave an answer for {server} that is none") from None
    if not answer.secret:
        raise HelperFailed(f"{program}: has no credentials for {server}")
    return answer.username or "", answer.secret


def _run(argv: list[str], server: str, answered: BinaryIO, complained: BinaryIO) -> int:
    program = os.path.basename(argv[0])
    try:
        return subprocess.run(
            argv, input=server.encode(), stdout=answered, stderr=complained, timeout=_PATIENCE, check=False
        ).returncode
    except subprocess.TimeoutExpired:
        raise HelperFailed(f"{program}: gave no answer for {server} within {_PATIENCE} s") from None
    except OSError as error:
        raise HelperFailed(f"{program}: does not start: {error.strerror}") from error


def _memory(program: str) -> BinaryIO:
    """Open a file that is nowhere but in memory, as what is written there is secret. Raises HelperFailed."""
    try:
        return open(os.memfd_create("helper"), "w+b", buffering=0)
    except OSError as error:
        raise HelperFailed(f"{program}: its answer cannot be kept in memory: {error.strerror}") from error


def _written(file: BinaryIO) -> bytes:
    file.seek(0)
    return file.read(_MAX_ANSWER)
