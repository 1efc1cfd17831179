"""Programs that are inits themselves: they become process 1, and are asked to end in their own way."""

from __future__ import annotations

from dataclasses import replace

from builder.guest.description import Description
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
_STOP = {b"systemd": "SIGRTMIN+3", b"busybox": "SIGUSR2", b"openrc-init": "SIGTERM", b"s6-svscan": "SIGTERM"}


def taken_over(description: Description, tree: Tree, stated_signal: str) -> Description:
    """Return the description with `takeover`, where its program is an init; `stated_signal` is the user's or image's.

    Without a stated signal, an init is sent its own.
    """
    program = description.argv[0]
    if not _is_init(program, tree):
        return description
    real = find_path(tree, components(program.encode("utf-8", "surrogateescape")))
    name = real[-1] if real else b""
    stop = description.stop if stated_signal else parse_signal(_STOP.get(name, "SIGTERM"))
    return replace(description, takeover=True, stop=stop)


def _is_init(program: str, tree: Tree) -> bool:
    if program == _S6_INIT:
        return any(find_node(tree, components(folder.encode())) is not None for folder in _S6_FOLDERS)
    return program in _PLACES
