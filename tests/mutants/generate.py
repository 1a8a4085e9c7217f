"""All mutants of one module's source, in a fixed order, each a text of its own."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from cosmic_ray.ast import ast_nodes, get_ast

from mutants.excluded import excluded_spans, within
from mutants.operators import operators


@dataclass(frozen=True)
class Mutant:
    """One changed source.

    Args:
        module: its dotted name.
        operator: that made it.
        line: where it differs first.
        function: the innermost function or class there, qualified, or the module's constant; empty elsewhere.
        before: that line. after: the same line changed.
        text: the whole source, changed.
    """

    module: str
    operator: str
    line: int
    function: str
    before: str
    after: str
    text: str

    @property
    def key(self) -> str:
        """Hash of module and changed source."""
        return hashlib.sha256(f"{self.module}\0{self.text}".encode()).hexdigest()[:24]


def mutants_of(module: str, source: str, functions: Sequence[str] | None = None) -> list[Mutant]:
    """The mutants of a source that compile and mean something else, without duplicates.

    Args:
        module: its dotted name.
        source: its text.
        functions: qualified names of functions, classes and constants to mutate; None for the whole module.
    """
    unchanged = ast.dump(ast.parse(source))
    seen, found, names = {unchanged}, [], _names(source)
    for operator, text in _texts(source):
        try:
            meaning = ast.dump(ast.parse(text))
            compile(text, module, "exec")
        except (SyntaxError, ValueError):
            continue
        if meaning in seen:
            continue
        seen.add(meaning)
        line, before, after = _difference(source, text)
        function = names.get(line, "")
        if functions is None or any(function == f or function.startswith(f + ".") for f in functions):
            found.append(Mutant(module, operator, line, function, before, after, text))
    return sorted(found, key=lambda mutant: mutant.line)


def _texts(source: str) -> Iterator[tuple[str, str]]:
    """Every operator at every place: the node is changed, written down, and mended."""
    excluded, starts = excluded_spans(source), _line_starts(source)
    nodes = list(ast_nodes(get_ast(source)))
    for name, operator in operators():
        for node in nodes:
            if node.type == "operator" and node.parent.type == "parameters":
                continue  # the star between positional and named ones
            for index, position in enumerate(operator.mutation_positions(node)):
                if within(position, excluded):
                    continue
                (a, b), (c, d) = node.get_start_pos_of_prefix(), node.end_pos
                begin, end = starts[a - 1] + b, starts[c - 1] + d
                yield name, source[:begin] + _changed(operator, node, index) + source[end:]


def _changed(operator: Any, node: Any, index: int) -> str:
    """The code of a node after an operator, which may change it in place; the node itself stays as it was."""
    below = list(ast_nodes(node))
    values = [(n, n.value) for n in below if not hasattr(n, "children")]
    children = [(n, list(n.children)) for n in below if hasattr(n, "children")]
    changed = operator.mutate(node, index)
    code = "" if changed is None else str(changed.get_code())
    if changed is None:  # only what follows the indentation goes
        code = node.get_first_leaf().prefix
    for n, value in values:
        n.value = value
    for n, list_of_children in children:
        n.children = list_of_children
    return code


def _line_starts(source: str) -> list[int]:
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    return starts


def _difference(old: str, new: str) -> tuple[int, str, str]:
    """The first line that differs, as it was and as it is."""
    a, b = old.splitlines(), new.splitlines()
    n = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)) - 1)
    removed = len(b) < len(a)
    return n + 1, a[n].strip(), "(removed)" if removed else b[n].strip()


def _names(source: str) -> dict[int, str]:
    """The innermost function or class of every line; outside of them the constant that is assigned there."""
    names: dict[int, str] = {}

    def visit(node: ast.AST, prefix: str) -> None:
        for child in ast.iter_child_nodes(node):
            name = prefix
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                name = f"{prefix}.{child.name}" if prefix else child.name
                first = min([child.lineno, *(d.lineno for d in child.decorator_list)])
                names.update(dict.fromkeys(range(first, (child.end_lineno or first) + 1), name))
            elif not prefix and isinstance(child, ast.Assign | ast.AnnAssign):
                target = child.targets[0] if isinstance(child, ast.Assign) else child.target
                names.update(
                    dict.fromkeys(
                        range(child.lineno, (child.end_lineno or child.lineno) + 1), ast.unparse(target)
                    )
                )
            visit(child, name)

    visit(ast.parse(source), "")
    return names
