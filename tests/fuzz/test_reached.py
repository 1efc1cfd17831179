"""What an input reaches is told from what others do, and what comes further is changed further."""

from __future__ import annotations

import subprocess
import sys
from itertools import combinations
from typing import Any

import pytest
from support.command import ROOT
from support.fuzz.reached import NAME, REACHED, marked, words

SOURCE = b"""
'''A module.'''
from __future__ import annotations

def run(number):
    '''A function.'''
    assert __doc__ == "A module." and run.__doc__ == "A function."
    try:
        for _ in range(number == 1):
            pass
        while number == 2:
            number = 20
        match number:
            case 3:
                number = 30
        if number == 4 and number < "a":
            pass
        elif number == 5 or number == 6:
            pass
        return "odd" if number == 7 else b"a word", 70_000
    except TypeError:
        pass
"""


def test_each_way_through_a_function_is_told_from_the_others() -> None:
    names: dict[str, Any] = {NAME: REACHED}
    exec(marked(SOURCE, "source.py"), names)
    ways = []
    for number in range(8):
        REACHED[:] = bytes(len(REACHED))
        names["run"](number)
        ways.append(bytes(REACHED))
    # Of two numbers that are only compared, nothing tells which it was.
    assert all(one != other for one, other in combinations(ways[:6] + ways[7:], 2))
    assert {b"odd", b"70000", (70_000).to_bytes(4, "little")} <= set(words())
    assert b"a word" not in words()
    REACHED[:] = bytes(len(REACHED))
    assert words() == []


# A parser that waits for one byte after the other, each one bit from what it is given first.
SCRIPT = """
import os, sys
sys.path[:0] = {path!r}
from support.fuzz import run
from support.fuzz.reached import REACHED
from support.fuzz.target import Target
def climb(data):
    for place, byte in enumerate(b"cei`qA!c"):
        if data[place : place + 1] != bytes([byte]):
            return
        REACHED[place] = 1
    os.abort()
result = run.fuzz("climb", Target(climb, lambda: [b"aaaaaaaa"]), run.Share(60), 1)
print(result.finds[0].data[:8], len(result.further))
"""


@pytest.mark.heavy
def test_what_comes_further_is_changed_further() -> None:
    script = SCRIPT.format(path=[str(ROOT), str(ROOT / "tests")])
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    found, further = ran.rsplit(maxsplit=1)
    assert found == repr(b"cei`qA!c")
    assert 1 < int(further) <= 8
