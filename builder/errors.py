"""What can go wrong: one exception per kind of failure, each carrying facts and an exit status.

The library raises; only the command line catches, prints one line and exits. The line reads
"what, where: what to do", so every class writes its own message from its facts.
"""

from __future__ import annotations

from collections.abc import Sequence

from builder.words import legible, listed, quoted, without_password


class BuilderError(Exception):
    """Base of every failure this package raises on purpose; `exit_status` is the command's (1: the build failed).

    Its text is one legible line, whatever words of an image are in it, and without the passwords of URLs.
    """

    exit_status = 1

    def __init__(self, text: str) -> None:
        super().__init__(legible(without_password(text)))

    def __reduce__(self) -> tuple[object, ...]:
        # Pickled with all its facts: by default, an exception is made anew from its text alone.
        return _again, (type(self), *self.args), vars(self)


def _again(kind: type[BuilderError], text: str) -> BuilderError:
    return kind.__new__(kind, text)


class FailedAt(BuilderError):
    """What fails at `where`, a path, a URL or a name, for a `reason` in words."""

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(f"{where}: {reason}")
        self.where = where
        self.reason = reason


class UsageError(BuilderError):
    """The caller asked for something that cannot be meant: a bad reference, option or list (status 2)."""

    exit_status = 2


class InvalidReference(UsageError):
    """An image reference that does not parse, or that names more than one image."""

    def __init__(self, reference: str, reason: str) -> None:
        super().__init__(f"image reference {quoted(reference)}: {reason}")
        self.reference = reference
        self.reason = reason


class ImageNotFound(BuilderError):
    """Nothing is where the reference points, or it holds no such tag, digest or platform."""

    def __init__(self, reference: str, reason: str) -> None:
        super().__init__(f"{reference}: {reason}")
        self.reference = reference
        self.reason = reason


class SourceUnreadable(FailedAt):
    """What holds the image cannot be read: an input/output error, no room to unpack it, a service that is down."""


class PlatformNotFound(ImageNotFound):
    """An image is there, but not for the platform `wanted`; `available` are those it states (os/arch/variant).

    A `hint` says more, and what to do.
    """

    def __init__(self, reference: str, wanted: str, available: Sequence[str], hint: str = "") -> None:
        others = f"available: {listed(available)}" if available else "and no entry states another platform"
        super().__init__(reference, f"no image for {wanted}; {others}{hint}")
        self.wanted = wanted
        self.available = tuple(available)


class ImageRefused(BuilderError):
    """The image is malformed, corrupt or hostile (status 3); nothing of it is published."""

    exit_status = 3


class MalformedDocument(ImageRefused):
    """A JSON document of the image breaks its specification; `path` is the JSON path, as `$.layers[0].size`."""

    def __init__(self, document: str, path: str, reason: str) -> None:
        super().__init__(f"{document} at {path}: {reason}")
        self.document = document
        self.path = path
        self.reason = reason


class InvalidDigest(ImageRefused):
    """A text is no digest that can be verified; for those of documents, MalformedDocument says where it is."""

    def __init__(self, text: str, reason: str) -> None:
        super().__init__(f"digest {quoted(text, 200)}: {reason}")
        self.text = text
        self.reason = reason


class UnsupportedImage(ImageRefused):
    """The image is legal but no root disk can be made of it: schema 1, an artifact, encrypted layers."""

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(f"{what}: {reason}")
        self.what = what
        self.reason = reason


class DigestMismatch(ImageRefused):
    """Content does not hash to its digest: `what` names it, digests are in `algorithm:hex` form."""

    def __init__(self, what: str, expected: str, actual: str) -> None:
        super().__init__(f"{what}: expected {expected}, its content is {actual}; fetch or export the image again")
        self.what = what
        self.expected = expected
        self.actual = actual


class SizeMismatch(ImageRefused):
    """Content is not as long as its descriptor says; sizes in bytes, `actual` may be a lower bound."""

    def __init__(self, what: str, expected: int, actual: int) -> None:
        compared = "has more than that" if actual > expected else f"has {actual}"
        super().__init__(f"{what}: expected {expected} bytes, {compared}; fetch or export the image again")
        self.what = what
        self.expected = expected
        self.actual = actual


