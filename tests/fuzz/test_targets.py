"""Every parser is fuzzed, takes some of what it gets, and would not be faulty without anybody knowing."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import _lru_cache_wrapper
from pathlib import Path
from types import CodeType, FrameType

import pytest
from support.command import ROOT
from support.fuzz.documents import JOB
from support.fuzz.run import CORPUS
from support.fuzz.table import TARGETS
from support.fuzz.target import Target, refused

from builder.batch.messages import read_job
from builder.threads import Worker

PACKAGE = ROOT / "builder"

# How functions are called that read what others wrote; their first argument is bytes, text, a file or a descriptor.
_NAME = re.compile(r"_?(parse|read|decode|unpack|decompress|convert)(_.*)?")
_GIVEN = re.compile(r"bytes|str|BinaryIO|Iterable\[bytes\]|Volume|Any|object")
# What they call who take apart what they read.
_DECODER = re.compile(
    r"json\.loads?$|msgspec\.(json|msgpack|toml)\.decode|msgspec\.convert|tomllib\.|unpack(_from)?$|from_bytes$|shlex\.split|"
    r"(De|de)compress(or|obj)?$|b64decode$|urlsplit$|zipfile\.|tarfile\."
)

# Functions of such names that read nothing of others, or nothing but files as they are; and parsers of a kind.
NOT_FUZZED = {
    "actions/pull_blobs.py: _read": "a blob, which goes through as it is",
    "actions/remote_disk.py: fetch": "a blob, through a compression that is fuzzed",
    "actions/unpack.py: unpack": "the verb of the command",
    "archive/compression/__init__.py: decompress": "a protocol",
    "archive/compression/streams.py: decompress": "a protocol",
    "batch/messages.py: line_of": "its own message",
    "batch/schedulers/on_worker.py: build": "its own message, whose job is fuzzed",
    "batch/ready.py: main": "its own message, whose job is fuzzed",
    "cli/types.py: convert": "words, through parsers that are fuzzed",
    "cli/unpack.py: unpack": "the verb of the command",
    "files/below.py: read_link": "a link of the host",
    "output/checks.py: _is_append_only": "a number of the kernel's",
    "registry/pool.py: _proxied": "a variable, through parsers of Python and urllib3",
    "sandbox/calls.py: give_up_capability": "an answer of the kernel's",
}


def parsers() -> Iterator[tuple[str, str, int]]:
    """Name the functions that parse: their file, name and first line."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.FunctionDef):
                continue
            if _calls(node) or _is_called_so(node):
                line = min([node.lineno, *(each.lineno for each in node.decorator_list)])
                yield str(path.relative_to(PACKAGE)), node.name, line


def _calls(function: ast.FunctionDef) -> bool:
    called = (node.func for node in ast.walk(function) if isinstance(node, ast.Call))
    return any(_DECODER.search(ast.unparse(each)) for each in called)


def _is_called_so(function: ast.FunctionDef) -> bool:
    given = next((each for each in function.args.args if each.arg not in ("self", "cls")), None)
    if not _NAME.fullmatch(function.name) or given is None:
        return False
    return given.arg in ("fd", "file") or bool(given.annotation and _GIVEN.search(ast.unparse(given.annotation)))


