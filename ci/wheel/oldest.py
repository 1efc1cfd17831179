"""Print the oldest versions of the dependencies that pyproject.toml allows, as pip's constraints.

python ci/wheel/oldest.py > constraints.txt
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

PROJECT = Path(__file__).parents[2] / "pyproject.toml"


def oldest(dependency: str) -> str:
    """Turn `name>=1,<2` into `name==1`; raises ValueError for a dependency without such a bound."""
    found = re.match(r"([\w.-]+)>=([\w.]+)", dependency)
    if found is None:
        raise ValueError(f"pyproject.toml: {dependency} has no lower bound")
    return f"{found[1]}=={found[2]}"


if __name__ == "__main__":
    print("\n".join(map(oldest, tomllib.loads(PROJECT.read_text())["project"]["dependencies"])))
