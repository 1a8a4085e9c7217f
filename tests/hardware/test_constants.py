"""One table of limits and time constants: units are those of the names, and no number stands alone elsewhere."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from safebo.hardware import constants

HARDWARE = Path(constants.__file__).parent
UNITS = {
    "S": "s",
    "MS": "ms",
    "HZ": "1/s",
    "RAD": "rad",
    "TICKS": "ticks",
    "BYTES": "bytes",
    "PERIODS": "periods",
}
LAYOUT = {
    "AT_WORK",
    "AHEAD",
    "VERSION",
    "TAG_LENGTH",
    "MAX_BODY",
    "KEY_BYTES",
    "CHUNK",
    "SYNC_EVERY",
    "MAX_OUTPUT",
    "_WRAP",
    "_LOOPBACK",
    "TROUBLE",
    "BATCH",
    "MAX_DOMAIN",
    "MAX_ENDPOINTS",
}
"""Numbers of a layout or a file, and the gains of the guardian's own motions."""
GAINS = {"DAMPING", "STIFFNESS", "STIFFNESS_DAMPING", "STAND_KP", "STAND_KD", "FOLDED"}


def declared() -> dict[str, constants.Constant]:
    """Rows of the table by the name under which they are imported."""
    found = {}
    for node in ast.parse(Path(constants.__file__).read_text()).body:
        match node:
            case ast.Assign([ast.Name(name)], ast.Call(ast.Name("_c"), [ast.Constant(str(row)), *_])):
                found[name] = constants.TABLE[row]
    return found


def test_every_constant_has_a_row_of_its_own_with_its_value_and_unit() -> None:
    rows = declared()
    assert len(rows) == len(constants.TABLE) > 80
    for name, row in rows.items():
        assert getattr(constants, name) == row.value
        assert row.meaning
        unit = UNITS.get(name.rsplit("_", 1)[-1])
        assert unit is None or row.unit == unit, name
        assert (row.unit == "s") == name.endswith("_S"), name


@pytest.mark.parametrize("room", ["guardian", "link", "adapters", "tuning", "."])
def test_no_number_stands_alone(room: str) -> None:
    found = set()
    for path in (HARDWARE / room).glob("*.py"):
        if path.name in ("constants.py", "rehearsal.py", "vectors.py"):
            continue
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Assign):
                numbers = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value]
                names = [n.id for n in ast.walk(node.targets[0]) if isinstance(n, ast.Name)]
                if any(isinstance(n, ast.Constant) and isinstance(n.value, int | float) for n in numbers):
                    found |= {f"{path.name}: {name}" for name in names if name not in LAYOUT | GAINS}
    assert not found
