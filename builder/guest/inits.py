"""Programs that are inits themselves: they become process 1, and are asked to end in their own way."""

from __future__ import annotations

from builder.guest.stop_signal import parse_signal
from builder.tree.lookup import find_node, find_path
from builder.tree.paths import components
from builder.tree.tree import Tree

# Where distributions have theirs, or a link to it.
_PLACES = frozenset(
    f"{folder}/{name}"
    for folder in ("/sbin", "/usr/sbin", "/bin", "/usr/bin", "/lib/systemd", "/usr/lib/systemd")
    for name in ("init", "systemd", "openrc-init", "runit-init", "s6-svscan")
)
# s6-overlay's is /init, and so may be anybody's: its own folder tells.
_S6_INIT, _S6_FOLDERS = "/init", ("package/admin/s6-overlay", "etc/s6-overlay", "etc/s6-rc.d")

# By the last part of the program that a link leads to (systemd(1), busybox init, openrc-init(8)).
_STOP = {b"systemd": "SIGRTMIN+4", b"busybox": "SIGUSR2", b"openrc-init": "SIGTERM", b"s6-svscan": "SIGTERM"}

# What images of systemd state: it halts, which ends a container, and leaves a machine on for ever.
_HALT, _POWER_OFF = parse_signal("SIGRTMIN+3"), parse_signal(_STOP[b"systemd"])


def init_stop_signal(stated: int | None, own: int) -> int:
    """Return the signal that asks an init to end, of what its image states, if that is anything, and its own."""
    return own if stated is None or (stated, own) == (_HALT, _POWER_OFF) else stated


def own_stop_signal(program: str, tree: Tree) -> int | None:
    """Return the signal that asks `program` to end, if it is an init; None for any other program."""
    if not _is_init(program, tree):
        return None
    real = find_path(tree, components(program.encode("utf-8", "surrogateescape")))
    return parse_signal(_STOP.get(real[-1] if real else b"", "SIGTERM"))


def _is_init(program: str, tree: Tree) -> bool:
    if program == _S6_INIT:
        return any(find_node(tree, components(folder.encode())) is not None for folder in _S6_FOLDERS)
    return program in _PLACES
