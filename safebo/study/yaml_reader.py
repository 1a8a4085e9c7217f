"""YAML as plain data, with the line of every key.

Scalars follow YAML 1.2's core schema: `yes`, `on` and `1:30` are texts, `1e-3` is a number. Duplicate keys,
aliases that contain themselves and numbers that are not finite are refused.
"""

from __future__ import annotations

import math
import re
from typing import Any

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from safebo.study.problems import KeyPath, Problem

_PATTERNS: tuple[tuple[re.Pattern[str], Any], ...] = (
    (re.compile(r"~|null|Null|NULL|"), lambda text: None),
    (re.compile(r"true|True|TRUE"), lambda text: True),
    (re.compile(r"false|False|FALSE"), lambda text: False),
    (re.compile(r"[-+]?[0-9]+"), int),
    (re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"), float),
    (re.compile(r"[-+]?\.(inf|Inf|INF)"), lambda text: -math.inf if text[0] == "-" else math.inf),
    (re.compile(r"\.(nan|NaN|NAN)"), lambda text: math.nan),
)


class YamlReader:
    """Turns YAML nodes into plain data; `lines` then holds the line (from 1) of each key path."""

    def __init__(self) -> None:
        self.lines: dict[KeyPath, int] = {}
        self.problems: list[Problem] = []
        self._open: set[int] = set()

    def read(self, node: Node, path: KeyPath) -> Any:
        """The data of a node; what is wrong with it is added to `problems`."""
        self.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, ScalarNode):
            return self._scalar(node, path)
        if id(node) in self._open:
            self.problems.append(Problem(path, "an alias may not contain itself"))
            return None
        self._open.add(id(node))
        try:
            if isinstance(node, SequenceNode):
                return [self.read(item, (*path, index)) for index, item in enumerate(node.value)]
            return self._mapping(node, path) if isinstance(node, MappingNode) else None
        finally:
            self._open.discard(id(node))

    def _mapping(self, node: MappingNode, path: KeyPath) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, ScalarNode):
                self.problems.append(Problem(path, "a key must be a plain text"))
                continue
            key = key_node.value
            if key in result:
                first, again = self.lines[(*path, key)], key_node.start_mark.line + 1
                message = f"the key is there twice (lines {first} and {again})"
                self.problems.append(Problem((*path, key), message, again))
                continue
            self.lines[(*path, key)] = key_node.start_mark.line + 1
            result[key] = self.read(value_node, (*path, key))
        return result

    def _scalar(self, node: ScalarNode, path: KeyPath) -> Any:
        if node.style is not None:  # quoted or a block: a text
            return node.value
        for pattern, convert in _PATTERNS:
            if pattern.fullmatch(node.value):
                value = convert(node.value)
                if isinstance(value, float) and not math.isfinite(value):
                    self.problems.append(Problem(path, f"must be a finite number, not {node.value}"))
                    return 0.0
                return value
        return node.value
