"""Credential helpers: programs that keep secrets where the operating system does (docker-credential-helpers).

They are the user's own choice, and configured through the user's environment (AWS_PROFILE, DBUS_SESSION_BUS_ADDRESS),
which they therefore get, as from Docker and podman; the tool runner of the disk stage withholds it.
"""

from __future__ import annotations

import re
import subprocess
from typing import Annotated

import msgspec

from builder.errors import SourceUnreadable
from builder.tool import find_tool
from builder.words import quoted

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
# In seconds; some ask the user, or a cloud service.
_PATIENCE = 120
_MAX_ANSWER = 1 << 20


class _Answer(msgspec.Struct, rename="pascal"):
    username: str
    secret: Annotated[str, msgspec.Meta(min_length=1)]


def ask_helper(name: str, server: str) -> tuple[str, str] | None:
    """Ask `docker-credential-NAME` for the user name and secret of a server; None where it has none.

    Raises ToolMissing, and SourceUnreadable when the helper fails: its words may hold secrets and are not repeated.
    """
    program = f"docker-credential-{name}"
    if not _NAME.fullmatch(name):
        where = f"credential helper {quoted(name, 100)}"
        raise SourceUnreadable(where, "is no name of a program docker-credential-NAME")
    found = find_tool(program)
    try:
        ran = subprocess.run(
            [program, "get"],
            executable=found,
            input=server.encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise SourceUnreadable(program, f"gave no answer for {server} within {_PATIENCE} s") from error
    except OSError as error:
        raise SourceUnreadable(program, f"does not start: {error.strerror}") from error
    if ran.returncode != 0:
        # The one failure that is none: every helper says it in these words, on standard output.
        if b"credentials not found" in ran.stdout:
            return None
        raise SourceUnreadable(program, f"failed with status {ran.returncode} for {server}; try it: {program} get")
    try:
        answer = msgspec.json.decode(ran.stdout[:_MAX_ANSWER], type=_Answer)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        # Not even as a cause: the decoder's words could quote the answer.
        raise SourceUnreadable(program, f"gave an answer for {server} that holds no Username and Secret") from None
    return answer.username, answer.secret
