"""The table of `envelope`, and its place on a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

MOST = {"forward": 3.0, "leftward": 0.6, "turning": 2.0, "push": 2.4}
"""The most that is tried: m/s, m/s, rad/s, m/s."""
BEGIN, END = "<!-- envelope -->", "<!-- end of envelope -->"

PUBLISHED = (
    "Published, of real robots with controllers of this family: Cheetah 3 stands, trots, flying-trots, pronks, "
    "bounds, paces and gallops with the same gains, to 3 m/s (Di Carlo et al., IROS 2018); Mini Cheetah with "
    "whole-body impulse control has six gaits, to 3.7 m/s (Kim et al., 2019); a public convex MPC trots a simulated "
    "Go2 to 0.8 m/s. "
    "Published and simulated figures are not the same thing."
)


def table(known: Mapping[tuple[str, ...], Any], robots: Sequence[str], gaits: Sequence[str]) -> str:
    """What is known as Markdown; a missing figure is left empty, a gait of which nothing is known is left out."""
    lines = [
        "| robot | gait | forward, m/s | sideways, m/s | turning, rad/s | push, m/s | cost of transport | falls |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for robot in robots:
        for gait in gaits:
            speeds = known.get(("speeds", robot, gait), {})
            push = known.get(("push", robot, gait), {}).get("push")
            cost = known.get(("transport", robot, gait))
            changes = known.get(("changes", robot, gait))
            if not speeds and push is None and cost is None and changes is None:
                continue
            cells = [
                robot,
                gait,
                _speed(speeds, "forward"),
                _speed(speeds, "leftward"),
                _speed(speeds, "turning"),
                "" if push is None else _tried("push", push, f"{push:.1f}"),
                "" if cost is None else f"{cost['cost']:.2f} at {cost['speed']:.2f} m/s",
                "" if changes is None else f"{len(changes['falls'])} of {changes['tried']}",
            ]
            lines.append("| " + " | ".join(cells) + " |")
    lines += ["", PUBLISHED, ""]
    fast = known.get(("fast trot", "go1", ""))
    if fast is not None:
        lines += [
            f"With `swing.max_speed=5` a Go1 trots at {fast['walks']:.2f} m/s, and at {fast['inside']:.2f} m/s with no "
            "motor at its torque-speed curve in any tick.",
            "",
        ]
    lines += [
        "| robot | engines agree to | feet, m | slip of standing feet, m/s | at friction 0.05 |",
        "|---|---|---|---|---|",
    ]
    for robot in robots:
        found = known.get(("physics", robot, ""))
        if found is not None:
            lines.append(
                f"| {robot} | {found['engines']:.0e} | {found['feet']:.0e} | {found['slip']:.3f} | "
                f"{found['slip_on_ice']:.3f} |"
            )
    return "\n".join(lines) + "\n"


def _speed(speeds: Mapping[str, float], name: str) -> str:
    """A largest speed; marked where it is the most that the controller lets the gait walk, or that was tried."""
    if not speeds:
        return ""
    at_limit = name != "turning" and abs(speeds[name] - speeds["limit"]) < 1e-9
    return f"{speeds[name]:.2f}*" if at_limit else _tried(name, speeds[name], f"{speeds[name]:.2f}")


def _tried(name: str, value: float, text: str) -> str:
    return f"{text}+" if value >= MOST[name] else text


def into_page(page: Path, text: str) -> None:
    """Put the table between its two marks on a page.

    Raises:
        ValueError: the page has no such marks.
    """
    content = page.read_text(encoding="utf-8")
    before, begin, rest = content.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page}: needs a line {BEGIN} and below it a line {END}")
    page.write_text(f"{before}{begin}\n\n{text}\n{end}{after}", encoding="utf-8")
