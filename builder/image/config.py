"""Image configs: what a container of the image runs, and the diff_ids of its layers.

Strict about that and about the platform; all else is for people, and what is odd there is left out and remarked on.
OCI image-spec, config.md, and Docker's "Image Specification v1.2", which adds Healthcheck. Docker's other
fields (ArgsEscaped, OnBuild, Shell, container_config …) mean nothing to a disk and are ignored like unknown
ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated

import msgspec

from builder.errors import MalformedDocument
from builder.image.descriptor import read_digest
from builder.image.digest import Digest
from builder.image.document import member, read_document
from builder.image.platform import Platform
from builder.image.port import ExposedPort
from builder.image.shape import LENIENT, Remarks, convert_document


@dataclass(frozen=True, slots=True)
class Healthcheck:
    """How to find out whether the service works: `test` as Docker has it, times in ns; 0 is the default."""

    test: tuple[str, ...] = ()
    interval_ns: int = 0
    timeout_ns: int = 0
    start_period_ns: int = 0
    start_interval_ns: int = 0
    retries: int = 0


@dataclass(frozen=True, slots=True)
class History:
    """One step of the image's making; `created` is text as it was written, None for what was not said."""

    created: str | None = None
    created_by: str | None = None
    author: str | None = None
    comment: str | None = None
    empty_layer: bool = False


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """An image's config. What it does not say, or says with null, is empty here, which has the same meaning.

    `env` entries are kept to the letter, also those without `=`: Docker and runc pass them on as they are.
    `user` and `working_dir` are resolved in the guest's root file system, so they are only text here.
    `history` is a story, not a promise: squashed images tell of more layers than they have. `remarks` are sentences
    about what the document says and this does not.
    """

    os: str
    architecture: str
    diff_ids: tuple[Digest, ...]
    variant: str | None = None
    created: str | None = None
    author: str | None = None
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    working_dir: str = ""
    user: str = ""
    exposed_ports: tuple[ExposedPort, ...] = ()
    volumes: tuple[str, ...] = ()
    stop_signal: str = ""
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    healthcheck: Healthcheck | None = None
    history: tuple[History, ...] = ()
    remarks: tuple[str, ...] = field(default=(), compare=False)

    @property
    def platform(self) -> Platform:
        """The platform that the config states."""
        return Platform(self.os, self.architecture, self.variant)

    @property
    def goarch(self) -> str:
        """The architecture as Go calls it (GOARCH), also where the config calls it otherwise, such as x86_64."""
        return self.platform.normalised().architecture


_Count = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
_Text = Annotated[str | None, LENIENT]


class _Nothing(msgspec.Struct):
    pass


# Go's way to write a set: keys with empty objects.
_Set = Annotated[dict[str, _Nothing | None] | None, LENIENT]
# Docker's StrSlice: a text is a list of one.
_Words = list[str] | str | None


class _Healthcheck(msgspec.Struct, rename="pascal"):
    test: list[str] | None = None
    interval: _Count | None = None
    timeout: _Count | None = None
    start_period: _Count | None = None
    start_interval: _Count | None = None
    retries: _Count | None = None


class _Execution(msgspec.Struct, rename="pascal"):
    entrypoint: _Words = None
    cmd: _Words = None
    env: list[str] | None = None
    working_dir: str | None = None
    user: str | None = None
    exposed_ports: _Set = None
    volumes: _Set = None
    stop_signal: str | None = None
    labels: Annotated[dict[str, str] | None, LENIENT] = None
    healthcheck: Annotated[_Healthcheck | None, LENIENT] = None


class _RootFs(msgspec.Struct):
    # Its `type` is "layers", whatever it says: there has never been another.
    diff_ids: list[str] | None = None


class _History(msgspec.Struct):
    created: str | None = None
    created_by: str | None = None
    author: str | None = None
    comment: str | None = None
    empty_layer: bool | None = None


class _Config(msgspec.Struct):
    os: str | None = None
    architecture: str | None = None
    rootfs: _RootFs | None = None
    variant: str | None = None
    created: _Text = None
    author: _Text = None
    config: _Execution | None = None
    history: Annotated[list[_History] | None, LENIENT] = None


def parse_config(data: bytes, name: str) -> ImageConfig:
    """Parse an image config, OCI's or Docker's; `name` says in errors which. Raises MalformedDocument."""
    remarks = Remarks()
    fields = convert_document(read_document(data, name), _Config, name, remarks)
    # Docker leaves out the diff_ids of an image without layers.
    diff_ids = enumerate((fields.rootfs or _RootFs()).diff_ids or ())
    execution = fields.config or _Execution()
    _refuse_nuls(execution, name)
    ports = _read_ports(execution.exposed_ports or (), name, remarks)
    return ImageConfig(
        os=fields.os or "",
        architecture=fields.architecture or "",
        variant=fields.variant or None,
        diff_ids=tuple(read_digest(text, name, f"$.rootfs.diff_ids[{i}]") for i, text in diff_ids),
        created=fields.created,
        author=fields.author,
        entrypoint=_words(execution.entrypoint),
        cmd=_words(execution.cmd),
        env=tuple(execution.env or ()),
        working_dir=execution.working_dir or "",
        user=execution.user or "",
        exposed_ports=ports,
        volumes=tuple(execution.volumes or ()),
        stop_signal=execution.stop_signal or "",
        labels=execution.labels or {},
        healthcheck=_read_healthcheck(execution.healthcheck),
        history=tuple(_read_history(fields.history or ())),
        remarks=remarks.texts(),
    )


def _words(words: _Words) -> tuple[str, ...]:
    return (words,) if isinstance(words, str) else tuple(words or ())


def _read_ports(texts: Iterable[str], name: str, remarks: Remarks) -> tuple[ExposedPort, ...]:
    """Read what is exposed; what a port is changes from one version of Docker to the next."""
    ports: dict[ExposedPort, None] = {}
    for text in texts:
        path = member("$.config.ExposedPorts", text)
        try:
            ports[ExposedPort.parse(text, name, path)] = None
        except MalformedDocument:
            remarks.left_out.append(path)
    return tuple(ports)


def _read_healthcheck(fields: _Healthcheck | None) -> Healthcheck | None:
    if fields is None:
        return None
    return Healthcheck(
        test=tuple(fields.test or ()),
        interval_ns=fields.interval or 0,
        timeout_ns=fields.timeout or 0,
        start_period_ns=fields.start_period or 0,
        start_interval_ns=fields.start_interval or 0,
        retries=fields.retries or 0,
    )


def _read_history(steps: Iterable[_History]) -> Iterable[History]:
    for step in steps:
        yield History(step.created, step.created_by, step.author, step.comment, bool(step.empty_layer))


def _refuse_nuls(execution: _Execution, name: str) -> None:
    """Refuse what no process can be started with: a NUL ends an argument, a variable and a path."""
    texts = {
        "$.config.WorkingDir": execution.working_dir or "",
        "$.config.User": execution.user or "",
        "$.config.StopSignal": execution.stop_signal or "",
    }
    lists = {"Entrypoint": _words(execution.entrypoint), "Cmd": _words(execution.cmd), "Env": execution.env}
    for key, items in lists.items():
        texts |= {f"$.config.{key}[{i}]": item for i, item in enumerate(items or ())}
    for path, text in texts.items():
        if "\0" in text:
            raise MalformedDocument(name, path, "holds a NUL, which no program can be given")
