"""Who fetches what comes from a registry: a process of its own, where the one that reads it is to be confined."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import active_count

from builder.errors import UsageError
from builder.sandbox import policy
from builder.sandbox.owned import is_owned
from builder.sources.reference import parse_reference


@contextmanager
def fetching_apart(reference: str | None, sandbox: str) -> Iterator[None]:
    """Have the image at `reference` fetched by a process of its own as long as the context lasts, if it is remote.

    That is, where this process is ours, has one thread, and will be confined as `sandbox` says. Raises OSError where
    there can be no more processes.
    """
    if reference is None or not comes_from_afar(reference) or not _will_be_confined(sandbox):
        yield
        return
    # Here, because only who fetches should wait for that.
    from builder.registry.fetcher import fetcher

    with fetcher():
        yield


def comes_from_afar(reference: str) -> bool:
    """Tell whether the image at `reference` is in a registry."""
    try:
        parsed = parse_reference(reference)
    except UsageError:
        # Whoever opens the image says so.
        return False
    return parsed.transport is not None and parsed.transport.remote


def _will_be_confined(sandbox: str) -> bool:
    if sandbox == policy.OFF or not is_owned() or active_count() > 1:
        return False
    from builder.sandbox import landlock

    return landlock.version() >= landlock.MOVES_KNOWN
