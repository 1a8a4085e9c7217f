"""The envelope of robots and gaits: its search, its table, and that it goes on where it stopped."""

import json
from typing import Any

import pytest

from safebo.experiments.evidence import envelope
from safebo.experiments.evidence.envelope_page import BEGIN, END, into_page, table
from safebo.robots.descriptions.model import load_robot

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("true", "most", "found"), [(0.73, 3.0, 0.7), (5.0, 1.65, 1.65), (0.05, 3.0, 0.0), (1.6, 1.65, 1.6)]
)
def test_the_largest_step_that_holds_is_found_and_the_most_is_tried_first(true, most, found):
    tried = []

    def holds(value):
        tried.append(value)
        return value <= true + 1e-9

    assert envelope.largest(0.1, most, holds) == pytest.approx(found)
    assert tried[0] == most
    assert len(tried) <= 6


def test_a_walk_counts_when_it_stays_up_at_nearly_the_command():
    robot = load_robot("go1")
    record = envelope.walk(robot, "trot", (0.4, 0.0, 0.0), 1.6)
    forward, leftward, turning = envelope.achieved(record)
    assert forward == pytest.approx(0.4, abs=0.03)
    assert abs(leftward) < 0.05
    assert abs(turning) < 0.1
    assert envelope.walks(record, (0.4, 0.0, 0.0))
    assert not envelope.walks(record, (0.6, 0.0, 0.0))
    assert not envelope.walks(record, (0.4, 0.0, 0.5))
    record.time[:] += 3.0
    record.commanded_torque[-1, 1], record.joint_velocity[-1, 1] = (
        0.5 * robot.torque_limit[1],
        0.8 * robot.speed_limit[1],
    )
    at_one = envelope.at_curve(record, robot)
    record.commanded_torque[-1, 1] *= -1.0  # braking is not limited
    assert at_one - envelope.at_curve(record, robot) == pytest.approx(1.0 / (record.time >= 3.0).sum())


def test_it_goes_on_where_it_stopped_and_the_table_shows_what_is_known(tmp_path, monkeypatch):
    done = []

    def find(what, robot, gait, known):
        done.append((what, robot.name, gait))
        if len(done) == 3:
            raise KeyboardInterrupt
        return {
            "physics": {"engines": 1e-14, "feet": 2e-16, "slip": 0.01, "slip_on_ice": 0.2},
            "fast trot": {"walks": 2.3, "inside": 1.9},
            "speeds": {"limit": 1.5, "forward": 1.5, "leftward": 0.4, "turning": 2.0},
            "transport": {"speed": 0.5, "cost": 0.17},
            "push": {"push": 1.2},
            "changes": {"tried": 8, "falls": ["pace"]},
        }[what]

    monkeypatch.setattr(envelope, "find", find)
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    arguments = {"out": tmp_path / "out", "robot": ["go1"], "gait": ["trot"], "page": page}
    with pytest.raises(KeyboardInterrupt):
        envelope.main(**arguments)
    assert "1.50*" not in page.read_text()
    envelope.main(**arguments)
    assert done[2] == done[3]
    lines = [json.loads(line) for line in (tmp_path / "out" / "envelope.jsonl").read_text().splitlines()]
    assert len({tuple(line["task"]) for line in lines}) == len(lines) == len(done) - 1
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "old" not in text
    assert "| go1 | trot | 1.50* | 0.40 | 2.00+ | 1.2 | 0.17 at 0.50 m/s | 1 of 8 |" in text
    assert "at 1.90 m/s with no motor at its torque-speed curve" in text.replace("\n", " ")
    assert "| go1 | 1e-14 | 2e-16 | 0.010 | 0.200 |" in text


def test_an_empty_table_and_a_page_without_marks(tmp_path):
    assert "crawl" not in table({}, ["go2"], ["crawl"])
    known: dict[tuple[str, ...], Any] = {("push", "go2", "crawl"): {"push": 2.4}}
    assert "| go2 | crawl |  |  |  | 2.4+ |  |  |" in table(known, ["go2"], ["crawl"])
    page = tmp_path / "page.md"
    page.write_text("nothing")
    with pytest.raises(ValueError, match="envelope"):
        into_page(page, "text")