class BlobMissing(ImageRefused):
    """A descriptor points at content that the source does not hold; `urls` are those it names, `more` ends the line."""

    def __init__(self, what: str, urls: Sequence[str] = (), more: str = "") -> None:
        elsewhere = f"; it is not distributed with the image but by {listed(urls)}" if urls else ""
        super().__init__(f"{what}: the blob is not there{elsewhere}{more}")
        self.what = what
        self.urls = tuple(urls)


class MalformedArchive(FailedAt, ImageRefused):
    """The file that holds the image is no archive of the kind it should be, or a damaged one."""


class UnsafeFile(FailedAt, ImageRefused):
    """A file of the image is not one that may be read: a symlink that leaves its place, a device, a fifo."""


class CorruptStream(ImageRefused):
    """A compressed stream is cut off, fails its checksum or asks for too much memory; whoever reads it names it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class MalformedTar(ImageRefused):
    """A tar stream breaks its format or can be read in two ways; `entry` is the raw name where one is to blame."""

    def __init__(self, entry: bytes | None, reason: str) -> None:
        super().__init__(reason if entry is None else f"entry {quoted(entry)}: {reason}")
        self.entry = entry
        self.reason = reason


class UnfitTar(MalformedTar):
    """A tar in order that cannot hold an image: one name with two contents, a name that leaves it, a device."""


class LayerRefused(ImageRefused):
    """A layer cannot be applied faithfully; `entry` is the raw tar name where one is to blame."""

    def __init__(self, layer: str, entry: bytes | None, reason: str) -> None:
        where = layer if entry is None else f"{layer}, entry {quoted(entry)}"
        super().__init__(f"{where}: {reason}")
        self.layer = layer
        self.entry = entry
        self.reason = reason


class LimitExceeded(LayerRefused):
    """A layer is larger than a limit allows; the message names the option that raises the limit."""


class TreeRefused(ImageRefused):
    """A path of the merged tree does not fit the file system asked for (a name, an xattr, a time)."""

    def __init__(self, path: bytes, reason: str) -> None:
        super().__init__(f"{quoted(b'/' + path)}: {reason}")
        self.path = path
        self.reason = reason


class DiskTooSmall(BuilderError):
    """The size or inode count asked for does not hold the tree; `needed` is in the same unit as `asked`."""

    def __init__(self, option: str, asked: int, needed: int) -> None:
        super().__init__(f"{option} {asked} is too small: this image needs at least {needed}; raise it or leave it out")
        self.option = option
        self.asked = asked
        self.needed = needed


class OutputError(BuilderError):
    """An output cannot be written where it was asked for."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class MissingRequirement(BuilderError):
    """A tool, a feature of a tool, or a permission is missing on this machine (status 4)."""

    exit_status = 4


class OutputDenied(MissingRequirement):
    """This user may not write where an output or a work directory was asked for."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class StoreError(FailedAt):
    """The image store cannot be used: no room, no locks, damaged records; `where` is a path or URL."""


class StoreCorrupt(ImageRefused):
    """Something in the image store is not what its name says; `where` is a file of it."""

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(f"{where}: {reason}; `rootfs-builder store verify --quarantine` moves it away")
        self.where = where
        self.reason = reason


class StoreDenied(FailedAt, MissingRequirement):
    """This user may not read or write the image store; `where` is a path or URL."""


class ToolMissing(MissingRequirement):
    """A program is not installed; the message names the packages of Debian, Fedora and Alpine that bring it."""

    def __init__(self, tool: str, packages: Sequence[tuple[str, str]] = ()) -> None:
        where = ", ".join(f"{package} ({system})" for system, package in packages)
        super().__init__(f"{tool} is not installed" + (f": install {where}" if where else ""))
        self.tool = tool
        self.packages = tuple(packages)


class ToolUnusable(MissingRequirement):
    """A program is installed at `path` and cannot be started."""

    def __init__(self, tool: str, path: str, reason: str) -> None:
        super().__init__(f"{tool} does not start: {path}: {reason}; install it again")
        self.tool = tool
        self.path = path
        self.reason = reason


class ToolFailed(BuilderError):
    """A program ended with a failure: `status` as waitpid gives it in Python (negative: the signal)."""

    def __init__(self, argv: Sequence[str], status: int, stderr: str, stdout: str = "") -> None:
        ended = f"was killed by signal {-status}" if status < 0 else f"failed with status {status}"
        last = stderr.strip().splitlines()[-1:] or ["it printed nothing"]
        super().__init__(f"{argv[0]} {ended}: {last[0]}")
        self.argv = tuple(argv)
        self.status = status
        self.stderr = stderr
        self.stdout = stdout
