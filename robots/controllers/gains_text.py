"""Numbers inside a controller's own configuration text, found by their path and replaced in place.

Comments, order and everything else in the file stay as the user wrote them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from enum import StrEnum

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from safebo.errors import FileError
from safebo.files.reading import parse
from safebo.robots.controllers.protocol import GainPortError

Spans = dict[str, tuple[int, int]]
"""First character and the one after the last, by path."""


class TextFormat(StrEnum):
    """Formats that are understood."""

    YAML = "yaml"
    """Path: keys and list indices joined by dots, `stance.kp`, `weights.2`."""
    INFO = "info"
    """Boost property tree, as OCS2's `task.info`. Path: keys joined by dots, `swing.kp`, `Q.(0,0)`."""


def read_numbers(text: str, kind: TextFormat, paths: Mapping[str, str]) -> dict[str, float]:
    """The numbers at some paths, by name.

    Args:
        text: of the file.
        kind: its format.
        paths: path of every name.

    Raises:
        GainPortError: the text cannot be read, or has no number there.
    """
    spans = _LOCATE[kind](text)
    return {name: _number(text, spans, path) for name, path in paths.items()}


def replace_numbers(
    text: str, kind: TextFormat, paths: Mapping[str, str], values: Mapping[str, float]
) -> str:
    """The text with other numbers at some paths; a number is written so that reading gives the same one.

    Raises:
        GainPortError: the text cannot be read, or has no number there.
    """
    spans = _LOCATE[kind](text)
    changes = []
    for name, value in values.items():
        _number(text, spans, paths[name])
        changes.append((*spans[paths[name]], written(value)))
    for begin, end, number in sorted(changes, reverse=True):
        text = text[:begin] + number + text[end:]
    return text


def _number(text: str, spans: Spans, path: str) -> float:
    if path not in spans:
        raise GainPortError(f"there is no single {path!r} in it")
    begin, end = spans[path]
    try:
        value = float(text[begin:end])
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise GainPortError(f"{path}: expected a finite number, got {text[begin:end]!r}")
    return value


def written(value: float) -> str:
    """Reads as the same double everywhere; with a dot, or YAML 1.1 takes 1e-05 for a text."""
    mantissa, e, exponent = repr(float(value)).partition("e")
    return f"{mantissa}{'' if '.' in mantissa else '.0'}{e}{exponent}"


def _add(spans: Spans, twice: set[str], path: str, span: tuple[int, int]) -> None:
    if path in spans:
        twice.add(path)
    spans[path] = span


def _locate_yaml(text: str) -> Spans:
    spans: Spans = {}
    twice: set[str] = set()

    def walk(node: Node, path: str) -> None:
        if isinstance(node, MappingNode):
            for key, value in node.value:
                walk(value, f"{path}.{key.value}" if path else str(key.value))
        elif isinstance(node, SequenceNode):
            for index, value in enumerate(node.value):
                walk(value, f"{path}.{index}" if path else str(index))
        elif isinstance(node, ScalarNode) and node.style is None:
            _add(spans, twice, path, (node.start_mark.index, node.end_mark.index))

    try:
        parse(text, "line")  # for its limits: nesting, and aliases that multiply
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except FileError as error:
        raise GainPortError(str(error)) from None
    except yaml.YAMLError as error:
        raise GainPortError(f"not valid YAML: {' '.join(str(error).split())}") from None
    if root is not None:
        walk(root, "")
    return {path: span for path, span in spans.items() if path not in twice}


_INFO = re.compile(r';[^\n]*|\n|\{|\}|"(?:\\.|[^"\\])*"|[^\s{};"]+')


def _locate_info(text: str) -> Spans:
    """Words of a line are key and value; a block that opens belongs to the last key."""
    spans: Spans = {}
    twice: set[str] = set()
    parents: list[str] = []
    words: list[re.Match[str]] = []
    last = ""

    def line_over() -> None:
        nonlocal last
        if words:
            last = words[0].group()
            if len(words) == 2:
                _add(spans, twice, ".".join([*parents, last]), words[1].span())
        words.clear()

    for token in _INFO.finditer(text):
        word = token.group()
        if word == "\n" or word.startswith(";"):
            line_over()
        elif word == "{":
            line_over()
            parents.append(last)
        elif word == "}":
            line_over()
            if not parents:
                raise GainPortError("not valid INFO: a brace closes that was never opened")
            parents.pop()
        else:
            words.append(token)
    line_over()
    if parents:
        raise GainPortError(f"not valid INFO: the brace of {'.'.join(parents)} is never closed")
    return {path: span for path, span in spans.items() if path not in twice}


_LOCATE: dict[TextFormat, Callable[[str], Spans]] = {
    TextFormat.YAML: _locate_yaml,
    TextFormat.INFO: _locate_info,
}
