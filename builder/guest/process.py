"""What an image's process is: its config, what the user says instead, and what the tree knows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from builder.errors import UsageError
from builder.guest.description import Description
from builder.guest.facts import Resolved
from builder.guest.stop_signal import parse_signal
from builder.image.config import ImageConfig

# Docker's and podman's, where an image says nothing.
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DEFAULT_SIGNAL = "SIGTERM"


@dataclass(frozen=True, slots=True)
class Overrides:
    """What the user says in place of the config; None, or an empty list, leaves what the config says.

    An `entrypoint` of the user's takes the place of the config's Cmd, too, as in podman. `env` are `NAME=VALUE`.
    """

    entrypoint: tuple[str, ...] | None = None
    cmd: tuple[str, ...] | None = None
    env: tuple[str, ...] = ()
    user: str | None = None
    working_dir: str | None = None
    stop_signal: str | None = None


@dataclass(frozen=True, slots=True)
class Process:
    """What runs: `env` by name, in order; `user` is USER[:GROUP], for the image's own files to resolve."""

    entrypoint: tuple[str, ...]
    cmd: tuple[str, ...]
    env: Mapping[str, str | None]
    cwd: str
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


def plan_process(config: ImageConfig, overrides: Overrides, reference: str) -> Process:
    """Decide what runs, where and with which environment, as far as the config and the user say.

    Raises NothingToRun, and UsageError for a stop signal that is none.
    """
    entrypoint, cmd = config.entrypoint, config.cmd
    if overrides.entrypoint is not None:
        entrypoint, cmd = overrides.entrypoint, ()
    if overrides.cmd is not None:
        cmd = overrides.cmd
    if not entrypoint + cmd:
        raise NothingToRun(reference)
    variables = _variables([*config.env, *overrides.env])
    return Process(
        entrypoint=entrypoint,
        cmd=cmd,
        env={"PATH": DEFAULT_PATH, **variables},
        cwd=_absolute(config.working_dir if overrides.working_dir is None else overrides.working_dir),
        user=config.user if overrides.user is None else overrides.user,
        stop=parse_signal(overrides.stop_signal or config.stop_signal or DEFAULT_SIGNAL),
    )


def describe_process(process: Process, resolved: Resolved) -> Description:
    """Say in init's words what `process` is, with what the image's own files say of it."""
    env = {"HOME": resolved.home, "HOSTNAME": resolved.hostname, **process.env}
    return Description(
        entrypoint=process.entrypoint,
        cmd=process.cmd,
        env=settings(env),
        cwd=process.cwd,
        uid=resolved.uid,
        gid=resolved.gid,
        groups=resolved.groups,
        stop=resolved.stop_signal,
        takeover=resolved.takeover,
        hostname=resolved.hostname,
        write=resolved.writes,
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


def _absolute(directory: str) -> str:
    """Return a working directory as it is in the guest, where `/` stands for the root; relative ones begin there."""
    return "/" + directory.lstrip("/")
