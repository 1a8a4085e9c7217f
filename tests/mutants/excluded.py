"""What is not mutated: words for people, types for readers, and what only the compiler of kernels reads."""

from __future__ import annotations

import ast
from collections.abc import Iterator

Span = tuple[tuple[int, int], tuple[int, int]]
"""From (line, column) to (line, column), columns in characters."""

SILENT = {"note", "debug", "info", "warning", "error", "exception", "print"}
"""Methods that only say something."""

COMPILERS = {"njit", "njit_no_alloc", "jit", "vectorize"}


def excluded_spans(source: str) -> list[Span]:
    """The parts of a module that mutants leave alone."""
    lines = source.splitlines()
    return [_span(node, lines) for node in _excluded(ast.parse(source))]


def within(position: Span, spans: list[Span]) -> bool:
    """Whether a position lies in one of the spans."""
    return any(a <= position[0] and position[1] <= b for a, b in spans)


def _excluded(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise | ast.JoinedStr | ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _of_a_function(node)
        elif isinstance(node, ast.AnnAssign):
            yield node.annotation
        elif (isinstance(node, ast.Expr) and _only_says(node.value)) or (
            isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        ):
            yield node


def _of_a_function(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[ast.AST]:
    if node.name == "__repr__":
        yield node
    arguments = node.args
    for one in (
        *arguments.posonlyargs,
        *arguments.args,
        *arguments.kwonlyargs,
        arguments.vararg,
        arguments.kwarg,
    ):
        if one is not None and one.annotation is not None:
            yield one.annotation
    if node.returns is not None:
        yield node.returns
    for decorator in node.decorator_list:
        called = decorator.func if isinstance(decorator, ast.Call) else decorator
        if ast.unparse(called).split(".")[-1] in COMPILERS:
            yield decorator


def _only_says(value: ast.expr) -> bool:
    """Docstrings, and calls of a method that only says something."""
    if isinstance(value, ast.Constant):
        return True
    return isinstance(value, ast.Call) and ast.unparse(value.func).split(".")[-1] in SILENT


def _span(node: ast.AST, lines: list[str]) -> Span:
    # a decorator's sign stands one column before it
    a = _characters(lines, node.lineno, node.col_offset)  # type: ignore[attr-defined]
    b = _characters(lines, node.end_lineno, node.end_col_offset)  # type: ignore[attr-defined]
    if a[1] and lines[a[0] - 1][: a[1]].strip() == "@":
        return (a[0], a[1] - 1), (b[0] + 1, 0)
    return a, b


def _characters(lines: list[str], line: int, column: int) -> tuple[int, int]:
    """Columns of `ast` count bytes."""
    return line, len(lines[line - 1].encode()[:column].decode())
