"""Which places of the package inputs have reached: a byte each, set by a statement that imports put in there.

Nothing else tells an input that has come further from one that has not, as cheaply: sys.settrace takes ten times the
time, and sys.monitoring begins with Python 3.12. What the package compares with is kept, too: no random change comes to
a word of eight bytes that a parser waits for.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType

_PACKAGE = "builder"
NAME = "__reached__"
# More places than there are.
_SPACE = 1 << 16

REACHED = bytearray(_SPACE)
# What each module has constants of, and from which mark on up to which other one they are its own.
_WORDS: list[tuple[int, int, set[bytes]]] = []
_next = 0


def watch() -> None:
    """Have all that is imported of the package from now on say what is reached; nothing of it may be there yet."""
    assert _PACKAGE not in sys.modules
    sys.meta_path.insert(0, _Finder())


def words() -> list[bytes]:
    """List what the modules that inputs have reached compare with, or might."""
    return sorted({word for first, end, each in _WORDS if REACHED.find(1, first, end) >= 0 for word in each})


def marked(source: bytes, path: str) -> CodeType:
    """Compile a module with marks in it; it has REACHED under the name that they use."""
    first, marking = _next + 1, _Marking()
    tree = marking.visit(ast.parse(source, path))
    _WORDS.append((first, _next + 1, marking.words))
    return compile(ast.fix_missing_locations(tree), path, "exec", dont_inherit=True)


class _Finder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] != _PACKAGE:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(fullname, spec.loader.path)
        return spec


class _Loader(SourceFileLoader):
    def get_code(self, fullname: str) -> CodeType:
        # Not what was compiled without marks, nor to be kept for those who do without.
        return marked(self.get_data(self.path), self.path)

    def exec_module(self, module: ModuleType) -> None:
        vars(module)[NAME] = REACHED
        super().exec_module(module)


class _Marking(ast.NodeTransformer):
    """Puts a mark where a function, a branch, a case, a handler or a loop begins, and where a condition goes on."""

    def __init__(self) -> None:
        self.words: set[bytes] = set()

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        self.generic_visit(node)
        # A docstring stays the first.
        at = 1 if ast.get_docstring(node, clean=False) is not None else 0
        node.body.insert(at, _mark(node.body[0]))
        return node

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        self.generic_visit(node)
        node.values[1:] = [_marked(each) for each in node.values[1:]]
        return node

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        self.generic_visit(node)
        node.body, node.orelse = _marked(node.body), _marked(node.orelse)
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        value = node.value
        word = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
        if isinstance(word, bytes) and 1 <= len(word) <= 32 and b" " not in word:
            self.words.add(word)
        if isinstance(value, int) and value > 255:
            self.words.add(b"%d" % value)
            self.words.update(value.to_bytes(size, "little") for size in (2, 4, 8) if value < 256**size)
        return node

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        if isinstance(node, (ast.If, ast.For, ast.While, ast.ExceptHandler, ast.match_case, ast.Try)):
            for name in ("body", "orelse"):
                body = getattr(node, name, None)
                if body:
                    body.insert(0, _mark(body[0]))
        return node


def _number() -> ast.Constant:
    global _next
    _next += 1
    assert _next < _SPACE
    return ast.Constant(_next)


def _place() -> ast.Subscript:
    return ast.Subscript(ast.Name(NAME, ast.Load()), _number(), ast.Store())


def _mark(where: ast.stmt) -> ast.stmt:
    return ast.copy_location(ast.Assign([_place()], ast.Constant(1)), where)


def _marked(value: ast.expr) -> ast.expr:
    # `a and b` becomes `a and (__reached__.insert…)`: a call gives None, and what follows it counts.
    name = ast.Attribute(ast.Name(NAME, ast.Load()), "__setitem__", ast.Load())
    said = ast.Call(name, [_number(), ast.Constant(1)], [])
    return ast.copy_location(ast.BoolOp(ast.Or(), [said, value]), value)
