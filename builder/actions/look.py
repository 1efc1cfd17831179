"""Where an image's bytes are, by layer and directory; nothing of its content is written anywhere."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass

from builder.actions.confinement import confine_reading
from builder.actions.opening import open_image, temporary_directory
from builder.events import Listener, Stage, ignore
from builder.image.image import Image
from builder.layers.account import Account
from builder.layers.stream import open_layer
from builder.options import BuildOptions
from builder.sandbox.policy import policy
from builder.sources.resolve import resolve
from builder.sources.source import expect
from builder.tree.history import History, LayerUse, Loss
from builder.tree.read import read_headers
from builder.tree.sums import Sums


@dataclass(frozen=True, slots=True)
class Look:
    """What an image's layers brought, what is left of it, and what was lost, the most bytes first.

    `efficiency`, from 0 to 1, and `repeated`, in bytes, are as dive counts them (tree/efficiency.py).
    """

    image: Image
    layers: list[LayerUse]
    sums: Sums
    losses: list[Loss]
    efficiency: float
    repeated: int

    @property
    def wasted(self) -> int:
        """The bytes that layers brought and nobody can see any more."""
        return sum(layer.brought - layer.kept for layer in self.layers)


def look(reference: str, options: BuildOptions | None = None, listen: Listener = ignore) -> Look:
    """Read and verify the image at `reference`, and find out where its bytes are. Raises BuilderError."""
    options = options or BuildOptions()
    with policy(options.sandbox), temporary_directory(options, "look", listen) as (scratch, room):
        with closing(open_image(reference, options, scratch, listen)) as source:
            image = resolve(source, reference, options.platform, listen)
            confine_reading(source, reference, options, room)
            history, account = History(), Account.of([image], options.limits)
            expect(source, [layer.descriptor for layer in image.layers])
            for number, layer in enumerate(image.layers):
                listen(Stage(f"reading {layer.name}", layer.descriptor.size))
                with open_layer(source, layer, account, listen) as stream:
                    entries = read_headers(stream, number)
                history.apply(layer.name, entries.without(stream.is_bookkeeping))
    sums = Sums(history.tree, lambda content: content.offset)
    efficiency = history.efficiency
    return Look(image, history.layers(sums), sums, history.losses(), efficiency.score, efficiency.repeated)
