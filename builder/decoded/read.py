"""An image's layers read one after the other: from the cache where it has them, else from their blobs and into it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress

from builder.decoded.cache import Claim, Kept, LayerCache
from builder.decoded.content import Damaged, Outdated, Unkept
from builder.decoded.options import CacheOptions
from builder.decoded.place import Unusable, default_place, open_layers
from builder.decoded.room import prune
from builder.events import Listener, Notice, Stage
from builder.image.image import Layer
from builder.layers.account import Account
from builder.layers.estargz import TOC_ANNOTATION, has_name_of_bookkeeping
from builder.sources.source import Source, expect, is_rebuilt
from builder.tree.entries import Entries
from builder.tree.spool import Spool

# Of one image, from its base on: each takes an open file until its content is packed, of 1024 that most processes may
# have. Docker makes images of 127 layers at most.
_MOST = 128


class Layers:
    """The layers of one image, for one build: `account` has what was read so far. The caller closes it."""

    def __init__(self, source: Source, spool: Spool, account: Account, options: CacheOptions, listen: Listener) -> None:
        self.account = account
        self._source = source
        self._spool = spool
        self._options = options
        self._listen = listen
        self._kept: dict[int, Kept] = {}
        self._added = False
        self._place = options.place or default_place()
        self._cache = self._opened() if options.keep and self._place is not None else None
        self._usable = self._cache is not None

    def read(self, layers: Sequence[Layer]) -> Iterator[tuple[Layer, Entries]]:
        """Yield each layer with its entries, its content in the spool. Raises BuilderError.

        A layer that is in the cache has passed all that a layer is held against before, and is held against the limits
        now. Its blob is not read.
        """
        for layer in layers:
            if (kept := self._find(layer)) is not None:
                self._kept[layer.index] = kept
        expect(self._source, [layer.descriptor for layer in layers if layer.index not in self._kept])
        for layer in layers:
            yield layer, self._layer(layer)

    def close(self) -> None:
        """Let go of the cache, and make room in it for what was added."""
        for kept in self._kept.values():
            kept.close()
        self._kept.clear()
        if self._cache is None:
            return
        try:
            if self._added:
                prune(self._cache.directory, self._options.size)
        except OSError as error:
            self._give_up(error)
        finally:
            self._cache.close()
            self._cache = None

    def _opened(self) -> LayerCache | None:
        assert self._place is not None
        try:
            fd = open_layers(self._place, make=True)
        except Unusable as unusable:
            self._tell(f"{unusable.reason}; going on without it")
        except OSError as error:
            self._give_up(error)
        else:
            return None if fd is None else LayerCache(fd)
        return None

    def _is_for_cache(self, layer: Layer) -> bool:
        # What was put together from unpacked files need not be what its diff_id, the key here, promises.
        return self._usable and layer.index < _MOST and not is_rebuilt(self._source, layer.descriptor)

    def _find(self, layer: Layer) -> Kept | None:
        if self._cache is not None and self._is_for_cache(layer):
            try:
                return self._fitting(layer, self._cache.find(layer.diff_id))
            except Outdated:
                # Made anew in silence: after an update that is so for each layer.
                pass
            except Damaged as damage:
                self._tell(f"{layer.diff_id} is damaged, and made anew: {damage.reason}")
            except OSError as error:
                self._give_up(error)
        return None

    def _layer(self, layer: Layer) -> Entries:
        kept = self._kept.pop(layer.index, None)
        if kept is not None:
            # What has become of it meanwhile shows below, where it is opened once more.
            with suppress(Damaged, OSError):
                return self._use(layer, kept)
        # What is larger than all there may be would push out everything else.
        if self._cache is not None and self._is_for_cache(layer) and layer.descriptor.size <= self._options.size:
            try:
                claimed = self._cache.claim(layer.diff_id, lambda: self._wait_for(layer))
                if isinstance(claimed, Claim):
                    return self._make(layer, claimed)
                if (kept := self._fitting(layer, claimed)) is not None:
                    return self._use(layer, kept)
            except Damaged as damage:
                # A second time: it cannot be removed, or something here damages files.
                self._tell(f"{layer.diff_id} stays damaged, and is done without: {damage.reason}")
            except OSError as error:
                self._give_up(error)
        return self._decode(layer, self._spool, self.account)[0]

    def _use(self, layer: Layer, kept: Kept) -> Entries:
        self._listen(Stage(f"taking {layer.name} from the cache"))
        entries = kept.lend(self._spool)
        self.account.layer(layer.name, layer.descriptor.size, kept.taken, entries)
        return entries

    def _make(self, layer: Layer, claim: Claim) -> Entries:
        with claim:
            account = self.account.copy()
            entries, blob = self._decode(layer, claim.spool, account)
            with suppress(Unkept):
                try:
                    claim.publish(self._options.size, blob, account.since(self.account), entries)
                    self._added = True
                except OSError as error:
                    self._give_up(error)
            claim.lend(self._spool, entries)
            self.account = account
            return entries

    def _decode(self, layer: Layer, spool: Spool, account: Account) -> tuple[Entries, str]:
        """Read a layer from its blob; with its entries comes for which packed form they hold, empty if for all."""
        # Here, because what parses layers is not needed where all are kept.
        from builder.layers.stream import open_layer
        from builder.tree.read import read_layer

        self._listen(Stage(f"reading {layer.name}", layer.descriptor.size))
        with open_layer(self._source, layer, account, self._listen) as stream:
            entries = read_layer(stream, spool)
        # Of all of them: what is eStargz's own in this blob, and left out, is the image's in another.
        named = any(has_name_of_bookkeeping(entry.path) for entry in entries)
        return entries.without(stream.is_bookkeeping), _blob(layer) if named else ""

    def _fitting(self, layer: Layer, kept: Kept | None) -> Kept | None:
        """Let go of a layer in which something is eStargz's own in one blob and the image's in another."""
        if kept is None or kept.blob in ("", _blob(layer)):
            return kept
        kept.close()
        return None

    def _wait_for(self, layer: Layer) -> None:
        self._listen(Stage(f"waiting for {layer.name}, which another process is reading"))

    def _give_up(self, error: OSError) -> None:
        self._usable = False
        self._tell(f"{error.strerror or error}; going on without it")

    def _tell(self, what: str) -> None:
        self._listen(Notice(f"the cache of decoded layers, {self._place}: {what}"))


def _blob(layer: Layer) -> str:
    """Name what decides, besides the names of entries, which of them are eStargz's own."""
    return f"{layer.descriptor.digest} {TOC_ANNOTATION in layer.descriptor.annotations}"
