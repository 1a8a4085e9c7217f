"""The tables of docs/link.md, printed from the declarations that the link itself uses.

    python -m safebo.hardware.link.tables                 # all of them, as Markdown
    python -m safebo.hardware.link.tables docs/link.md    # writes them into the page, between its markers

A table stands in the page between `<!-- table NAME -->` and `<!-- end of table -->`.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterable
from dataclasses import fields
from enum import IntEnum
from pathlib import Path

from safebo.hardware.errors import HardwareError, HardwareInputError
from safebo.hardware.guardian.bounds import quadruped_table
from safebo.hardware.guardian.limits import LIMITS, SCOPES
from safebo.hardware.guardian.states import REQUESTED, TABLE, Response, State
from safebo.hardware.guardian.telemetry import COLUMNS
from safebo.hardware.guardian.thresholds import allowed
from safebo.hardware.link import messages
from safebo.hardware.link.arrays import KERNELS, RULES
from safebo.hardware.link.frame import HEADER, MAGIC, MAX_BODY, TAG_LENGTH, VERSION
from safebo.hardware.link.layout import Body, Part
from safebo.hardware.link.timing import TIMING
from safebo.hardware.link.vectors import vector_lines
from safebo.robots.simulation.rollout import STATE_NAMES

_TYPES = {"B": "u8", "H": "u16", "I": "u32", "Q": "u64", "f": "f32", "d": "f64", "s": "bytes", "t": "text"}
_MARKED = re.compile(r"(?s)(<!-- table (\w+) -->\n).*?(<!-- end of table -->)")


def update(page: str) -> str:
    """The page with its tables as the code has them now.

    Raises:
        HardwareInputError: a marker that names no table, or a table without marker.
    """
    named = [match[2] for match in _MARKED.finditer(page)]
    if sorted(named) != sorted(TABLES):
        raise HardwareInputError(
            f"the page marks the tables {', '.join(named) or '(none)'}; there must be, once each: {', '.join(TABLES)}"
        )
    return _MARKED.sub(lambda match: f"{match[1]}\n{TABLES[match[2]]()}\n{match[3]}", page)


def frame_table() -> str:
    """Header, body and code of a packet."""
    rows = [
        (0, 4, "bytes[4]", "magic", f"`{MAGIC.decode()}`"),
        (4, 1, "u8", "version", f"{VERSION}"),
        (5, 1, "u8", "kind", "what the body is"),
        (6, 2, "u16", "length", f"n, bytes of the body, at most {MAX_BODY}"),
        (8, 8, "u64", "session", "from the Welcome; 0 in a Hello"),
        (16, 8, "u64", "sequence", "counts the sender's packets of this session from 1"),
        (HEADER.size, "n", "bytes", "body", "see the messages"),
        (
            f"{HEADER.size} + n",
            TAG_LENGTH,
            f"bytes[{TAG_LENGTH}]",
            "code",
            "HMAC-SHA256 of all bytes before it",
        ),
    ]
    return _table(("offset", "size", "type", "name", "meaning"), rows)


def message_tables() -> str:
    """Every message: kind, who sends it, size, fields."""
    out = [_message(kind, "client to guardian") for kind in messages.FROM_CLIENT.values()]
    out += [_message(kind, "guardian to client") for kind in messages.FROM_GUARDIAN.values()]
    return "\n".join(out)


def _message(kind: type[Body], way: str) -> str:
    found = kind.parts()
    fixed = sum(part.size or 0 for part in found)
    size = f"{fixed} bytes" if found[-1].size is not None else f"{fixed} bytes and more"
    rows = [(p.offset, "rest" if p.size is None else p.size, _type(p), p.name, p.meaning) for p in found]
    table = _table(("offset", "size", "type", "name", "meaning"), rows)
    doc = " ".join((inspect.getdoc(kind) or "").split())
    return f"#### 0x{kind.KIND:02X} {kind.title()}: {way}, {size}\n\n{doc}\n\n{table}"


def _type(part: Part) -> str:
    if part.code == "*":
        return "bytes"
    name, count = _TYPES[part.code[-1]], part.code[:-1]
    return f"{name}[{count}]" if count else name


def code_table() -> str:
    """What a Reply's code means."""
    docs = member_docs(messages.Code)
    return _table(
        ("code", "name", "meaning"), [(code.value, code.name, docs[code.name]) for code in messages.Code]
    )


def state_table() -> str:
    """Every state, what it is, and where each event leads from there."""
    docs = member_docs(State)
    rows = []
    for state, answers in TABLE.items():
        leads = {e: after for e, after in answers.items() if after is not None and after is not state}
        asked = [f"{event.name} to {after.name}" for event, after in leads.items() if event in REQUESTED]
        comes = [f"{event.name} to {after.name}" for event, after in leads.items() if event not in REQUESTED]
        # an acknowledgement may be repeated: granted, though the state stays
        asked += [f"{event.name} again" for event in sorted(REQUESTED) if answers[event] is state]
        rows.append((state.value, state.name, docs[state.name], "; ".join(asked), "; ".join(comes)))
    return _table(("number", "state", "what it is", "granted requests", "comes by itself"), rows)


