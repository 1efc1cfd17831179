"""Has a script run by a Python that has what it imports: `import own_python` comes before all that Python has not.

That is the one of .venv, where the one that began has less; where there is none either, one line says what to do. And
who interrupts a script is told nothing that he knows.
"""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType


def _say(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    # Python ends itself by the signal after that.
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)


sys.excepthook = _say
_OWN = Path(__file__).resolve().parents[1] / ".venv"

if any(find_spec(name) is None for name in ("msgspec", "zstandard")):
    if not _OWN.exists() or os.path.samefile(sys.prefix, _OWN):
        print(f"{Path(sys.argv[0]).name}: what this imports is not installed; run ci/setup test", file=sys.stderr)
        sys.exit(4)
    os.execv(_OWN / "bin/python", [str(_OWN / "bin/python"), *sys.argv])
