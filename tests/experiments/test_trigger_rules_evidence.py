"""What the evidence on trigger rules counts, without a walk."""

import numpy as np
import pytest

from safebo.boundary.calibration import Calibration
from safebo.boundary.margin_to_go import CAUTION, MarginModel, MarginMonitor
from safebo.boundary.monitor import BoundaryMonitor
from safebo.boundary.rules import LipschitzRule
from safebo.experiments.evidence.trigger_rules import LEARNED, RULES, first_trigger, table
from safebo.robots.simulation.recording import WalkRecording


def recording(states: np.ndarray, settled: int) -> WalkRecording:
    record = WalkRecording.allocate(settled + len(states), settled, 0.002)
    record.states[settled:] = states
    return record


def test_a_rule_is_asked_from_the_first_tick_of_the_walk_until_it_triggers() -> None:
    states = np.zeros((50, 33))
    states[:, 0] = np.arange(50.0)
    monitor = BoundaryMonitor(
        states[:10], np.zeros(10, int), np.ones(1), [{}], LipschitzRule(1.0, 0.0), np.ones(33)
    )
    tick, backup, seconds = first_trigger(monitor, recording(states, 7), 0.5)
    assert (tick, backup) == (11, 0)
    assert seconds > 0
    assert first_trigger(monitor, recording(states[:11], 7), 0.5)[:2] == (-1, -1)


@pytest.mark.parametrize(("stride", "expected"), [(0.5, 125), (0.25, 63)])
def test_a_learned_rule_is_told_the_phase(stride: float, expected: int) -> None:
    # One row: the start of a stride. Half a stride later the bound has fallen under the reserve.
    row = np.zeros((1, 35))
    row[0, -1] = 1.0
    model = MarginModel(row, np.ones((1, 1)), np.ones((1, 1)), 2.0, 1.0, 0.1)
    far = model.predict(np.append(np.zeros(34), -1.0)[None])
    bound = float(far[0][0, 0] - CAUTION * far[1][0])
    monitor = MarginMonitor(model, Calibration(bound + 1e-4, 19, 0.05, 1.0), [{}], np.ones(33))
    tick = first_trigger(monitor, recording(np.zeros((200, 33)), 7), stride)[0]
    assert abs(tick - expected) <= 3


def test_a_learned_rule_is_shown_margins_and_how_they_changed() -> None:
    # One row: a margin of 1 that does not change. It falls from tick 30 on, and the row is far.
    row = np.zeros((1, 39))
    row[0, -5:] = [1.0, 1.0, 0.0, 0.0, 0.0]
    model = MarginModel(row, np.ones((1, 1)), np.ones((1, 1)), 0.3, 1.0, 0.1)
    monitor = MarginMonitor(
        model, Calibration(0.5, 19, 0.05, 1.0), [{}], np.full(33, np.inf), 3, ("m",), np.ones((4, 1))
    )
    margin = np.where(np.arange(60) < 30, 1.0, 0.2)[:, None]
    still = np.inf  # the phase does not turn
    tick = first_trigger(monitor, recording(np.zeros((60, 33)), 7), still, margin)[0]
    assert tick == 30


def test_shares_are_of_those_that_could_be_saved_and_of_those_that_were_safe() -> None:
    def row(safe: bool, savable: bool, tick: int, rescued: bool) -> dict[str, object]:
        rule = {"tick": tick, "rescued": rescued, "seconds": 2e-5}
        return {"safe": safe, "oracle": savable, "rules": dict.fromkeys(RULES, rule)}

    rows = [row(False, True, 3, True), row(False, True, -1, False), row(False, False, 5, False)]
    rows += [row(True, True, 9, False), row(True, True, -1, False), row(True, True, -1, False)]
    text = table(rows)
    assert "savable by the oracle: 2 of 3 (67 %)" in text
    line = next(line for line in text.splitlines() if LEARNED in line)
    assert "1 of 2 (50 %)" in line
    assert "1 of 3 (33 %)" in line
    assert line.rstrip(" |").endswith("20")