def limit_table() -> str:
    """Causes: number, name, threshold, response."""
    rows = []
    for limit in LIMITS:
        side = "below" if limit.below else "above"
        lasting = f"{limit.seconds:g} s" if limit.seconds else "one tick"
        threshold = f"{side} {limit.threshold:g} {limit.unit}".strip()
        rows.append(
            (
                limit.number,
                limit.name,
                threshold,
                lasting,
                limit.response.name,
                limit.scope.value,
                limit.message,
                allowed(limit),
            )
        )
    severities = ", ".join(f"{response.value} {response.name}" for response in Response)
    scopes = [f"- *{scope}*: {_state_names(states)}" for scope, states in SCOPES.items()]
    heads = ("cause", "name", "threshold", "for", "response", "scope", "message", "may be set to")
    table = _table(heads, rows)
    return "\n".join([f"{table}\nResponses: {severities}. Scopes:\n", *scopes]) + "\n"


def _state_names(states: frozenset[State]) -> str:
    missing = [state.name for state in State if state not in states]
    if len(missing) > 2:
        return ", ".join(state.name for state in State if state in states)
    return f"every state but {', '.join(missing)}" if missing else "every state"


def gain_table() -> str:
    """The gains in the order in which they travel, and the identity of that order."""
    table = quadruped_table()
    rows = zip(
        range(len(table.names)),
        table.names,
        table.units,
        map("{:g}".format, table.lower),
        map("{:g}".format, table.upper),
        map("{:g}".format, table.baseline),
        strict=True,
    )
    head = f"{len(table.names)} gains, identity `0x{table.identity:016x}`.\n\n"
    return head + _table(("index", "name", "unit", "lower bound", "upper bound", "baseline as shipped"), rows)


def column_table() -> str:
    """The columns of telemetry; twelve joints in one line."""
    return f"{len(COLUMNS)} columns, {8 * len(COLUMNS)} bytes a row.\n\n{_grouped_table(COLUMNS)}"


def rule_table() -> str:
    """The boundary conditions and the order of their numbers."""
    rows = []
    for name, rule in RULES.items():
        numbers = ", ".join(
            f"{item.name} ({', '.join(f'{k} {kernel}' for k, kernel in enumerate(KERNELS))})"
            if item.name == "state_kernel"
            else item.name
            for item in fields(rule)
        )
        rows.append((name, numbers))
    return _table(("rule", "numbers, in order; zeros after them"), rows)


def monitored_table() -> str:
    """What a monitor's states are made of."""
    return f"{len(STATE_NAMES)} numbers.\n\n{_grouped_table(STATE_NAMES)}"


def _grouped_table(names: Iterable[str]) -> str:
    groups: dict[str, list[str]] = {}
    for name in names:
        head, _, tail = name.partition(".")
        groups.setdefault(head, []).append(tail)
    rows, first = [], 0
    for head, tails in groups.items():
        last = first + len(tails) - 1
        rows.append((f"{first} to {last}" if last > first else first, head, ", ".join(filter(None, tails))))
        first = last + 1
    return _table(("index", "name", "of"), rows)


def timing_table() -> str:
    """Periods, limits of silence and sizes."""
    return _table(
        ("what", "value", "meaning"),
        [(t.name, f"{t.value:.10g} {t.unit}".strip(), t.meaning) for t in TIMING],
    )


def vector_block() -> str:
    """The worked example."""
    return "```text\n" + "\n".join(vector_lines()) + "\n```\n"


def member_docs(kind: type[IntEnum]) -> dict[str, str]:
    """The line under every member of an enumeration, which Python itself throws away."""
    [definition] = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(definition, ast.ClassDef)
    found, last = dict.fromkeys(kind.__members__, ""), ""
    for item in definition.body:
        if isinstance(item, ast.Assign) and isinstance(item.targets[0], ast.Name):
            last = item.targets[0].id
        elif last and isinstance(item, ast.Expr) and isinstance(item.value, ast.Constant):
            found[last] = " ".join(str(item.value.value).split())
    return found


def _table(heads: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> str:
    lines = [heads, ("---",) * len(heads), *rows]
    return "".join("| " + " | ".join(str(cell) for cell in line) + " |\n" for line in lines)


TABLES: dict[str, Callable[[], str]] = {
    "frame": frame_table,
    "codes": code_table,
    "timing": timing_table,
    "states": state_table,
    "limits": limit_table,
    "gains": gain_table,
    "rules": rule_table,
    "monitored": monitored_table,
    "columns": column_table,
    "messages": message_tables,
    "vectors": vector_block,
}
"""Every table by its name in the page."""


def main(arguments: list[str]) -> int:
    """Print the tables, or write them into a page."""
    if not arguments:
        print("\n".join(f"### {name}\n\n{table()}" for name, table in TABLES.items()))
        return 0
    try:
        if len(arguments) != 1:
            raise HardwareInputError("usage: python -m safebo.hardware.link.tables [PAGE]")
        page = Path(arguments[0])
        try:
            page.write_text(update(page.read_text(encoding="utf-8")), encoding="utf-8")
        except OSError as error:
            raise HardwareInputError(f"{page}: {error.strerror}") from None
    except HardwareError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
