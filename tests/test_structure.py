"""The plan of the house, held: imports run one way, files stay small, one file touches each foreign seam."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "builder"

# Left to right, as data flows; a part may import only from itself and from parts to its left.
ORDER = [
    "version", "words", "sizes", "errors", "shortage", "denied", "exact", "form", "option", "limits", "linux",
    "events", "signals", "threads", "sandbox", "tool_output", "tool", "archive", "image", "files", "store", "registry",
    "containers_storage", "sources", "layers", "tree", "decoded", "additions", "guest", "disk", "packages", "vm",
    "options", "output", "artifact", "actions", "batch", "cli",
]  # fmt: skip


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def nodes(path: Path) -> list[ast.AST]:
    return list(ast.walk(parsed(path)))


@cache
def imports(path: Path) -> list[str]:
    """The dotted names that a file imports, wherever in it the import stands."""
    found: list[str] = []
    for node in nodes(path):
        if isinstance(node, ast.Import):
            found += (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            found += (f"{node.module}.{alias.name}" for alias in node.names)
    return found


def part(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def to_the_right(path: Path) -> list[str]:
    """The parts to the right of a file's own that it imports from."""
    foreign = {name.split(".")[1] for name in imports(path) if name.startswith("builder.")}
    return sorted(other for other in foreign if ORDER.index(other) > ORDER.index(part(path)))


def test_imports_run_from_right_to_left() -> None:
    ends = (PACKAGE / "__init__.py", PACKAGE / "__main__.py")
    files = [path for path in modules() if path not in ends]
    assert {part(path) for path in files} == set(ORDER)
    assert {str(path.relative_to(PACKAGE)): found for path in files if (found := to_the_right(path))} == {}


