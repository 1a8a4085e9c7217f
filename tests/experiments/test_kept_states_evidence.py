"""What the evidence on kept states counts, without a walk."""

import numpy as np
import pytest

from safebo.boundary.monitor import BoundaryMonitor
from safebo.boundary.rules import LipschitzRule
from safebo.experiments.evidence.kept_states import NEVER, first_trigger, rows_kept, same_decision, table


@pytest.mark.parametrize(
    ("tick", "reference", "same"),
    [
        (10, 20, True),
        (20, 10, True),
        (9, 20, False),
        (NEVER, NEVER, True),
        (NEVER, 3, False),
        (3, NEVER, False),
    ],
)
def test_decisions_are_the_same_within_20_ms(tick: int, reference: int, same: bool) -> None:
    assert same_decision(tick, reference) is same


def test_ways_keep_the_share_they_name() -> None:
    states = np.random.default_rng(0).standard_normal((100, 33)).cumsum(0)
    assert len(rows_kept(states, "all", 0.2)) == 100
    even, informative = (rows_kept(states, way, 0.2) for way in ("even", "informative"))
    assert len(even) == len(informative) == 20
    assert even[0] == informative[0] == 0
    assert even.tolist() != informative.tolist()


def test_a_replay_stops_where_no_state_covers() -> None:
    path = np.arange(10.0)[:, None]
    monitor = BoundaryMonitor(
        path[:4], np.zeros(4, int), np.ones(1), [{}], LipschitzRule(1.0, 0.0), np.ones(1)
    )
    assert first_trigger(monitor, path) == 5
    assert first_trigger(monitor, path[:5]) == NEVER


def test_the_table_says_how_many_decided_alike() -> None:
    rows = [
        {"ticks": {"all": 100, "decided": 101, "informative": 95, "even": 60}},
        {"ticks": {"all": NEVER, "decided": NEVER, "informative": NEVER, "even": 10}},
    ]
    lines = table(rows, {"all": 30, "decided": 6, "informative": 6, "even": 6}).splitlines()
    assert "2 of 2 (100.0 %)" in next(line for line in lines if "informative" in line)
    assert "0 of 2 (0.0 %)" in next(line for line in lines if "even" in line)
