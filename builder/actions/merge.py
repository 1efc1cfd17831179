"""The first half of every verb that reads layers: each verified and applied, one merged tree."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

from builder.additions.survey import Surveyed, identity_with
from builder.decoded.read import Layers
from builder.events import Listener, Step
from builder.guest.bootable import Guest, make_bootable
from builder.guest.facts import Resolved
from builder.image.image import Image
from builder.layers.account import Account
from builder.options import BuildOptions
from builder.sources.source import Source
from builder.tree.merge import apply_layer
from builder.tree.spool import Spool
from builder.tree.tree import Tree


def merge(
    source: Source,
    image: Image,
    spool: Spool,
    options: BuildOptions,
    listen: Listener,
    surveyed: Sequence[Surveyed] = (),
) -> Tree:
    """Read and verify every layer of `image`, bottom first, and apply each to the tree of those below it.

    What the user adds comes on top, and counts for the limits, too.
    """
    tree = Tree()
    account = Account.of([image], options.limits)
    with closing(Layers(source, spool, account, options.cache, listen)) as layers:
        for layer, entries in layers.read(image.layers):
            listen(Step(f"merging {layer.name}"))
            apply_layer(tree, layer.name, entries, listen)
    if surveyed:
        # Here, because it brings what parses tars, which is not needed where all layers are kept decoded.
        from builder.additions.apply import Build, apply_changes

        apply_changes(Build(tree, spool, layers.account, (options.source_date_epoch or 0) * 10**9, listen), surveyed)
        spool.settle()
    if options.source_date_epoch is not None:
        tree.clamp_times(options.source_date_epoch)
    return tree


def merge_whole(
    source: Source,
    image: Image,
    guest: Guest | None,
    surveyed: Sequence[Surveyed],
    spool: Spool,
    options: BuildOptions,
    listen: Listener,
) -> tuple[Tree, bytes, Resolved | None]:
    """Make all that a disk is to hold: the merged tree, and init on it where a guest boots from it.

    With the tree comes what stands for its content, 32 bytes, and what it says of the process that boots.
    """
    tree = merge(source, image, spool, options, listen, surveyed)
    identity = identity_with(image.identity, surveyed)
    if guest is None:
        return tree, identity, None
    resolved, identity = make_bootable(tree, spool, guest, identity, listen)
    spool.settle()
    return tree, identity, resolved
