"""Verify a store: hash every blob again, and see that what references name is there."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import islice
from secrets import token_hex
from threading import Event

from builder.errors import DigestMismatch, ImageRefused, StoreCorrupt, StoreDenied, StoreError
from builder.events import Listener, Meter, Notice, Stage, ignore
from builder.image.digest import Digest
from builder.image.verifier import Verifier
from builder.store.collect import blobs_of
from builder.store.lease import Lease
from builder.store.listing import StoredImage, describe
from builder.store.reach import Reach
from builder.store.store import Store, blob_path

QUARANTINE = "quarantine"
_READ_SIZE = 1 << 20
# Bytes of a file name in quarantine, before what makes it unique: with that it has 143, as in reference_files.py.
_LONGEST = 126

Stamp = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Damage:
    """Something that is not what it should be: a file of the store, or an image of which something is missing.

    `images` are the names of those that need it; `moved_to` is where it was moved, below the store, if it was.
    """

    what: str
    reason: str
    images: tuple[str, ...] = ()
    moved_to: str | None = None


class StoreDamaged(ImageRefused):
    """A verification of the image store at `where` found `count` things that are not what they should be."""

    def __init__(self, where: str, count: int, moved: bool) -> None:
        what = "1 thing is" if count == 1 else f"{count} things are"
        todo = "what was corrupt is in quarantine:" if moved else "move what is corrupt away with --quarantine, then"
        super().__init__(f"{where}: {what} damaged; {todo} pull the images again")
        self.where = where
        self.count = count


@dataclass(frozen=True, slots=True)
class Checked:
    """What was verified: blobs and their bytes, references; and what was wrong with them."""

    blobs: int
    size: int
    references: int
    damages: tuple[Damage, ...]


def check(store: Store, quarantine: bool = False, listen: Listener = ignore) -> Checked:
    """Hash every blob on as many threads as there are processors, and follow every reference.

    With `quarantine`, what is corrupt is moved to the store's `quarantine` folder, so that the next pull fetches it
    anew. May run beside anything else. Raises StoreError, StoreDenied.
    """
    with store.lease() as lease:
        images, damages = _read_references(store, lease, quarantine)
        users = _users(store, images)
        digests = list(blobs_of(store))
        total = sum((store.room.stamp(blob_path(digest)) or (0,))[0] for digest in digests)
        listen(Stage(f"verifying {len(digests)} blobs", total))
        with closing(_corrupt(store, digests, listen)) as corrupt:
            for digest, reason, stamp in corrupt:
                path = blob_path(digest)
                moved = _move_away(store, path, stamp) if quarantine else None
                names = tuple(sorted(users.get(digest, ())))
                damages.append(Damage(f"{store.place}/{path}", reason, names, moved))
        known = {name for damage in damages for name in damage.images}
        damages += _incomplete(store, images, known, listen)
    return Checked(len(digests), total, len(images), tuple(damages))


def _read_references(store: Store, lease: Lease, quarantine: bool) -> tuple[list[StoredImage], list[Damage]]:
    """Read every reference, and keep what it needs from being collected; list the damaged ones apart."""
    images: list[StoredImage] = []
    damages: list[Damage] = []
    for path in list(store.reference_files()):
        stamp = store.room.stamp(path)
        try:
            images += _hold(store, path, lease)
        except StoreCorrupt as error:
            # Unless it was replaced or removed meanwhile.
            if stamp is not None and store.room.stamp(path) == stamp:
                moved = _move_away(store, path, stamp) if quarantine else None
                damages.append(Damage(error.where, error.reason, (), moved))
    return images, damages


def _users(store: Store, images: Iterable[StoredImage]) -> dict[Digest, list[str]]:
    """Name, for every blob, the images that need it."""
    reach = Reach(store)
    users: dict[Digest, list[str]] = {}
    for image in images:
        for digest in reach.of([(image.descriptor.digest, image.descriptor.media_type)]):
            users.setdefault(digest, []).append(str(image.name))
    return users


def _hold(store: Store, path: str, lease: Lease) -> Iterator[StoredImage]:
    """Read a reference, and keep what it needs from being collected meanwhile; nothing when it is gone."""
    while store.room.stamp(path) is not None:
        name, descriptor = store.load_reference(path)
        # Who may only read the store, or finds it full, verifies it all the same; at worst, what is collected
        # meanwhile is reported.
        with suppress(StoreDenied, StoreError):
            lease.add(descriptor)
        # It may have been replaced, and the old one collected, before it was leased.
        if store.get_manifest(name) == descriptor:
            yield describe(store, name, descriptor)
            return


def _incomplete(store: Store, images: list[StoredImage], known: set[str], listen: Listener) -> Iterator[Damage]:
    """Yield images that cannot be built from, but for those that are `known` to need something that is corrupt."""
    for image in images:
        name = str(image.name)
        # Looked at again: what was moved away is missing now, and what was pulled meanwhile is there.
        image = describe(store, image.name, image.descriptor)
        if name in known:
            continue
        if image.problem is not None:
            yield Damage(name, image.problem.removeprefix(f"{name}: "), (name,))
        elif not image.platforms:
            count = "1 blob is" if len(image.missing) == 1 else f"{len(image.missing)} blobs are"
            missing = f"{count} missing" if image.missing else "it holds no image"
            yield Damage(name, f"is incomplete: {missing}; pull it again", (name,))
        elif image.missing:
            listen(Notice(f"{name}: some of what other platforms need is missing; pull it with --all-platforms"))


def _corrupt(store: Store, digests: list[Digest], listen: Listener) -> Generator[tuple[Digest, str, Stamp], None, None]:
    """Yield each blob that is not what its name says, with the reason and the stamp of what was read."""
    stop = Event()
    done, meter = 0, Meter(listen)
    threads = os.cpu_count() or 1
    waiting = iter(digests)
    with ThreadPoolExecutor(threads) as executor:
        try:
            # Not all at once: a store may have more blobs than there should be futures.
            running: dict[Future[tuple[int, str | None, Stamp]], Digest] = {}
            while True:
                running |= {
                    executor.submit(_hash, store, digest, stop): digest
                    for digest in islice(waiting, 2 * threads - len(running))
                }
                if not running:
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    digest = running.pop(future)
                    size, reason, stamp = future.result()
                    done += size
                    meter(done)
                    if reason is not None:
                        yield digest, reason, stamp
        finally:
            stop.set()


def _hash(store: Store, digest: Digest, stop: Event) -> tuple[int, str | None, Stamp]:
    """Read a blob; give its size and what is wrong with it. One that is gone by now was collected."""
    stamp = store.room.stamp(blob_path(digest))
    file = store.open(digest)
    if file is None or stamp is None:
        return 0, None, ()
    verifier = Verifier(str(digest), digest)
    reason = None
    try:
        with file:
            while not stop.is_set() and (chunk := file.read(_READ_SIZE)):
                verifier.update(chunk)
        verifier.finish()
    except StoreError as error:
        reason = f"it cannot be read: {error.reason}"
    except DigestMismatch as error:
        reason = f"its content is {error.actual}"
    return verifier.count, reason, stamp


def _move_away(store: Store, path: str, stamp: Stamp) -> str | None:
    """Move a file to quarantine, unless another took its name since it was read."""
    target = f"{QUARANTINE}/{path.replace('/', '-')[-_LONGEST:]}.{token_hex(8)}"
    with store.room.lock(exclusive=True):
        if store.room.stamp(path) != stamp:
            return None
        store.room.rename(path, target)
    store.room.sync(QUARANTINE)
    return target