def test_no_module_imports_itself_in_a_circle() -> None:
    files = {".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): path for path in modules()}
    files = {name.removesuffix(".__init__"): path for name, path in files.items()}
    graph = {
        name: {
            target
            for imported in imports(path)
            for target in (imported, imported.rpartition(".")[0])
            if target in files and target != name
        }
        for name, path in files.items()
    }
    # A package's `__init__` and what it re-exports depend on each other by way of Python's own import; not a circle.
    while leaves := {name for name, targets in graph.items() if not targets & graph.keys()}:
        graph = {name: targets for name, targets in graph.items() if name not in leaves}
    assert graph == {}


def test_every_file_fits_in_300_lines() -> None:
    root = PACKAGE.parent
    files = [path for folder in ("builder", "tests", "fixtures") for path in (root / folder).rglob("*.py")]
    assert [str(path.relative_to(root)) for path in files if len(path.read_text().splitlines()) > 300] == []


def importers(foreign: str) -> list[str]:
    return [
        str(path.relative_to(PACKAGE))
        for path in modules()
        if any(name.split(".")[0] == foreign for name in imports(path))
    ]


def test_libarchive_is_touched_in_one_file_only() -> None:
    assert importers("libarchive") == ["archive/library.py"]


def test_only_the_command_line_knows_click() -> None:
    assert importers("click") != []
    assert {path.split("/")[0] for path in importers("click")} == {"cli"}


@cache
def named(path: Path) -> set[str]:
    """What a file names, as `print` and `sys.stderr`."""
    names = {node.id for node in nodes(path) if isinstance(node, ast.Name)}
    return names | {ast.unparse(node) for node in nodes(path) if isinstance(node, ast.Attribute)}


# What may do less than it was asked for, and is an incomplete file if nobody looks at its result.
PARTIAL = {"write", "pwrite", "pwritev", "writev", "pread", "copy_file_range", "sendfile", "splice", "posix_fallocate"}


def partial_calls(path: Path) -> set[str]:
    """Those of the system's partial calls that a file names: `os.write`, or `write` imported from os."""
    named = {
        node.attr
        for node in nodes(path)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os"
    }
    return PARTIAL & (named | {name.removeprefix("os.") for name in imports(path) if name.startswith("os.")})


def test_only_one_file_makes_writes_and_copies_that_may_be_partial() -> None:
    assert {str(path.relative_to(PACKAGE)): partial_calls(path) for path in modules() if partial_calls(path)} == {
        "exact.py": {"write", "pwrite", "pread", "copy_file_range", "sendfile"}
    }


def unbuffered(path: Path) -> set[str]:
    """What a file calls the files that it opens without a buffer, as `self._file`: their `write` may take a part."""
    names: set[str] = set()
    if not any(how in path.read_text() for how in ("buffering=0", "FileIO(")):
        return names
    for node in nodes(path):
        given: list[tuple[ast.expr, ast.expr | None]] = []
        if isinstance(node, ast.Assign):
            given = [(node.value, target) for target in node.targets]
        elif isinstance(node, ast.With):
            given = [(item.context_expr, item.optional_vars) for item in node.items]
        for value, target in given:
            if target is not None and ("buffering=0" in ast.unparse(value) or "FileIO(" in ast.unparse(value)):
                names.add(ast.unparse(target))
    return names


def test_no_file_without_a_buffer_is_written_but_through_its_descriptor() -> None:
    opened = {str(path.relative_to(PACKAGE)): unbuffered(path) for path in modules() if unbuffered(path)}
    # Otherwise nothing was looked at.
    assert opened["artifact/pack.py"] == {"file"}
    assert opened["sources/docker/cache.py"] == {"self._file"}
    writing = {f"{name}.{call}" for names in opened.values() for name in names for call in ("write", "writelines")}
    found = {str(path.relative_to(PACKAGE)): named(path) & writing for path in map(PACKAGE.joinpath, opened)}
    assert {name: calls for name, calls in found.items() if calls} == {}


def test_no_file_is_written_through_memory_where_a_full_disk_would_kill_the_process() -> None:
    # This one maps no file, and writes nothing.
    assert importers("mmap") == ["shortage.py"]


def test_only_the_command_line_prints() -> None:
    outputs = ("sys.stderr", "sys.stdout", "print")
    found = {str(path.relative_to(PACKAGE)) for path in modules() if named(path).intersection(outputs)}
    assert {name for name in found if not name.startswith("cli/")} == {"__main__.py"}


def test_processes_start_in_the_tool_runner_and_the_batch_only() -> None:
    # A credential helper is the user's own program: it wants the user's environment, which tools must not see.
    assert importers("subprocess") == ["batch/process.py", "registry/helper.py", "tool.py"]


def test_words_of_images_are_quoted_in_one_way() -> None:
    other_ways = ("!r}", "ascii(", "repr(", "unicode_escape", "backslashreplace")
    texts = {str(path.relative_to(PACKAGE)): path.read_text().replace("isascii(", "") for path in modules()}
    found = {(name, way) for name, text in texts.items() for way in other_ways if way in text}
    assert found == {
        ("words.py", "unicode_escape"),
        # What C programs and libraries said, which is decoded here and quoted later; JSON has escapes of its own.
        ("tool_output.py", "backslashreplace"),
        ("archive/libarchive.py", "backslashreplace"),
        ("output/render.py", "backslashreplace"),
        # What is not the words of an image, but a stream's way with text that has passed words.py.
        ("cli/streams.py", "backslashreplace"),
        # An exception that nobody expected is written as Python does.
        ("batch/run.py", "!r}"),
    }


def test_only_the_registries_know_the_http_client() -> None:
    assert {path.split("/")[0] for path in importers("urllib3")} == {"registry"}


def test_what_only_one_transport_needs_is_not_imported_before_it_is_opened() -> None:
    wanted = {"urllib3", "builder.containers_storage", "fs", "builder.store.rooms.pyfilesystem"}
    code = f"import builder.cli.main, sys; sys.exit(', '.join({wanted} & sys.modules.keys()) or 0)"
    ran = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_content_is_held_against_its_digest_in_one_place() -> None:
    hashing = {
        str(path.relative_to(PACKAGE))
        for path in modules()
        for node in nodes(path)
        if isinstance(node, ast.Attribute) and node.attr == "hasher"
    }
    assert hashing == {"image/verifier.py"}


def test_marks_stand_in_the_files_of_the_tests_that_have_them() -> None:
    # Where only marked tests are asked for, files without such words are not even imported (tests/conftest.py).
    helpers = sorted((Path(__file__).parent / "support").rglob("*.py"))
    assert [path.name for path in helpers if "pytest.mark" in path.read_text()] == []
