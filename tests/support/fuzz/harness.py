"""Init's reading of what it is told, compiled with sanitizers: a process that takes one input after the other."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

from support.fuzz.target import took_elsewhere

SOURCES = Path(__file__).parents[3] / "builder/guest/init"


class Harness:
    """The process, which ends with this one."""

    def __init__(self) -> None:
        flags = [
            "-std=gnu11",
            "-O1",
            "-g",
            "-fsanitize=address,undefined",
            "-fno-sanitize-recover=all",
            "-static-libasan",
        ]
        files = [SOURCES / "base.c", SOURCES / "description.c", Path(__file__).with_suffix(".c")]
        # What else is in init, and not needed for this, is left out by the linker.
        argv = ["gcc", *flags, "-ffunction-sections", "-Wl,--gc-sections,--wrap=read_file", f"-I{SOURCES}"]
        subprocess.run([*argv, "-o", "harness", *map(str, files)], check=True, capture_output=True)
        # Sanitizers want their shadow where an address space at random may already have something else.
        self._process = subprocess.Popen(
            ["prlimit", "--as=unlimited", "setarch", "-R", "./harness"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={"ASAN_OPTIONS": "detect_leaks=0:max_allocation_size_mb=64"},
        )

    def give(self, what: bytes, data: bytes) -> None:
        """Have the process read this; AssertionError if it does not survive that."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(what + struct.pack("=I", len(data)) + data)
        process.stdin.flush()
        status, _, microseconds = process.stdout.readline().strip().partition(b" ")
        took_elsewhere(int(microseconds or 0) / 1e6)
        assert status == b"0", f"init ended with the wait status {status.decode()}"
