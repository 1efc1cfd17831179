"""Whether what touches untrusted bytes is confined: where the kernel can, in any case, or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from builder.errors import MissingRequirement, UsageError
from builder.form import Form
from builder.words import quoted

AUTO, REQUIRE, OFF = "auto", "require", "off"

_policy = ContextVar("policy", default=AUTO)


def parse_policy(text: str) -> str:
    """Read auto, require or off. Raises UsageError."""
    if text not in (AUTO, REQUIRE, OFF):
        raise UsageError(f"{quoted(text, 100)} is none of {AUTO}, {REQUIRE} and {OFF}")
    return text


POLICY = Form(f"{AUTO}|{REQUIRE}|{OFF}", parse_policy)


@contextmanager
def policy(said: str) -> Iterator[None]:
    """Have what this thread starts confined as `said`. Raises UsageError; MissingRequirement where that cannot be."""
    if parse_policy(said) == REQUIRE:
        check_kernel()
    token = _policy.set(said)
    try:
        yield
    finally:
        _policy.reset(token)


def is_off() -> bool:
    """Tell whether nothing is to be confined now."""
    return _policy.get() == OFF


def is_required() -> bool:
    """Tell whether what cannot be confined must not be done now."""
    return _policy.get() == REQUIRE


def unless_required(error: OSError) -> None:
    """Pass over what kept something from being confined. Raises MissingRequirement where that is required."""
    if is_required():
        raise MissingRequirement(
            f"--sandbox require: what is around this process does not let it confine what reads images and makes disks "
            f"({error.strerror or error}); leave the option out, or run it in a container that allows this"
        ) from error


def check_kernel() -> None:
    """Raise MissingRequirement unless the kernel has all that confinement is made of."""
    # Here, because who confines nothing should not wait for the import of what calls C.
    from builder.sandbox import landlock, seccomp

    if landlock.version() < landlock.MOVES_KNOWN:
        has = "has no Landlock" if not landlock.version() else "has Landlock of a version that is too old"
        raise MissingRequirement(
            f"--sandbox require: this kernel {has}, or does not let us use it: it takes Linux 5.19 or later with "
            "landlock in /sys/kernel/security/lsm, and a container that allows it; or leave the option out"
        )
    if not seccomp.is_there():
        raise MissingRequirement(
            "--sandbox require: this machine has no seccomp filters that we know; leave the option out"
        )
