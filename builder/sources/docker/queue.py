"""Which blobs are fetched when: the one that is read, and those that will be read next."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from threading import Lock

from builder.image.descriptor import Descriptor
from builder.image.digest import Digest
from builder.registry.failures import Stopped
from builder.sources.docker.background import ArrivingBlob, BackgroundDownload

# Blobs under way or waiting to be read, at most: more would not be faster, and each may need room on the disk.
AT_ONCE = 3


@dataclass(slots=True)
class _Shared:
    download: BackgroundDownload
    readers: int = 0


class DownloadQueue:
    """The downloads of one source. `begin` makes one; `is_here` says what needs none; `where` names the source."""

    def __init__(
        self, begin: Callable[[Descriptor], BackgroundDownload], is_here: Callable[[Descriptor], bool], where: str
    ) -> None:
        self._begin = begin
        self._is_here = is_here
        self._where = where
        self._under_way: dict[Digest, _Shared] = {}
        self._expected: deque[Descriptor] = deque()
        self._closed = False
        self._lock = Lock()

    def expect(self, descriptors: Iterable[Descriptor]) -> None:
        """Begin with the first of these, and go on with the others as those before them have been read."""
        with self._lock:
            self._expected.extend(descriptors)
            self._go_on()

    def holds(self, descriptor: Descriptor) -> bool:
        """Say whether a blob is under way, or was fetched and is yet to be read."""
        with self._lock:
            return descriptor.digest in self._under_way

    def open(self, descriptor: Descriptor) -> ArrivingBlob:
        """Open a blob; its transfer begins, or is joined, when it is first read."""
        return ArrivingBlob(lambda: self._acquire(descriptor), lambda: self._release(descriptor.digest))

    def close(self) -> None:
        """End all transfers."""
        with self._lock:
            self._closed = True
            self._expected.clear()
            ended = [shared.download for shared in self._under_way.values()]
            self._under_way.clear()
        for download in ended:
            download.close()

    def _acquire(self, descriptor: Descriptor) -> BackgroundDownload:
        with self._lock:
            if self._closed:
                raise Stopped(self._where)
            if descriptor.digest not in self._under_way:
                self._start(descriptor)
            shared = self._under_way[descriptor.digest]
            shared.readers += 1
            return shared.download

    def _release(self, digest: Digest) -> None:
        with self._lock:
            shared = self._under_way.get(digest)
            if shared is None:
                return  # closed meanwhile
            shared.readers -= 1
            if shared.readers:
                return
            del self._under_way[digest]
        shared.download.close()
        with self._lock:
            self._go_on()

    def _go_on(self) -> None:
        while self._expected and len(self._under_way) < AT_ONCE:
            descriptor = self._expected.popleft()
            if descriptor.digest not in self._under_way and not self._is_here(descriptor):
                self._start(descriptor)

    def _start(self, descriptor: Descriptor) -> None:
        download = self._begin(descriptor)
        download.start()
        self._under_way[descriptor.digest] = _Shared(download)
