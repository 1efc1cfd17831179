"""The command `rootfs-builder`, and `python -m builder`: ready for signals first, imported afterwards."""

import os
import sys

if __name__ == "__main__" and not sys.flags.safe_path and os.path.dirname(os.path.dirname(__file__)) != sys.path[0]:
    # That is the current directory, which `python -m` puts first: anybody's, where this program is elsewhere.
    del sys.path[0]

from builder.signals import end_on_signals, end_soon, ended_at_once, no_more_signals

_NO_MEMORY = "this machine gives us no more memory"

TYPE_CHECKING = False  # as in typing, whose import takes longer than all else here
if TYPE_CHECKING:
    from sys import UnraisableHookArgs
    from typing import NoReturn


def main() -> "NoReturn":
    """Run the command and exit."""
    sys.unraisablehook = _unraisable
    end_on_signals()
    try:
        # Here, because a signal may come meanwhile, and because what it needs may be missing.
        with ended_at_once():
            from builder.cli.main import run
            from builder.sandbox.owned import own_process
    except (ImportError, MemoryError, OSError, SystemError) as error:
        # In words of its own: the modules that have others may not import. Where an import runs out of memory, the
        # interpreter may lose the MemoryError on the way and raise a SystemError instead.
        short = isinstance(error, (MemoryError, SystemError)) or "failed to map segment" in str(error)
        _fail(_NO_MEMORY if short else f"cannot start: {error}; install it again")
        sys.exit(4 if isinstance(error, ImportError) and not short else 1)
    own_process()
    try:
        status: int | None = run(sys.argv[1:])
    except (MemoryError, SystemError):
        status = None
    no_more_signals()
    if status is None:
        # There was too little memory left to say so. Now there is enough: what the exception held is freed.
        _fail(_NO_MEMORY)
        sys.exit(1)
    sys.exit(status)


def _unraisable(lost: "UnraisableHookArgs") -> None:
    if lost.exc_type is SystemExit:
        # A signal that came in a destructor.
        end_soon()
    # A thread that had no memory to begin with is reported by whoever waits for it (threads.py).
    elif lost.exc_type is not MemoryError:
        sys.__unraisablehook__(lost)


def _fail(text: str) -> None:
    try:
        sys.stderr.write(f"rootfs-builder: error: {text}\n")
    except (AttributeError, OSError):
        return  # nobody hears it; the status says it


if __name__ == "__main__":
    main()
