"""An image's tree becomes bootable: what runs is decided, and comes with init as one more layer, or in an initramfs."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from builder.errors import LayerRefused, UsageError
from builder.events import Listener, Notice
from builder.guest.description import Description
from builder.guest.executable import doubt
from builder.guest.facts import GuestFacts, Initrd, Resolved
from builder.guest.files import read_file, wanting
from builder.guest.host_files import read_host_file
from builder.guest.inits import init_stop_signal, own_stop_signal
from builder.guest.layer import guest_layer
from builder.guest.options import AUTO, NONE, GuestOptions, parse_host_name
from builder.guest.process import NothingToRun, Process, describe_process, plan_process
from builder.guest.program import NoInit, init_program
from builder.guest.users import find_account
from builder.image.image import Image
from builder.tree.merge import apply_layer
from builder.tree.paths import Refusal
from builder.tree.spool import Spool
from builder.tree.tree import Tree

if TYPE_CHECKING:
    from builder.guest.modules import Module

# The name of a machine that nobody named: the same for every build of the image.
_HOST_NAME = "localhost"

_LOCAL_HOSTS = ("127.0.0.1\tlocalhost", "::1\tlocalhost ip6-localhost ip6-loopback")


@dataclass(frozen=True, slots=True)
class Guest:
    """What is to boot from a disk of `image`: what runs, init, and the kernel modules that are loaded before."""

    image: Image
    options: GuestOptions
    process: Process
    init: bytes
    modules: tuple[Module, ...] = ()

    @property
    def digest(self) -> str:
        """The sha256 of init, in hex."""
        return hashlib.sha256(self.init).hexdigest()

    @property
    def is_on_disk(self) -> bool:
        """Whether the disk holds init; else an initramfs does, and the disk is the image's tree alone."""
        return self.options.initrd is None

    @property
    def inputs(self) -> list[str]:
        """The files of this machine that went in."""
        own = [] if self.options.init == AUTO else [self.options.init]
        return own + [str(module.path) for module in self.modules]

    def describe(self, resolved: Resolved) -> Description:
        """Say all that init is told."""
        hosts = [*_LOCAL_HOSTS, *(_line(host) for host in self.options.add_host)]
        servers = [f"nameserver {server}" for server in self.options.dns]
        return replace(
            describe_process(self.process, resolved),
            hosts="".join(f"{line}\n" for line in hosts) if "hosts" in resolved.writes else None,
            resolver="".join(f"{line}\n" for line in servers) if "resolv.conf" in resolved.writes else None,
        )

    def initramfs(self, resolved: Resolved) -> bytes:
        """Return the initramfs of a disk that does not hold init."""
        # Here, because most disks hold init themselves.
        from builder.guest.initramfs import initramfs

        return initramfs(self.init, self.modules, self.describe(resolved).encode())

    def facts(self, resolved: Resolved, initrd: Initrd | None = None) -> GuestFacts:
        """Tell what boots."""
        description = self.describe(resolved)
        return GuestFacts(
            init=f"sha256:{self.digest}",
            initrd=initrd,
            argv=description.argv,
            env=description.env,
            working_dir=description.cwd,
            user=self.process.user,
            ports=tuple(map(str, self.image.config.exposed_ports)),
            **msgspec.structs.asdict(resolved),
        )


def plan_guest(image: Image, options: GuestOptions, listen: Listener) -> Guest | None:
    """Decide what a disk of `image` boots, before any layer is read; None for init `none`.

    None, too, and a Notice, where nothing is said of the guest and the image names no program, or is of an architecture
    that init was not compiled for. Raises NothingToRun, NoInit, UsageError, and HostFileRefused.
    """
    if options.modules and not options.initrd:
        raise UsageError("--modules go into an initramfs: name one with --initrd, or leave them out")
    if options.init == NONE:
        if options.initrd:
            raise UsageError("--initrd is a place for init: leave out --init none, or --initrd")
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
    process = plan_process(image.config, options, image.reference)
    own = options.init != AUTO
    init = read_host_file(Path(options.init), "init") if own else init_program(image.config.goarch)
    return Guest(image, options, process, init, _modules(options.modules))


def _modules(directory: Path | None) -> tuple[Module, ...]:
    if directory is None:
        return ()
    # Here, because few have any.
    from builder.guest.modules import load_order

    return tuple(load_order(directory))


def make_bootable(tree: Tree, spool: Spool, guest: Guest, identity: bytes, listen: Listener) -> tuple[Resolved, bytes]:
    """Add init and what it is to run to the merged tree, unless that goes into an initramfs.

    `identity` stands for the tree before. Returns what the tree says of the process, and 32 bytes that stand for the
    tree then. Raises UnknownUser, LayerRefused.
    """
    if (reason := doubt(guest.process, tree)) is not None:
        listen(Notice(f"{guest.image.reference}: as it is, the process will not start: {reason}"))
    try:
        resolved = _resolve(tree, spool, guest)
        if not guest.is_on_disk:
            return resolved, identity
        description = guest.describe(resolved)
        entries = guest_layer(tree, spool, description, guest.init)
    except Refusal as refusal:
        reason = f"cannot be looked into for what runs: {refusal.reason}; leave init out with --init none"
        raise LayerRefused("the image", None, reason) from refusal
    try:
        apply_layer(tree, "the layer of init", entries)
    except LayerRefused as refused:
        reason = f"{refused.reason}; leave init out with --init none"
        raise LayerRefused(refused.layer, refused.entry, reason) from refused
    added = guest.digest.encode() + b"\n" + description.encode()
    return resolved, hashlib.sha256(identity + added).digest()


def _resolve(tree: Tree, spool: Spool, guest: Guest) -> Resolved:
    options, process = guest.options, guest.process
    passwd, group = (read_file(tree, spool, f"etc/{name}") or b"" for name in ("passwd", "group"))
    account = find_account(process.user, passwd, group)
    missing = wanting(tree, spool)
    own_name = b"" if "hostname" in missing else read_file(tree, spool, "etc/hostname") or b""
    asked = {"hosts": options.add_host, "hostname": options.hostname, "resolv.conf": options.dns}
    init_stop, stop = own_stop_signal(process.argv[0], tree), process.stop
    if init_stop is not None and not options.stop_signal:
        stop = init_stop_signal(stop if guest.image.config.stop_signal else None, init_stop)
    return Resolved(
        uid=account.uid,
        gid=account.gid,
        groups=account.groups,
        home=account.home,
        hostname=options.hostname or _host_name(own_name) or _HOST_NAME,
        stop_signal=stop,
        takeover=init_stop is not None,
        writes=tuple(name for name, said in asked.items() if said or name in missing),
    )


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
