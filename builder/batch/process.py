"""One image, one process: whatever a build does to its process, the others do not notice.

Nothing but this program's own place and the interpreter's decides what the process runs: no current directory, which
may be anybody's, and no variable of the environment.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from builder.batch.messages import is_event
from builder.errors import BuilderError
from builder.exact import write_next

# The folder, or zip file, that holds this very package.
_PLACE = Path(__file__).parents[2]
# Finds the package there and nowhere else, installed or not; what it needs, where the interpreter has it, and after
# that where this process found it.
_START = """
import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
place, lifeline, begun, *path = sys.argv[1:]
sys.path += path
spec = PathFinder.find_spec("builder", [place])
sys.modules["builder"] = module_from_spec(spec)
spec.loader.exec_module(sys.modules["builder"])
from builder.batch.worker import main
main(lifeline, float(begun))
"""


class BuildLost(BuilderError):
    """A process that builds ended without an answer."""


def build_in_process(message: str, lifeline: str, hear: Callable[[str], None]) -> str:
    """Build a disk in a process of its own; return its outcome as JSON. `message` is the job as JSON.

    The process gives up, and cleans up, when this one ends or when nobody holds a lock on the file `lifeline` any
    more. `hear` is given what it says meanwhile, an event a line. Raises BuildLost.
    """
    with _start(lifeline) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        with suppress(BrokenPipeError):
            write_next(process.stdin.fileno(), message.encode() + b"\n")
        outcome = None
        # Standard input stays open until the end, as the process's other lifeline.
        with open(process.stdout.fileno(), encoding="ascii", closefd=False) as answers:
            for line in answers:
                if not line.endswith("\n"):
                    break  # cut short, with its process
                if is_event(line):
                    hear(line)
                else:
                    outcome = line
        status = process.wait()
    if outcome is not None:
        return outcome
    how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
    raise BuildLost(f"its build process {how} without an answer; build this image alone to see why")


def _start(lifeline: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [
            # -I: neither the current directory nor PYTHONPATH, PYTHONHOME, PYTHONSTARTUP or a user's site-packages.
            *(sys.executable, "-I", "-X", f"utf8={sys.flags.utf8_mode}", "-c", _START),
            # The clock is the machine's, and runs on in the process.
            *(str(_PLACE), lifeline, str(time.monotonic()), *_path()),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        # What a process that was ended early did not read must not come up again when the pipe is closed.
        bufsize=0,
        # Ctrl-C reaches the batch, which then ends its builds; they must not each hear of it as well.
        start_new_session=True,
    )


def _path() -> list[str]:
    """Tell where this process imports from, without what depends on where it stands."""
    here = os.getcwd()
    return [entry for entry in sys.path if os.path.isabs(entry) and os.path.realpath(entry) != os.path.realpath(here)]
