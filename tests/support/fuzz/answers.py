"""What comes back from guests, workers, and from earlier runs of this program."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from support import images
from support.fuzz.mutate import of_json
from support.fuzz.target import Target

from builder.batch.images import Job
from builder.batch.schedulers.cluster import _written_in
from builder.batch.schedulers.on_worker import why_lost
from builder.batch.worker import _disk
from builder.files.litter import is_litter, process_of
from builder.options import BuildOptions
from builder.vm.channels import Channels


def console(data: bytes) -> None:
    """Hear of a guest how its process ended, and what is on its console."""
    nowhere = os.open("/dev/null", os.O_RDWR)
    try:
        channels = Channels(nowhere, nowhere, nowhere, False)
        ends = {name: socket.socket(fileno=os.dup(fd)) for name, fd in channels.ports.items()}
        ends["console"] = socket.socket(fileno=os.dup(channels.console))
        channels.handed_over()
        for end in ends.values():
            with end:
                end.sendall(data[: 64 << 10])
        channels.finish()
    finally:
        os.close(nowhere)
    assert channels.status is None or 0 <= channels.status < 256
    assert all(line.isprintable() for line in (*channels.last_words, *channels.init_words))


def work_directory(data: bytes) -> None:
    name = "rootfs-builder.build.0123456789abcdef"
    Path(name).mkdir(exist_ok=True)
    Path(name, "mark").write_bytes(data)
    fd = os.open(name, os.O_RDONLY)
    try:
        is_litter(fd, name)
        process_of(fd, name)
    finally:
        os.close(fd)


def records(data: bytes) -> None:
    """Read what a worker says, the file that a scheduler writes, and metadata as a worker does."""
    why_lost(data.decode("utf-8", "replace"))
    Path("written.json").write_bytes(data)
    _disk(Job(1, "oci:a", Path("a.ext4"), BuildOptions(metadata_file=Path("written.json"))))
    _written_in(Path("written.json"))


WRITTEN = {
    "lost": "why",
    "address": "tcp://127.0.0.1:8786",
    "disk": {"size": 1, "sha256": "0", "uuid": "1"},
    "image": {"manifest": {"digest": "sha256:0"}, "layers": [{"digest": "sha256:1", "size": 2}]},
}
MARK = b"rootfs-builder works here, in rootfs-builder.build.0123456789abcdef; what it leaves is removed\nprocess 7\n"
CONSOLE = b"rootfs-builder init: words\nRun /init\nerofs: (device vda): x\n"
TARGETS = {
    "console": Target(console, lambda: [b"status 7\n", CONSOLE]),
    "work-directory": Target(work_directory, lambda: [MARK]),
    "records": Target(records, lambda: [images.dumps(WRITTEN)], of_json),
}
