"""An option of a build, declared once: at the field that holds its value, with all that is known of it.

The command line, lists of images, jobs that travel, metadata and Python derive from the declarations (`options.py` has
the table of them); nothing of an option is said a second time.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from builder.form import SWITCH, Form

# A value as JSON has it.
Written = str | int | bool | None | list[str]


@dataclass(frozen=True, slots=True)
class Group:
    """Options that help shows together: `commands` have them; `decides` says whether they decide a disk's bytes."""

    title: str
    commands: frozenset[str]
    decides: bool = False


@dataclass(frozen=True, slots=True)
class Option:
    """An entry of the table: `name` as on the command line without its dashes, `path` where BuildOptions holds it.

    A switch whose name begins with `no-` switches off what the value at `path` says. `variable` is the environment
    variable that speaks where the command line does not. The value of one that `repeats` is a tuple, in the order in
    which it was said; several options may say one such tuple, and `first` is the name of the first of them.
    """

    form: Form
    group: Group
    help: str
    default: Any
    name: str
    commands: frozenset[str]
    decides: bool
    variable: str | None
    repeats: bool
    path: tuple[str, ...] = ()
    first: str = ""

    @property
    def is_switch(self) -> bool:
        """Whether it takes no value on the command line, and yes or no elsewhere."""
        return self.form == SWITCH

    @property
    def shown_default(self) -> str | None:
        """The default as help shows it; None for a switch, and where none is set or the build chooses."""
        return None if self.is_switch or self.default in (None, "", 0, ()) else self.form.write(self.default)

    @property
    def switches_off(self) -> bool:
        """Whether saying it makes the value at `path` false."""
        return self.is_switch and self.name.startswith("no-")

    def held(self, said: Any) -> Any:
        """Turn what was said, parsed, into the value at `path`, and back: a switch that begins with `no-` negates."""
        return not said if self.switches_off else said

    def read(self, text: str) -> Any:
        """Read the value at `path` from what is written in a list of images. Raises UsageError."""
        return self.held(self.form.parse(text))

    def write(self, value: Any) -> Written:
        """Write the value at `path` as JSON has it: numbers, truth and nothing as they are, all else as text."""
        said = self.held(value)
        if self.repeats:
            return [self.form.write(each) for each in said]
        return said if said is None or isinstance(said, (int, bool)) else self.form.write(said)

    def reread(self, written: Written) -> Any:
        """Read what `write` wrote. Raises UsageError."""
        if isinstance(written, list):
            return tuple((self.form.reread or self.form.parse)(each) for each in written)
        return self.held(written if written is None or isinstance(written, bool) else self.form.parse(str(written)))


def option(
    default: Any,
    form: Form,
    group: Group,
    help: str,
    *,
    name: str = "",
    commands: frozenset[str] | None = None,
    decides: bool | None = None,
    variable: str | None = None,
    repeats: bool = False,
) -> Any:
    """Declare a field of a dataclass to be an option; name and commands are the field's and the group's by default."""
    declared = Option(
        form,
        group,
        help,
        default,
        name,
        group.commands if commands is None else commands,
        group.decides if decides is None else decides,
        variable,
        repeats,
    )
    return dataclasses.field(default=default, metadata={"options": (declared,)})


def in_one_order(*fields: Any) -> Any:
    """Declare a field of a dataclass that several named options fill, in the order in which they were said."""
    options = tuple(each for field in fields for each in field.metadata["options"])
    return dataclasses.field(default=options[0].default, metadata={"options": options})


def declared(holder: Any, path: tuple[str, ...] = ()) -> Iterator[Option]:
    """List the options that a dataclass's default instance holds, itself and in dataclasses below it."""
    for field in dataclasses.fields(holder):
        here = (*path, field.name)
        if found := field.metadata.get("options"):
            names = [each.name or field.name.replace("_", "-") for each in found]
            for each, name in zip(found, names, strict=True):
                yield dataclasses.replace(each, name=name, path=here, first=names[0])
        elif dataclasses.is_dataclass(below := getattr(holder, field.name)):
            yield from declared(below, here)


_READING = frozenset({"build", "batch", "unpack", "inspect", "verify"})
DISK = Group("Disk", frozenset({"build", "batch"}), decides=True)
GUEST = Group("Guest", frozenset({"build", "batch"}), decides=True)
FILES = Group("Files of your own", frozenset({"build", "batch"}))
MACHINE = Group("Machine", frozenset({"build", "batch"}))
IMAGE = Group("Image", _READING)
REGISTRY = Group("Registries and the store", _READING)
OUTPUT = Group("Output", frozenset({"build", "batch"}))
