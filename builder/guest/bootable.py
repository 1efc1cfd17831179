"""An image's tree becomes bootable: what runs is decided, and comes with init as one more layer."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

from builder.errors import LayerRefused, OutputError, UsageError
from builder.events import Listener, Notice
from builder.guest.description import Description
from builder.guest.files import read_file, wanting
from builder.guest.inits import taken_over
from builder.guest.layer import guest_layer
from builder.guest.options import AUTO, NONE, GuestOptions, parse_host_name
from builder.guest.process import NothingToRun, Overrides, Process, describe_process, plan_process
from builder.guest.program import NoInit, init_program
from builder.image.image import Image
from builder.tree.merge import apply_layer
from builder.tree.paths import Refusal
from builder.tree.spool import Spool
from builder.tree.tree import Tree

# The name of a machine that nobody named: the same for every build of the image.
_HOST_NAME = "localhost"


@dataclass(frozen=True, slots=True)
class Guest:
    """What a disk of `image` boots: what runs, and init, whose sha256 is `digest` in hex."""

    image: Image
    options: GuestOptions
    process: Process
    init: bytes

    @property
    def digest(self) -> str:
        """The sha256 of init, in hex."""
        return hashlib.sha256(self.init).hexdigest()


def plan_guest(image: Image, options: GuestOptions, listen: Listener) -> Guest | None:
    """Decide what a disk of `image` boots, before any layer is read; None for init `none`.

    None, too, and a Notice, where nothing is said of the guest and the image names no program, or is of an architecture
    that init was not compiled for. Raises NothingToRun, NoInit, UsageError, and OutputError for an init that cannot be
    read.
    """
    if options.init == NONE:
        if options != GuestOptions(init=NONE):
            raise UsageError("entrypoint, cmd, env and the like are for init: leave out --init none, or leave them out")
        return None
    try:
        return _planned(image, options)
    except (NothingToRun, NoInit) as error:
        if options != GuestOptions():
            raise
        listen(Notice(f"{error.reason}, so the disk is the image's tree alone; {error.advice}"))
        return None


def _planned(image: Image, options: GuestOptions) -> Guest:
    overrides = Overrides(
        entrypoint=options.entrypoint,
        cmd=options.cmd,
        env=options.env,
        user=options.user,
        working_dir=options.working_dir,
        stop_signal=options.stop_signal,
    )
    process = plan_process(image.config, overrides, image.reference)
    init = init_program(image.config.architecture) if options.init == AUTO else _own_init(Path(options.init))
    return Guest(image, options, process, init)


def make_bootable(tree: Tree, spool: Spool, guest: Guest, identity: bytes) -> bytes:
    """Add init and what it is to run to the merged tree; return 32 bytes that stand for the tree then.

    `identity` stands for the tree before. Raises UnknownUser, LayerRefused.
    """
    try:
        description = _describe(tree, spool, guest)
        entries = guest_layer(tree, spool, description, guest.init)
    except Refusal as refusal:
        raise LayerRefused("the image", None, f"cannot be looked into for its users: {refusal.reason}") from refusal
    apply_layer(tree, "the layer of init", entries)
    added = guest.digest.encode() + b"\n" + description.encode()
    return hashlib.sha256(identity + added).digest()


def _describe(tree: Tree, spool: Spool, guest: Guest) -> Description:
    options = guest.options
    missing = wanting(tree, spool)
    own_name = b"" if "hostname" in missing else read_file(tree, spool, "etc/hostname") or b""
    hostname = options.hostname or _host_name(own_name) or _HOST_NAME
    passwd, group = (read_file(tree, spool, f"etc/{name}") or b"" for name in ("passwd", "group"))
    asked = {"hosts": options.add_host, "hostname": options.hostname, "resolv.conf": options.dns}
    described = replace(
        describe_process(guest.process, hostname, passwd, group),
        nameservers=options.dns,
        hosts=tuple(_line(host) for host in options.add_host),
        write=tuple(name for name, said in asked.items() if said or name in missing),
    )
    return taken_over(described, tree, options.stop_signal or guest.image.config.stop_signal)


def _host_name(content: bytes) -> str:
    """Read hostname(5) as an image has it, which may hold anything; "" for what is no host name."""
    try:
        return parse_host_name(content.decode("ascii").strip())
    except (UnicodeDecodeError, UsageError):
        return ""


def _line(host: str) -> str:
    """Turn `NAME:ADDRESS` into a line of hosts(5)."""
    name, _, address = host.partition(":")
    return f"{address.strip('[]')}\t{name}"


def _own_init(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise OutputError(str(path), f"cannot be read as init: {error.strerror}") from error
