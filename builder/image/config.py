"""Image configs: what a container of the image runs, and the diff_ids of its layers.

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
from builder.image.document import convert_document, member, read_document, shown
from builder.image.platform import Platform
from builder.image.port import ExposedPort


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
    `history` is a story, not a promise: squashed images tell of more layers than they have.
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

    @property
    def platform(self) -> Platform:
        """The platform that the config states."""
        return Platform(self.os, self.architecture, self.variant)


_Count = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]


class _Nothing(msgspec.Struct):
    pass


# Go's way to write a set: keys with empty objects.
_Set = dict[str, _Nothing | None]


class _Healthcheck(msgspec.Struct, rename="pascal"):
    test: list[str] | None = None
    interval: _Count | None = None
    timeout: _Count | None = None
    start_period: _Count | None = None
    start_interval: _Count | None = None
    retries: _Count | None = None


class _Execution(msgspec.Struct, rename="pascal"):
    entrypoint: list[str] | None = None
    cmd: list[str] | None = None
    env: list[str] | None = None
    working_dir: str | None = None
    user: str | None = None
    exposed_ports: _Set | None = None
    volumes: _Set | None = None
    stop_signal: str | None = None
    labels: dict[str, str] | None = None
    healthcheck: _Healthcheck | None = None


class _RootFs(msgspec.Struct):
    type: str
    diff_ids: list[str] | None = None


class _History(msgspec.Struct):
    created: str | None = None
    created_by: str | None = None
    author: str | None = None
    comment: str | None = None
    empty_layer: bool | None = None


class _Config(msgspec.Struct):
    os: str
    architecture: str
    rootfs: _RootFs
    variant: str | None = None
    created: str | None = None
    author: str | None = None
    config: _Execution | None = None
    history: list[_History] | None = None


def parse_config(data: bytes, name: str) -> ImageConfig:
    """Parse an image config, OCI's or Docker's; `name` says in errors which. Raises MalformedDocument."""
    fields = convert_document(read_document(data, name), _Config, name)
    if fields.rootfs.type != "layers":
        raise MalformedDocument(name, "$.rootfs.type", f"is {shown(fields.rootfs.type)}, it must be 'layers'")
    # Docker leaves out the diff_ids of an image without layers.
    diff_ids = enumerate(fields.rootfs.diff_ids or ())
    execution = fields.config or _Execution()
    _refuse_nuls(execution, name)
    ports = [
        ExposedPort.parse(text, name, member("$.config.ExposedPorts", text)) for text in execution.exposed_ports or ()
    ]
    return ImageConfig(
        os=fields.os,
        architecture=fields.architecture,
        variant=fields.variant or None,
        diff_ids=tuple(read_digest(text, name, f"$.rootfs.diff_ids[{i}]") for i, text in diff_ids),
        created=fields.created,
        author=fields.author,
        entrypoint=tuple(execution.entrypoint or ()),
        cmd=tuple(execution.cmd or ()),
        env=tuple(execution.env or ()),
        working_dir=execution.working_dir or "",
        user=execution.user or "",
        exposed_ports=tuple(dict.fromkeys(ports)),
        volumes=tuple(execution.volumes or ()),
        stop_signal=execution.stop_signal or "",
        labels=execution.labels or {},
        healthcheck=_read_healthcheck(execution.healthcheck),
        history=tuple(_read_history(fields.history or ())),
    )


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
    lists = {"Entrypoint": execution.entrypoint, "Cmd": execution.cmd, "Env": execution.env}
    for key, items in lists.items():
        texts |= {f"$.config.{key}[{i}]": item for i, item in enumerate(items or ())}
    texts |= {member("$.config.Volumes", path): path for path in execution.volumes or ()}
    for path, text in texts.items():
        if "\0" in text:
            raise MalformedDocument(name, path, "holds a NUL, which no program can be given")
