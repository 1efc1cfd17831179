"""The table of options: each is declared once, and means the same wherever it is said."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any
from uuid import UUID

import click
import pytest

from builder import AddedTar, Addition, BuildOptions, DiskOptions, Removal
from builder.batch.images import parse_list
from builder.cli.command import SPEECH
from builder.cli.main import cli
from builder.cli.options import build_options, table_option
from builder.decoded.options import CacheOptions
from builder.disk.filesystem import Compression
from builder.errors import UsageError
from builder.form import DIRECTORY, FILE, PLACE, parse_truth
from builder.guest.options import INIT, GuestOptions
from builder.image.platform import Platform
from builder.limits import Limits
from builder.option import Option
from builder.options import OPTIONS
from builder.registry import RegistryAccess
from builder.sources.access import Access
from builder.vm.machine import MachineOptions
from builder.vm.options import VmConfig, VmOptions

# Forms of options that say where something is.
PLACES = (FILE, DIRECTORY, PLACE, INIT)


def machine(**said: Any) -> BuildOptions:
    return BuildOptions(vm=VmOptions(machine=MachineOptions(**said)))


# What each option is given here, as written, and BuildOptions as Python has them then.
SAID: dict[str, tuple[str, BuildOptions]] = {
    "format": ("erofs", BuildOptions(format="erofs")),
    "size": ("1.5G", BuildOptions(disk=DiskOptions(size=3 << 29))),
    "free": ("64M", BuildOptions(disk=DiskOptions(free=64 << 20))),
    "inodes": ("5000", BuildOptions(disk=DiskOptions(inodes=5000))),
    "journal": ("no", BuildOptions(disk=DiskOptions(journal=False))),
    "label": ("grün", BuildOptions(disk=DiskOptions(label="grün"))),
    "uuid": (f"{UUID(int=1)}", BuildOptions(disk=DiskOptions(uuid=UUID(int=1)))),
    "compress": ("zstd:19", BuildOptions(disk=DiskOptions(compress=Compression("zstd", 19)))),
    "dedupe": ("yes", BuildOptions(disk=DiskOptions(dedupe=True))),
    "fragments": ("yes", BuildOptions(disk=DiskOptions(fragments=True))),
    "verity": ("yes", BuildOptions(disk=DiskOptions(verity=True))),
    "check": ("no", BuildOptions(disk=DiskOptions(check=False))),
    "init": ("none", BuildOptions(guest=GuestOptions(init="none"))),
    "initrd": ("/boot/initrd", BuildOptions(guest=GuestOptions(initrd=Path("/boot/initrd")))),
    "modules": ("/lib/modules/6.1", BuildOptions(guest=GuestOptions(modules=Path("/lib/modules/6.1")))),
    "entrypoint": ('["/a b", "c"]', BuildOptions(guest=GuestOptions(entrypoint=("/a b", "c")))),
    "cmd": ("sh -c id", BuildOptions(guest=GuestOptions(cmd=("sh", "-c", "id")))),
    "env": ("A=1=2", BuildOptions(guest=GuestOptions(env=("A=1=2",)))),
    "user": ("web:www", BuildOptions(guest=GuestOptions(user="web:www"))),
    "working-dir": ("/srv", BuildOptions(guest=GuestOptions(working_dir="/srv"))),
    "stop-signal": ("SIGRTMIN+3", BuildOptions(guest=GuestOptions(stop_signal="SIGRTMIN+3"))),
    "hostname": ("web.lan", BuildOptions(guest=GuestOptions(hostname="web.lan"))),
    "dns": ("9.9.9.9", BuildOptions(guest=GuestOptions(dns=("9.9.9.9",)))),
    "add-host": ("db:10.0.0.1", BuildOptions(guest=GuestOptions(add_host=("db:10.0.0.1",)))),
    "add": (
        "a,b:c:/x y,mode=4755,owner=1:2",
        BuildOptions(additions=(Addition("a,b:c", "/x y", mode=0o4755, owner=(1, 2)),)),
    ),
    "add-tar": ("a.tar:/srv", BuildOptions(additions=(AddedTar("a.tar", "/srv"),))),
    "remove": ("/etc/motd", BuildOptions(additions=(Removal("/etc/motd"),))),
    "platform": ("linux/arm/v6", BuildOptions(platform=Platform("linux", "arm", "v6"))),
    "max-size": ("1T", BuildOptions(limits=Limits(max_size=1 << 40))),
    "max-entries": ("7", BuildOptions(limits=Limits(max_entries=7))),
    "max-ratio": ("100", BuildOptions(limits=Limits(max_ratio=100))),
    "source-date-epoch": ("0", BuildOptions(source_date_epoch=0)),
    "tmpdir": ("/var/tmp", BuildOptions(tmpdir=Path("/var/tmp"))),
    "store": ("mem://", BuildOptions(access=Access(store="mem://"))),
    "no-store": ("yes", BuildOptions(access=Access(keep=False))),
    "verify-key": ("cosign.pub", BuildOptions(access=Access(verify_key=Path("cosign.pub")))),
    "authfile": (
        "auth\udcff.json",
        BuildOptions(access=Access(registry=RegistryAccess(authfile=Path("auth\udcff.json")))),
    ),
    "cert-dir": ("certs.d", BuildOptions(access=Access(registry=RegistryAccess(cert_dir=Path("certs.d"))))),
    "tls-verify": ("false", BuildOptions(access=Access(registry=RegistryAccess(tls_verify=False)))),
    "cache": ("/srv/cache", BuildOptions(cache=CacheOptions(place=Path("/srv/cache")))),
    "no-cache": ("yes", BuildOptions(cache=CacheOptions(keep=False))),
    "cache-size": ("1G", BuildOptions(cache=CacheOptions(size=1 << 30))),
    "vm-config": (
        "firecracker=a=b.json",
        BuildOptions(vm=VmOptions(vm_config=(VmConfig("firecracker", Path("a=b.json")),))),
    ),
    "kernel": ("vmlinux", machine(kernel=Path("vmlinux"))),
    "memory": ("2G", machine(memory=2 << 30)),
    "vcpus": ("4", machine(vcpus=4)),
    "data": ("data.ext4", machine(data=Path("data.ext4"))),
    "writable": ("yes", machine(writable=True)),
    "append": ("quiet x=1", machine(append=("quiet x=1",))),
    "force": ("yes", BuildOptions(force=True)),
    "no-wait": ("yes", BuildOptions(wait=False)),
    "sandbox": ("require", BuildOptions(sandbox="require")),
    "metadata-file": ("m.json", BuildOptions(metadata_file=Path("m.json"))),
    "provenance": ("p.json", BuildOptions(provenance=Path("p.json"))),
    "sbom": ("s.json", BuildOptions(sbom=Path("s.json"))),
    "attestations": ("a.jsonl", BuildOptions(attestations=Path("a.jsonl"))),
    "push": ("docker://host.example/web:1", BuildOptions(push="docker://host.example/web:1")),
    "depfile": ("d", BuildOptions(depfile=Path("d"))),
}


def test_every_option_is_tried_here() -> None:
    assert sorted(SAID) == sorted(OPTIONS)


@pytest.mark.parametrize("name", SAID)
def test_an_option_means_the_same_on_the_command_line_in_a_list_in_a_job_and_in_python(name: str) -> None:
    written, meant = SAID[name]
    entry = OPTIONS[name]
    assert on_the_command_line(entry, written) == meant
    if "batch" in entry.commands:
        (job,) = parse_list(
            f"oci:web output=web.erofs {shlex.quote(f'{name}={written}')}", "list", Path("disks"), BuildOptions()
        )
        assert job.options.value(entry) == meant.value(entry)
    travelled = json.loads(json.dumps(entry.write(meant.value(entry))))
    assert BuildOptions().but({name: entry.reread(travelled)}) == meant


@pytest.mark.parametrize("name", [name for name in SAID if not OPTIONS[name].repeats])
def test_text_for_what_is_no_text_is_read_as_on_the_command_line_in_python_too(name: str) -> None:
    written, meant = SAID[name]
    text = written if not OPTIONS[name].switches_off else {"yes": "no"}[written]
    assert BuildOptions().but({name: text}).settled() == meant
    assert meant.settled() == meant


def on_the_command_line(entry: Option, written: str) -> object:
    @click.command()
    @table_option(entry.name)
    def command(**said: Any) -> BuildOptions:
        return build_options(**said)

    words = [f"--{entry.name}", written]
    if entry.is_switch:
        words = [f"--{entry.name}" if parse_truth(written) else f"--no-{entry.name}"]
    return command.main(words, standalone_mode=False)


@pytest.mark.parametrize("name", [name for name, entry in OPTIONS.items() if entry.form in PLACES])
def test_an_empty_name_is_no_place_least_of_all_the_current_directory(name: str) -> None:
    with pytest.raises(UsageError, match="an empty name names no"):
        OPTIONS[name].form.parse("")
    with pytest.raises(click.BadParameter, match="an empty name names no"):
        on_the_command_line(OPTIONS[name], "")


@pytest.mark.parametrize("name", [name for name, entry in OPTIONS.items() if entry.form == FILE])
def test_a_file_may_be_called_as_others_call_a_stream(name: str) -> None:
    entry, dash = OPTIONS[name], Path("-")
    with pytest.raises(UsageError, match=r"name a file, or \./- for one that is called so"):
        entry.form.parse("-")
    assert on_the_command_line(entry, "./-") == BuildOptions().but({name: dash})
    assert entry.reread(json.loads(json.dumps(entry.write(dash)))) == dash
    assert GuestOptions(initrd=dash).decided().initrd == dash


@pytest.mark.parametrize("command", ["build", "batch", "unpack", "inspect", "verify", "boot", "push", "pull", "blank"])
def test_no_command_takes_an_empty_name_for_a_path(command: str) -> None:
    for param in cli.commands[command].params:
        if isinstance(param.type, click.Path):
            with pytest.raises(click.BadParameter, match="an empty name names no"):
                param.type.convert("", param, None)


@pytest.mark.parametrize("name", OPTIONS)
def test_what_is_not_said_has_its_default_everywhere(name: str) -> None:
    entry = OPTIONS[name]

    @click.command()
    @table_option(name)
    def command(**said: Any) -> BuildOptions:
        return build_options(**said)

    assert command.main([], standalone_mode=False) == BuildOptions()
    assert entry.reread(entry.write(entry.default)) == entry.default


@pytest.mark.parametrize("command", ["build", "batch", "unpack", "inspect"])
def test_commands_have_the_options_that_the_table_has_for_them(command: str) -> None:
    own = [option for option in cli.commands[command].params if option not in SPEECH]
    shown = {option.opts[0].removeprefix("--") for option in own if hasattr(option, "group")}
    assert shown == {name for name, entry in OPTIONS.items() if command in entry.commands}


def test_only_what_decides_the_bytes_is_described() -> None:
    assert BuildOptions(platform=Platform("linux", "arm64"), source_date_epoch=7, force=True).describe() == {
        "format": None,
        "size": None,
        "free": 0,
        "inodes": None,
        "journal": None,
        "label": "",
        "uuid": None,
        "compress": None,
        "dedupe": False,
        "fragments": False,
        "verity": False,
        "init": "auto",
        "entrypoint": None,
        "cmd": None,
        "env": [],
        "user": None,
        "workingDir": None,
        "stopSignal": None,
        "hostname": None,
        "dns": [],
        "addHost": [],
        "platform": "linux/arm64",
        "sourceDateEpoch": 7,
    }


def test_help_shows_options_by_their_groups_with_their_defaults() -> None:
    with click.Context(cli.commands["build"], info_name="build", terminal_width=80, max_content_width=80) as context:
        lines = cli.commands["build"].get_help(context).splitlines()
    assert [line for line in lines if line.endswith(":") and not line.startswith(" ")] == [
        "Options:",
        "Disk:",
        "Guest:",
        "Files of your own:",
        "Image:",
        "Registries and the store:",
        "Decoded layers:",
        "Machine:",
        "Output:",
        "Messages:",
    ]
    assert " ".join(" ".join(lines).split()).count("[default: 256G]") == 1


def test_no_line_of_help_is_longer_than_80_columns() -> None:
    commands = [cli, *cli.commands.values()]
    commands += [below for each in commands[1:] if isinstance(each, click.Group) for below in each.commands.values()]
    for command in commands:
        with click.Context(command, info_name="rootfs-builder store x", terminal_width=80) as context:
            assert [line for line in command.get_help(context).splitlines() if len(line) > 80] == []


def test_an_empty_command_counts_and_an_empty_list_of_others_does_not() -> None:
    assert build_options(entrypoint=(), env=()) == BuildOptions(guest=GuestOptions(entrypoint=()))
    assert OPTIONS["entrypoint"].read("") == ()
