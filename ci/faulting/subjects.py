"""The commands that are tried: what each needs, what it may leave, and in which order it publishes."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from support.command import ROOT
from support.guests import KERNEL, image
from support.images import Spec, digest, layout
from support.pushed import get
from support.registry import Registry
from support.tars import directory, file, hardlink, symlink, tar

from builder.errors import BuilderError
from builder.image.digest import Digest
from builder.store import open_store
from builder.store.check import check
from builder.store.collect import Collected, blobs_of, collect
from faulting.running import WELL, run
from faulting.state import State, state_of

FOLDERS = ("out", "tmp", "cache", "store", "home", "run")
# Whatever signal comes, a guest's process is sent SIGTERM, and its status is that of `boot`.
_ASKED_TO_END = frozenset({143})


@dataclass(frozen=True, slots=True)
class Subject:
    """One command.

    `words` may have {trial} in them, which is another number each time. `units` are the outputs, each whole or not
    there, in lists of those that are published in that order. `once`: it is refused where its output is.
    """

    name: str
    words: tuple[str, ...]
    units: tuple[tuple[str, ...], ...] = ()
    once: bool = False
    prepare: Callable[[Path], None] = lambda place: None
    # Looks at what is no file of an output, after a run: (place, trial, ended well) to what is wrong.
    sound: Callable[[Path, int, bool], list[str]] = lambda place, trial, well: []
    tools: tuple[str, ...] = ()
    # How many lines of errors it may say.
    lines: range = field(default_factory=lambda: range(1, 2))
    # With which statuses it may end, too.
    statuses: frozenset[int] = frozenset()

    def of(self, trial: int) -> list[str]:
        """Give the words for one trial."""
        return [word.replace("{trial}", str(trial)) for word in self.words]


def lay_images(place: Path) -> None:
    """Make the folders and the images: an older and a newer one, of a few files of all kinds, and a large one.

    The large one's layers are read on threads, and its spool has stretches that are worth moving, between what upper
    layers replace and remove.
    """
    noise = random.Random(10)
    for folder in FOLDERS:
        (place / folder).mkdir(parents=True)
    base = tar(
        directory("etc"), file("etc/hosts", b"127.0.0.1 localhost\n"), file("bin/sh", b"#!" + bytes(300), mode=0o755)
    )
    old = tar(file("etc/version", b"1"), file("data", noise.randbytes(20_000)))
    new = tar(
        file("etc/version", b"2"),
        file("data", noise.randbytes(150_000)),
        file("holes", b"x" + bytes(300_000) + b"y"),
        hardlink("again", "data"),
        symlink("link", "data"),
        *(file(f"many/{number}", b"%d" % number * 900) for number in range(30)),
    )
    config = {"Cmd": ["/bin/sh"]}
    layout(place / "old", Spec((base, old), config=config))
    layout(place / "image", Spec((base, new), config=config))
    large = tar(*(file(name, noise.randbytes(1_500_000)) for name in ("kept", "replaced", "removed", "last")))
    changes = tar(file("replaced", noise.randbytes(1_200_000)), file(".wh.removed"))
    layout(place / "large", Spec((large, changes), config=config))


def _build(name: str, disk: str, *words: str, image: str = "oci:image", replaces: bool = True) -> Subject:
    output, metadata, depfile = f"out/{disk}", f"out/{disk}.json", f"out/{disk}.d"
    line = ("-q", "build", image, "-o", output, "--metadata-file", metadata, "--depfile", depfile, *words)

    def prepare(place: Path) -> None:
        if replaces:
            _do(place, *(word.replace(image, "oci:old") for word in line))

    tools = ("mke2fs", "e2fsck") if disk.endswith("ext4") else ("mkfs.erofs", "fsck.erofs")
    return Subject(name, line, ((depfile, output, metadata),), prepare=prepare, tools=tools)


def _build_with_companions() -> Subject:
    before = {"--depfile": "c.d", "--initrd": "c.initrd", "--vm-config": "c.json", "--provenance": "c.provenance"}
    words = ["-q", "build", "oci:image", "-o", "out/c.erofs", "--verity", "--kernel", "/boot/vmlinuz"]
    for option, name in before.items():
        words += [option, f"firecracker=out/{name}" if option == "--vm-config" else f"out/{name}"]
    words += ["--metadata-file", "out/c.erofs.json"]
    units = (*(f"out/{name}" for name in before.values()), "out/c.erofs", "out/c.erofs.json")

    def prepare(place: Path) -> None:
        _do(place, *(word.replace("oci:image", "oci:old") for word in words))

    return Subject(
        "build with companions", tuple(words), (units,), prepare=prepare, tools=("mkfs.erofs", "veritysetup")
    )


def _do(place: Path, *words: str) -> None:
    ran = run(words, place, WELL)
    if ran.status:
        raise SystemExit(f"{' '.join(words)}: {ran.status}: {ran.stderr}")


def _list(place: Path) -> None:
    (place / "list").write_text("oci:image output=a.ext4\noci:old output=b.erofs\n")


def _holds(source: str) -> Callable[[Path, int, bool], list[str]]:
    """A store in which nothing is damaged, and no image incomplete; after a good end with that one alone."""

    def sound(place: Path, _trial: int, well: bool) -> list[str]:
        try:
            with closing(open_store(str(place / "store"))) as store:
                damages = [f"damaged: {damage.what}: {damage.reason}" for damage in check(store).damages]
                images = len(list(store.references()))
                if well:
                    collect(store)
                    wanted = json.loads((place / source / "index.json").read_bytes())["manifests"][0]["digest"]
                    there = Digest.parse(wanted) in set(blobs_of(store))
                    left = collect(store)
                    damages += [] if there and images == 1 else ["it ended well, and the image is not there"]
                    damages += [f"left after gc: {left}"] if left != Collected(0, 0, 0, 0) else []
                return damages
        except BuilderError as error:
            return [f"the store: {error}"]

    return sound


def _collecting() -> Subject:
    """`store gc` where one name had another image before."""
    holds = _holds("large")

    def prepare(place: Path) -> None:
        for name in ("oci:image", "oci:large"):
            _do(place, "-q", "store", "pull", name, "--name", "localhost/a:1")

    def sound(place: Path, trial: int, well: bool) -> list[str]:
        with closing(open_store(str(place / "store"))) as store:
            left = collect(store, dry_run=True) if well else Collected(0, 0, 0, 0)
        return [*([f"it ended well, and left {left}"] if left.blobs else []), *holds(place, trial, well)]

    return Subject("store gc", ("-q", "store", "gc"), prepare=prepare, sound=sound)


def _pruning() -> Subject:
    """`cache prune` of the layers of two images, of which one may stay."""
    most = 2_000_000
    made: State = {}

    def prepare(place: Path) -> None:
        for name in ("oci:image", "oci:large"):
            _do(place, "-q", "build", name, "-o", "out/made.ext4")
        (place / "out/made.ext4").unlink()
        made.clear()
        made.update(state_of(place / "cache"))

    def sound(place: Path, _trial: int, well: bool) -> list[str]:
        found = state_of(place / "cache")
        size = sum(path.stat().st_size for path in (place / "cache").rglob("*") if path.is_file())
        wrong = [
            f"{name} is {what}, and was {made.get(name)}" for name, what in found.items() if made.get(name) != what
        ]
        return [*wrong, *([f"it ended well, and left {size} bytes"] if well and size > most else [])]

    return Subject("cache prune", ("-q", "cache", "prune", "--cache-size", str(most)), prepare=prepare, sound=sound)


def _verifying(format: str, checker: str) -> Subject:
    def prepare(place: Path) -> None:
        _do(place, "-q", "build", "oci:image", "-o", f"out/v.{format}", "--metadata-file", f"out/v.{format}.json")

    words = ("-q", "verify", f"out/v.{format}", "oci:image")
    # That a disk differs is said on standard output.
    return Subject(f"verify {format}", words, prepare=prepare, tools=(checker,), lines=range(2))


def _pushed(registry: Registry) -> Subject:
    def prepare(place: Path) -> None:
        _do(place, "-q", "build", "oci:image", "-o", "out/d.erofs", "--metadata-file", "out/d.erofs.json")

    def sound(place: Path, trial: int, well: bool) -> list[str]:
        status, data = get(registry.host, f"/v2/disk/manifests/{trial}")
        if status == 404:
            return ["it ended well, and there is no such tag"] if well else []
        manifest = json.loads(data)
        found = []
        for descriptor in (manifest["config"], *manifest["layers"]):
            status, data = get(registry.host, f"/v2/disk/blobs/{descriptor['digest']}")
            if (status, digest(data)) != (200, descriptor["digest"]):
                found.append(f"{descriptor['digest']} is pushed by tag, and not there")
        return found

    words = ("-q", "push", "out/d.erofs", f"docker://{registry.host}/disk:{{trial}}", "--tls-verify", "no")
    return Subject("push", words, prepare=prepare, sound=sound)


def _pulled(registry: Registry) -> Subject:
    reference = f"docker://{registry.host}/pulled:1"

    def prepare(place: Path) -> None:
        _do(place, "-q", "build", "oci:image", "-o", "tmp/d.erofs", "--metadata-file", "tmp/d.erofs.json")
        _do(place, "-q", "push", "tmp/d.erofs", reference, "--tls-verify", "no")
        for name in ("d.erofs", "d.erofs.json"):
            (place / "tmp" / name).unlink()

    words = ("-q", "pull", reference, "-o", "out/p.erofs", "--tls-verify", "no")
    return Subject("pull", words, (("out/p.erofs", "out/p.erofs.json"),), prepare=prepare)


def _boot() -> Subject:
    def prepare(place: Path) -> None:
        reference = image(place / "machine", {"Cmd": ["/bin/sh", "-c", "echo what is lost is said"]})
        _do(place, "-q", "build", reference, "-o", "out/machine.ext4")

    kernel = ("--kernel", str(KERNEL / "vmlinuz"), "--modules", str(KERNEL / "lib/modules"))
    words = ("-q", "boot", "out/machine.ext4", *kernel, "--timeout", "3000")
    return Subject("boot", words, prepare=prepare, tools=("qemu-system-x86_64",), statuses=_ASKED_TO_END)


def subjects(registry: Registry | None) -> dict[str, Subject]:
    """List the commands by name; what needs a registry or a kernel only where there is one."""
    found = [
        _build("build ext4", "d.ext4"),
        _build("build erofs", "d.erofs", replaces=False),
        _build("build erofs --compress", "d.erofs", "--compress", "lz4"),
        # Its content is moved to its places in the spool's own file, where the file system can.
        _build("build large ext4", "d.ext4", "--no-cache", image="oci:large"),
        _build("build large erofs", "d.erofs", "--no-cache", image="oci:large", replaces=False),
        _build("build large kept", "d.ext4", image="oci:large", replaces=False),
        _build_with_companions(),
        Subject("unpack", ("-q", "unpack", "oci:image", "out/tree"), (("out/tree",),), once=True),
        Subject("store pull", ("-q", "store", "pull", "oci:image", "--name", "localhost/a:1"), sound=_holds("image")),
        Subject(
            "batch",
            ("-q", "batch", "list", "-o", "out", "-j", "2"),
            (("out/a.ext4", "out/a.ext4.json"), ("out/b.erofs", "out/b.erofs.json")),
            prepare=_list,
            tools=("mke2fs", "mkfs.erofs"),
            lines=range(1, 5),
        ),
        _verifying("ext4", "e2fsck"),
        _verifying("erofs", "fsck.erofs"),
        _collecting(),
        _pruning(),
    ]
    if registry is not None:
        found += [_pushed(registry), _pulled(registry)]
    if (ROOT / ".cache/kernel/vmlinuz").exists():
        found.append(_boot())
    return {subject.name: subject for subject in found}
