"""What is wrong with a boot is said in one line, before anything is started."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.command import run


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--timeout", "nan"], "'nan' is no number of seconds; write it as 60 or 1.5"),
        (["--timeout", "0"], "'0' is no number of seconds"),
        (["--timeout", "-1"], "'-1' is no number of seconds"),
        (["--port", "80"], "'80' is no HOST:GUEST[/udp] of two ports"),
        (["--port", "70000:80"], "'70000:80' is no HOST:GUEST[/udp] of two ports"),
        (["--memory", "much"], "'much' is not a size"),
        (["--env", "=x"], "'=x' is no variable"),
        (["--machine", "pc"], "'pc' is not one of"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path: Path, words: list[str], said: str) -> None:
    done = run("boot", tmp_path / "disk", *words)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert said in done.stderr
