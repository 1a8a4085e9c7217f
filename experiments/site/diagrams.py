"""Flowcharts in Mermaid's notation as plain HTML: boxes, and arrows in words. No script has to be fetched for them.

Only what the pages use: `flowchart TD`, nodes in four shapes, chains of arrows with labels, subgraphs, one class.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, field

BLOCK = re.compile(r"^```mermaid\n(.*?)^```$", re.S | re.M)
NODE = re.compile(r"""(\w+)(?:\[\("(.*?)"\)\]|\["(.*?)"\]|\{"(.*?)"\})?""")
ARROW = re.compile(r"\s*(-->|-\.->)(?:\|(.*?)\|)?\s*")


@dataclass
class Chart:
    """A flowchart: titles of nodes by id, their boxes, and the arrows between them."""

    titles: dict[str, str] = field(default_factory=dict)
    boxes: dict[str, list[str]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    chains: list[list[tuple[str, str]]] = field(default_factory=list)
    marked: set[str] = field(default_factory=set)


def in_html(markdown: str) -> str:
    """A page's text, its flowcharts drawn."""
    return BLOCK.sub(lambda block: draw(read(block[1])), markdown)


def read(text: str) -> Chart:
    """A flowchart from its text.

    Raises:
        ValueError: a line that is none of what is known here.
    """
    chart, box = Chart(), ""
    for line in (raw.strip() for raw in text.splitlines()):
        if found := re.fullmatch(r'subgraph (\w+) \["(.*)"\]', line):
            box = found[1]
            chart.names[box], chart.boxes[box] = found[2], []
        elif line == "end":
            box = ""
        elif found := re.fullmatch(r"class ([\w,]+) \w+", line):
            chart.marked |= set(found[1].split(","))
        elif line and not line.startswith(("flowchart ", "classDef ")):
            _read_chain(chart, line, box)
    return chart


def _read_chain(chart: Chart, line: str, box: str) -> None:
    """A node, or nodes with arrows between them."""
    place, label, chain = 0, "", []
    while place < len(line):
        node = NODE.match(line, place)
        if node is None:
            raise ValueError(f"a line of a flowchart that cannot be drawn here: {line}")
        name, title = node[1], next((part for part in node.groups()[1:] if part), "")
        if title or name not in chart.names:
            chart.titles[name] = title or chart.titles.get(name, name)
        if box and name not in chart.boxes[box]:
            chart.boxes[box].append(name)
        chain.append((name, label))
        arrow = ARROW.match(line, node.end())
        place, label = (arrow.end(), arrow[2] or "") if arrow else (len(line), "")
    if len(chain) > 1:
        chart.chains.append(chain)


def draw(chart: Chart) -> str:
    """Boxes with what is in them in the arrows' order, then all other arrows, by where they begin."""
    parts, rest, told = ['<div class="chart">'], [], set()
    for box, nodes in chart.boxes.items():
        inner = next((c for c in chart.chains if {name for name, _ in c} == set(nodes)), None)
        order = [name for name, _ in inner] if inner else nodes
        told.add(id(inner))
        chips = " &rarr; ".join(_chip(chart, name) for name in order)
        parts.append(
            f'<div class="chart-box"><strong>{html.escape(chart.names[box])}</strong><p>{chips}</p></div>'
        )
    ends: dict[str, list[str]] = {}
    for chain in (c for c in chart.chains if id(c) not in told):
        if len(chain) > 2:
            rest.append(_chip(chart, chain[0][0]) + "".join(_step(chart, n, label) for n, label in chain[1:]))
            continue
        (begin, _), (end, label) = chain
        ends.setdefault(begin, []).append(
            (f"<em>{html.escape(label)}</em>: " if label else "") + _chip(chart, end)
        )
    rest += [f"{_chip(chart, begin)} &rarr; {', '.join(to)}" for begin, to in ends.items()]
    parts += ["<ul>", *(f"<li>{line}</li>" for line in rest), "</ul></div>"]
    return "\n".join(parts)


def _step(chart: Chart, name: str, label: str) -> str:
    said = f" <em>{html.escape(label)}</em>" if label else ""
    return f"{said} &rarr; {_chip(chart, name)}"


def _chip(chart: Chart, name: str) -> str:
    title = chart.titles.get(name) or chart.names.get(name, name)
    dark = " chart-dark" if name in chart.marked else ""
    return f'<span class="chart-node{dark}">{html.escape(title)}</span>'
