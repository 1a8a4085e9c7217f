"""docs/architecture.md: its picture and its list of rooms are those of the table that the arrows test holds.

`python tests/test_architecture.py` writes the picture.
"""

from __future__ import annotations

import re
from pathlib import Path

from test_arrows import ALLOWED, ROOMS, TORCH_FREE

PAGE = Path(__file__).resolve().parents[1] / "docs" / "architecture.md"
PLACE = re.compile(r"(<!-- rooms: [^\n]*-->\n).*?(<!-- end of rooms -->)", re.S)


def picture() -> str:
    """The packages, their rooms and the imports that are allowed, as text for Mermaid."""
    lines = ["```mermaid", "flowchart TD"]
    for package in ALLOWED:
        rooms, title = ROOMS.get(package, ()), f'["{package.split(".")[-1]}/"]'
        if not rooms:
            lines.append(f"    {_id(package)}{title}")
            continue
        lines.append(f"    subgraph {_id(package)} {title}")
        lines += [f'        {_id(f"{package}.{room}")}["{room}"]' for room in rooms]
        lines.append("        " + " --> ".join(_id(f"{package}.{room}") for room in reversed(rooms)))
        lines.append("    end")
    for package, allowed in ALLOWED.items():
        # A package's name allows what lies under it too: `safebo` is all four.
        under = [p for p in ALLOWED if p != package and any(p.startswith(f"{a}.") for a in allowed)]
        lines += [f"    {_id(package)} --> {_id(other)}" for other in (*allowed, *under)]
    free = ["safebo.robots", "safebo.hardware", *(f"safebo.{room}" for room in TORCH_FREE)]
    lines += ["    classDef free fill:#456,color:#fff", f"    class {','.join(map(_id, free))} free", "```"]
    return "\n".join(lines) + "\n"


def _id(name: str) -> str:
    return name.replace(".", "_")


def test_the_picture_is_drawn_from_the_table() -> None:
    found = PLACE.search(PAGE.read_text())
    assert found is not None
    assert found[0] == f"{found[1]}{picture()}{found[2]}", "run: python tests/test_architecture.py"


def test_every_room_is_described_in_its_order() -> None:
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", PAGE.read_text(), re.M)
    rooms = [room for row in rows for room in re.findall(r"`(\w+)`", row)]
    assert tuple(rooms) == ROOMS["safebo"]


if __name__ == "__main__":
    PAGE.write_text(PLACE.sub(lambda found: f"{found[1]}{picture()}{found[2]}", PAGE.read_text()))