def executed(run: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> set[tuple[str, int]]:
    """Name the functions of the package that a call runs, in whatever thread: their file and first line."""
    found: set[CodeType] = set()

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            found.add(frame.f_code)

    # What was parsed before would be known.
    for module in [module for name, module in sys.modules.items() if name.startswith("builder.")]:
        for each in vars(module).values():
            if isinstance(each, _lru_cache_wrapper):
                each.cache_clear()
    begin = Worker.__init__

    def noted(worker: Worker, work: Callable[[], object]) -> None:
        def work_noted() -> None:
            sys.setprofile(note)
            work()

        begin(worker, work_noted)

    monkeypatch.setattr(Worker, "__init__", noted)
    threading.setprofile(note)
    sys.setprofile(note)
    try:
        run()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
        monkeypatch.setattr(Worker, "__init__", begin)
    inside = [code for code in found if code.co_filename.startswith(f"{PACKAGE}/")]
    return {(os.path.relpath(code.co_filename, PACKAGE), code.co_firstlineno) for code in inside}


def once(target: Target) -> None:
    """Give a target its seeds, some of which it takes: what is refused at once leads nowhere when it is changed."""
    taken = 0
    for data in target.seeds():
        with refused(*(each for each in target.allowed if issubclass(each, Exception))):
            target.run(data)
            taken += 1
    assert taken


@pytest.mark.slow
def test_every_parser_is_run_by_a_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: set[tuple[str, int]] = set()
    for name, target in TARGETS.items():
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        ran |= executed(lambda target=target: once(target), monkeypatch)  # type: ignore[misc]
    missed = {f"{file}: {name}" for file, name, line in parsers() if (file, line) not in ran}
    assert sorted(missed - NOT_FUZZED.keys()) == []
    assert NOT_FUZZED.keys() <= {f"{file}: {name}" for file, name, _ in parsers()}


def test_the_job_that_is_changed_is_of_this_version() -> None:
    """One of another is refused before its options are looked at."""
    assert read_job(json.dumps(JOB))[0].reference == "oci:a"


@pytest.mark.parametrize("file", sorted(CORPUS.glob("*/*")), ids=lambda file: f"{file.parent.name}-{file.name}")
def test_what_was_found_once_is_read_or_refused(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    target = TARGETS[file.parent.name]
    with refused(*(each for each in target.allowed if issubclass(each, Exception))):
        target.run(file.read_bytes())


def test_the_kept_inputs_are_few() -> None:
    assert sum(file.stat().st_size for file in CORPUS.glob("*/*")) < 200_000


# Faulty parsers, and what is said of each.
FAULTY = {
    "raises": ("{}['a']", "KeyError: 'a'"),
    "aborts": ("os.abort()", "the process ended with SIGABRT"),
    "crashes": ("ctypes.string_at(1)", "the process ended with SIGSEGV"),
    "hangs": ("[None for _ in iter(int, 1)]", "the process ended with SIGPROF"),
    "hangs in what it has started": ("wait_for_a_loop()", "the process ended with SIGABRT"),
    "waits": ("time.sleep(600)", "the process ended with SIGABRT"),
    "ends a thread": ("end_a_thread()", "KeyError: 'a'"),
    "says what nobody hears": ("Unheard()", "KeyError: 'a'"),
    "grows": ("bytes(1 << 31)", "MemoryError"),
    "hides": ("hide()", "MemoryError"),
    "says two lines": ("refuse('a\\nb')", None),
    "refuses": ("refuse('a')", None),
    "asserts": ("check(data != b'seed')", "AssertionError"),
}
SCRIPT = """
import ctypes, os, subprocess, sys, threading, time
sys.path[:0] = {path!r}
from support.fuzz import patience, run
from support.fuzz.target import Target
from builder.errors import BuilderError
patience.PATIENCE, patience.WITH_OTHERS, patience.WAITING = 0.5, 2, 3
def refuse(text):
    raise BuilderError(text)
def hide():
    try:
        bytes(1 << 31)
    except MemoryError as error:
        raise BuilderError("too large") from error
def check(right):
    assert right
def wait_for_a_loop():
    subprocess.run([sys.executable, "-c", "while True: pass"])
def missing():
    dict()["a"]
def end_a_thread():
    thread = threading.Thread(target=missing)
    thread.start()
    thread.join()
class Unheard:
    def __del__(self):
        missing()
result = run.fuzz("faulty", Target(lambda data: {fault}, lambda: [b"seed"], {mutate}), run.Share(0, {least}), 1)
print(result.executions, [find.data for find in result.finds], *(find.said for find in result.finds))
"""


def _ran(call: str, mutate: str = "lambda data, _chosen: data", least: int = 0) -> str:
    script = SCRIPT.format(path=[str(ROOT), str(ROOT / "tests")], fault=call, mutate=mutate, least=least)
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout


@pytest.mark.heavy
def test_a_change_that_takes_more_memory_than_a_parser_may_is_no_find() -> None:
    assert _ran("None", "lambda _data, _chosen: bytes(1 << 31)[:4]", 3) == "3 []\n"


@pytest.mark.heavy
@pytest.mark.parametrize("fault", FAULTY)
def test_a_faulty_parser_is_found_out(fault: str) -> None:
    call, said = FAULTY[fault]
    ran = _ran(call)
    if said is None:
        assert ran == "1 []\n"
    else:
        assert "[b'seed']" in ran
        assert said in ran
