"""The seconds before a latch: which they are, that a disk never matters to the loop, and what is in the file."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
from mcap.reader import make_reader
from mcap_structure import OUT_OF_ORDER, Structure

from safebo.experiments.robustness.guardian_world import World
from safebo.hardware.guardian.flight_recorder import FLIGHT_COLUMNS, Flight, FlightRecorder
from safebo.hardware.guardian.flight_writer import FlightWriter
from safebo.hardware.guardian.telemetry import COLUMNS
from safebo.hardware.tuning.recording import read_telemetry

pytestmark = pytest.mark.slow


class Recorded(World):
    """A world whose ticks are kept."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.flights: list[Flight] = []
        self.said: list[str] = []
        self.recorder = FlightRecorder(self.guardian, folder, self.flights.append, lambda: self.now)

    def tick(self):
        before, now = len(self.events), self.now
        command = super().tick()
        self.said += [row.message for row in self.recorder.tick(now, self.events[before:])]
        return command


def damp(world: Recorded, seconds: float) -> None:
    """Latch by a tipped robot for a moment."""
    world.robot.edit = lambda seen: setattr(seen, "remote_stop", True)
    world.run(0.01)
    world.robot.edit = lambda seen: None
    world.run(seconds)


def test_ten_seconds_before_a_latch_and_two_after_are_handed_over(tmp_path) -> None:
    world = Recorded(tmp_path)
    world.run(13.0)
    latched = world.now
    damp(world, 1.9)
    assert not world.flights
    (told,) = world.said
    assert told.startswith(f"the 10 s before latch 1 and 2 s after it go to {tmp_path}/latch-")
    world.run(0.5)
    (flight,) = world.flights
    times = flight.rows[:, 0]
    assert times[0] == pytest.approx(latched - 10.0, abs=0.01)
    assert times[-1] == pytest.approx(latched + 2.0, abs=0.01)
    assert np.diff(times) == pytest.approx(np.full(len(times) - 1, 0.002), abs=1e-9)
    assert "latch" in [row.kind for _, row in flight.events]
    stop = flight.rows[:, FLIGHT_COLUMNS.index("watched.remote_stop")]
    assert times[np.argmax(stop > 0)] == pytest.approx(latched, abs=0.003)


def test_a_disk_that_takes_nothing_costs_records_and_never_a_tick(tmp_path) -> None:
    world = Recorded(tmp_path)
    world.run(1.0)
    for _ in range(3):
        damp(world, 2.5)
        world.guardian.machine.state = type(world.guardian.state).REST
    assert len(world.flights) == 2
    assert "latch 3 is not kept" in world.said[-1]


def test_the_file_is_whole_and_says_what_happened(tmp_path) -> None:
    said: list[str] = []
    world = Recorded(tmp_path)
    world.run(1.2)
    damp(world, 2.3)
    writer = FlightWriter(world.guardian.robot, world.service.described, said.append)
    writer.keep(world.flights[0])
    writer.close()
    (path,) = tmp_path.glob("latch-*.mcap")
    assert said == [f"latch 1: kept in {path}, {len(world.flights[0].rows)} ticks"]
    assert set(Structure(path).faults) <= {OUT_OF_ORDER}  # what was said stands before the ticks
    with path.open("rb") as file:
        reader = make_reader(file, validate_crcs=True)
        found = [
            (c.topic, json.loads(m.data, parse_constant=pytest.fail)) for _, c, m in reader.iter_messages()
        ]
        about = {record.name: record.metadata for record in reader.iter_metadata()}
    assert about["latch"]["number"] == "1"
    assert about["safebo"]["record"] == "latch"
    assert float(about["baseline"]["joint.hip.kp"]) > 0
    assert any(topic == "/log" and "remote" in body["message"] for topic, body in found)
    assert sum(topic == "/tf" for topic, _ in found) > 100
    ticks = read_telemetry(path)
    assert np.array_equal(ticks[:, 0], world.flights[0].rows[:, 0])
    assert ticks[-1, COLUMNS.index("joint_position.fl.hip")] == pytest.approx(
        world.robot.position[0], abs=1e-5
    )
    assert time.time() > ticks[-1, COLUMNS.index("wall_time")]


def test_a_full_disk_is_said_and_leaves_nothing_behind(tmp_path, monkeypatch) -> None:
    said: list[str] = []
    world = Recorded(tmp_path)
    world.run(1.2)
    damp(world, 2.3)

    def full(_file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safebo.hardware.guardian.flight_writer.os.fsync", full)
    writer = FlightWriter(world.guardian.robot, world.service.described, said.append)
    returned: list[object] = []
    writer.give_back = returned.append
    writer.keep(world.flights[0])
    writer.close()
    assert "NOT kept" in said[0]
    assert "No space left" in said[0]
    assert not list(tmp_path.iterdir())
    assert len(returned) == 1
