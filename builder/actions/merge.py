"""The first half of every verb that reads layers: each verified and applied, one merged tree."""

from __future__ import annotations

from collections.abc import Sequence

from builder.additions.apply import Build, apply_changes
from builder.additions.survey import Surveyed
from builder.events import Listener, Stage
from builder.image.image import Image
from builder.layers.account import Account
from builder.layers.stream import open_layer
from builder.options import BuildOptions
from builder.sources.source import Source, expect
from builder.tree.merge import apply_layer
from builder.tree.read import read_layer
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
    account = Account(options.limits)
    for layer in image.layers:
        account.packed(layer.name, layer.descriptor.size)
    expect(source, [layer.descriptor for layer in image.layers])
    for layer in image.layers:
        listen(Stage(f"reading {layer.name}", layer.descriptor.size))
        with open_layer(source, layer, account, listen) as stream:
            entries = read_layer(stream, spool)
        apply_layer(tree, layer.name, entries.without(stream.is_bookkeeping), listen)
    apply_changes(Build(tree, spool, account, (options.source_date_epoch or 0) * 10**9, listen), surveyed)
    if options.source_date_epoch is not None:
        tree.clamp_times(options.source_date_epoch)
    return tree
