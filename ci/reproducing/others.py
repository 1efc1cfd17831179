"""Where else the same disks are built: on other systems, and by reprotest."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
from itertools import product
from pathlib import Path

from reproducing.building import CHECKOUT, FORMATS, OWN, PLAIN, WORDS, NotTried, make_inputs

RELEASES = ("bookworm", "trixie", "forky")
ARCHITECTURES = ("amd64", "arm64")
# All that reprotest varies, but whose user it is: that is a build of its own, as others may not mount with FUSE.
_VARIED = "--variations=+all,-user_group,domain_host.use_sudo=1"
_AS_ANOTHER = "--extra-build=-fileordering,+user_group,user_group.available+=nobody:nogroup"
_SUDO = """#!/bin/sh
# reprotest says `-h localhost`, which sudo takes for a list of what is allowed only (CVE-2025-32462).
[ "$1" != -h ] || shift 2
exec {sudo} "$@"
"""


def systems() -> int:
    """Print a line for each system, with the digests that its tools make; the status says whether they are one.

    Disks of ext4 are to be the same everywhere, disks of erofs wherever mkfs.erofs is the same.
    """
    digests: dict[str, str] = {}
    different = 0
    for release, architecture in product(RELEASES, ARCHITECTURES):
        script = "import platform; print(platform.machine(), platform.python_version())"
        inside = [str(CHECKOUT / "ci/in-other"), release, architecture]
        about = subprocess.run([*inside, "python3", "-c", script], stdout=subprocess.PIPE, text=True, check=False)
        ran = subprocess.run(
            [*inside, "python3", f"{CHECKOUT}/ci/reproduce", "--digests"], stdout=subprocess.PIPE, check=False
        )
        if about.returncode or ran.returncode:
            print(f"{release} {architecture}: FAILED with status {about.returncode or ran.returncode}", flush=True)
            different += 1
            continue
        machine, python = about.stdout.split()
        for made in json.loads(ran.stdout):
            tools = " ".join(f"{name} {version}" for name, version in made["tools"].items())
            first = digests.setdefault(made["format"] if made["format"] == "ext4" else tools, made["sha256"])
            same = "" if first == made["sha256"] else " DIFFERENT"
            different += bool(same)
            print(f"{release}, {machine}, Python {python}, {tools}: {made['sha256']}{same}", flush=True)
    return 1 if different else 0


def reprotest(place: Path) -> int:
    """Have reprotest build three times; returns its status. Raises NotTried where it, or sudo, is not installed."""
    sudo = shutil.which("sudo")
    if shutil.which("reprotest") is None or sudo is None:
        raise NotTried("needs reprotest and sudo; they are packages of Debian")
    inputs = make_inputs(place / "inputs")
    (place / "bin").mkdir()
    (place / "bin/sudo").write_text(_SUDO.format(sudo=sudo))
    (place / "bin/sudo").chmod(0o755)
    outputs = [f"disk.{format}" for format in FORMATS]
    builds = [
        f"{shlex.join([*OWN, *WORDS])} oci:image -o out/{output} --add added:/srv </dev/null" for output in outputs
    ]
    differ = [] if shutil.which("diffoscope") else ["--no-diffoscope"]
    words = ["--verbosity", "1", *differ, _VARIED, *([_AS_ANOTHER] if os.geteuid() == 0 else [])]
    script = " && ".join(["mkdir -p out", *builds])
    argv = ["reprotest", *words, "-s", str(inputs), script, " ".join(f"out/{output}" for output in outputs)]
    return subprocess.run(argv, env=PLAIN | {"PATH": f"{place}/bin:{PLAIN['PATH']}"}, check=False).returncode
