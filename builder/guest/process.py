"""What an image's process is: its config, what the user says instead, and what the tree knows."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from posixpath import normpath
from typing import TypeVar

from builder.errors import UnsupportedImage, UsageError
from builder.guest.description import Description
from builder.guest.facts import Resolved
from builder.guest.options import GuestOptions
from builder.guest.stop_signal import parse_signal
from builder.image.config import ImageConfig
from builder.linux import WHITEOUT
from builder.tree.paths import Refusal, components
from builder.words import quoted

T = TypeVar("T")

# Docker's and podman's, where an image says nothing.
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DEFAULT_SIGNAL = "SIGTERM"


@dataclass(frozen=True, slots=True)
class Process:
    """What runs: `env` by name, in order; `user` is USER[:GROUP], for the image's own files to resolve."""

    entrypoint: tuple[str, ...]
    cmd: tuple[str, ...]
    env: Mapping[str, str | None]
    cwd: str
    volumes: tuple[str, ...]
    user: str
    stop: int

    @property
    def argv(self) -> tuple[str, ...]:
        """The program and its arguments."""
        return self.entrypoint + self.cmd


class NothingToRun(UsageError):
    """An image has neither Entrypoint nor Cmd, and the user gave none."""

    def __init__(self, reference: str) -> None:
        self.reason = f"{reference}: the image has neither Entrypoint nor Cmd"
        self.advice = "say what to run with --cmd, or leave init out with --init none"
        super().__init__(f"{self.reason}; {self.advice}")


def plan_process(config: ImageConfig, said: GuestOptions, reference: str) -> Process:
    """Decide what runs, where and with which environment, as far as the config and the user say.

    Raises NothingToRun; UsageError, or UnsupportedImage where the image says it, for a stop signal or a working
    directory that is none.
    """
    entrypoint, cmd = _words(config.entrypoint), _words(config.cmd)
    if said.entrypoint is not None:
        entrypoint, cmd = said.entrypoint, ()
    if said.cmd is not None:
        cmd = said.cmd
    # As in podman, which writes `--entrypoint ''` so.
    entrypoint = () if entrypoint == ("",) else entrypoint
    if not entrypoint + cmd:
        raise NothingToRun(reference)
    variables = _variables([*_words(config.env), *said.env])
    return Process(
        entrypoint=entrypoint,
        cmd=cmd,
        env={"PATH": DEFAULT_PATH, **variables},
        cwd=_stated(_directory, said.working_dir, config.working_dir, "/", "--working-dir", reference),
        # One with a NUL is no path, and no process depends on it.
        volumes=tuple("/" + path.lstrip("/") for path in _words(config.volumes) if "\0" not in path),
        user=_text(config.user) if said.user is None else said.user,
        stop=_stated(parse_signal, said.stop_signal, config.stop_signal, DEFAULT_SIGNAL, "--stop-signal", reference),
    )


def describe_process(process: Process, resolved: Resolved) -> Description:
    """Say in init's words what `process` is, with what the image's own files say of it."""
    env = {"HOME": resolved.home, "HOSTNAME": resolved.hostname, **process.env}
    if resolved.takeover:
        # systemd takes a machine for a container where images for containers say so, and leaves its devices alone.
        env.pop("container", None)
    return Description(
        entrypoint=process.entrypoint,
        cmd=process.cmd,
        env=settings(env),
        cwd=process.cwd,
        volumes=process.volumes,
        uid=resolved.uid,
        gid=resolved.gid,
        groups=resolved.groups,
        stop=resolved.stop_signal,
        takeover=resolved.takeover,
        hostname=resolved.hostname,
        hostname_file="hostname" in resolved.writes,
    )


def settings(variables: Mapping[str, str | None]) -> tuple[str, ...]:
    """Write variables as a process gets them: `NAME=VALUE`, or the bare name that an image has without a value."""
    return tuple(name if value is None else f"{name}={value}" for name, value in variables.items())


def _variables(settings: Iterable[str]) -> Mapping[str, str | None]:
    """Read `NAME=VALUE` settings; the last of a name counts, in the place of the first."""
    found: dict[str, str | None] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        found[name] = value if equals else None
    return found


def _words(words: Iterable[str]) -> tuple[str, ...]:
    return tuple(_text(word) for word in words)


def _text(text: str) -> str:
    """Read what a config says as Go's tools do: one half of a character, which JSON can write, is no character."""
    return re.sub("[\ud800-\udfff]", "\ufffd", text)


def _stated(parse: Callable[[str], T], said: str | None, image: str, default: str, option: str, reference: str) -> T:
    """Read what the user says, or else the image, or else the default; what is wrong with the image is its fault."""
    if said:
        return parse(said)
    try:
        return parse(_text(image) or default)
    except UsageError as error:
        advice = f"name another with {option}, or leave init out with --init none"
        raise UnsupportedImage(reference, f"{error}; {advice}") from error


def _directory(path: str) -> str:
    """Return a working directory as it is in the guest, where relative ones begin at the root; as WORKDIR reads it."""
    place = normpath("/" + path.lstrip("/"))
    try:
        parts = components(place.encode("utf-8", "surrogateescape"))
    except Refusal as refusal:
        raise UsageError(f"the working directory {quoted(place, 200)} {refusal.reason}") from refusal
    # Made as part of a layer, it would remove something.
    if any(part.startswith(WHITEOUT) for part in parts):
        raise UsageError(f"the working directory {quoted(place, 200)} has a name that marks a removal in layers")
    return place
