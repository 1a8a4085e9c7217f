"""A run in the terminal: the page's twin, which only looks."""

from __future__ import annotations

import time

from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table

from safebo.console.parts import robot_part
from safebo.console.reading import RunReader, RunState, Snapshot
from safebo.console.robots import Robot
from safebo.console.trial_table import trial_table
from safebo.runs.cards import ExpectedRow, GainRow, MeasuredCard, MeasuredRow, ProposalCard
from safebo.runs.operators import drawn_measurement, drawn_proposal
from safebo.storage.questions import Question
from safebo.text.screen import Screen, literal
from safebo.types import RobotAddress

EVERY_S = 0.5
LAST = 8
"""Trials that are shown."""
STYLES = {"asks": "bold reverse", "stopped": "bold red", "runs": "bold green", "finished": "bold green"}


def watch_run(reader: RunReader, address: RobotAddress | None, once: bool) -> None:
    """Show a run until Ctrl-C, or once.

    Args:
        reader: of the run.
        address: of a robot to look at; None for that of the run.
        once: print the state and end.
    """
    screen = Screen()
    robot: Robot | None = None

    def now() -> RenderableType:
        nonlocal robot
        seen = reader.snapshot()
        where = address or (reader.questions.robot() if reader.running() else None)
        if robot is None and where is not None:
            robot = Robot(seen.run.study.evaluator.name, where)
            if once:
                robot.watch()
                time.sleep(EVERY_S)
        return drawn(seen, reader.state(), reader.question(), robot, screen.width)

    try:
        if once or not screen.is_terminal:
            screen.print(now())
            return
        with Live(now(), console=screen, refresh_per_second=4, screen=True) as live:
            while True:
                time.sleep(EVERY_S)
                live.update(now())
    except KeyboardInterrupt:
        return
    finally:
        if robot is not None:
            robot.close()


def drawn(
    seen: Snapshot, state: RunState, question: Question | None, robot: Robot | None, width: int
) -> RenderableType:
    """Everything on one screen."""
    parts: list[RenderableType] = [
        literal(f"{seen.run.name}, seed {seen.run.seed}", "bold"),
        literal(state.text, STYLES.get(state.kind, "bold")),
    ]
    if robot is not None:
        parts.append(_robot(robot))
    if question is not None:
        parts.append(card_of(question))
        parts.append(
            literal("Answer at the terminal of `safebo tune`, or in the page of `safebo console`.", "dim")
        )
    if seen.records:
        parts.append(trial_table(seen.records[-LAST:], seen.run.study, width))
    return Group(*parts)


def card_of(question: Question) -> RenderableType:
    """What is asked, as the run's own terminal shows it."""
    card = dict(question.card)
    if question.kind == "approve":
        gains = tuple(GainRow(**row) for row in card.pop("gains"))
        expected = tuple(ExpectedRow(**row) for row in card.pop("expected"))
        return drawn_proposal(ProposalCard(**card, gains=gains, expected=expected))
    rows = tuple(MeasuredRow(**row) for row in card.pop("rows"))
    return drawn_measurement(MeasuredCard(**card, rows=rows))


def _robot(robot: Robot) -> RenderableType:
    status, trouble = robot.look()
    if status is None:
        return literal(f"robot: {trouble}", "bold red")
    table = Table.grid(padding=(0, 2))
    for name, value, bad in robot_part(status)["facts"]:
        table.add_row(literal(name, "dim"), literal(value, "bold red" if bad else ""))
    return table
