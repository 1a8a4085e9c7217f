"""Whose states they are, their clock, their counters, and what they say of the body: what is wrong is found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from safebo.experiments.robustness.guardian_world import go1
from safebo.hardware.guardian.limits import LIMITS
from safebo.hardware.guardian.observation import RobotObservation, observe
from safebo.hardware.guardian.stream_watch import STREAMED, StreamWatch
from safebo.hardware.robot_link import Battery, RobotState
from safebo.hardware.unitree import go1_messages, go2_messages
from safebo.hardware.unitree.joints import motors_of
from safebo.hardware.virtual.faults import fault
from safebo.hardware.virtual.injection import Injector
from safebo.robots.quadruped.interface import SensorReading

Edit = Callable[[RobotObservation, int], None]


class Told:
    """A stream of sound states, and one that is not."""

    def __init__(self) -> None:
        self.watch, self.random = StreamWatch(), np.random.default_rng(0)
        self.now, self.tick, self.count = 10.0, 5000.0, 0

    def run(self, states: int, edit: Edit = lambda seen, k: None, rate: float = 1.0) -> dict[str, float]:
        """The worst of everything that was found."""
        worst = dict.fromkeys(STREAMED, np.nan)
        for _ in range(states):
            self.now, self.tick, self.count = self.now + 0.002, self.tick + 2.0 * rate, self.count + 1
            reading = SensorReading(0.0, *(self.random.standard_normal(n) for n in (12, 12, 4, 3, 3)))
            reading.joint_velocity[:] = 3.0
            seen = RobotObservation(
                round(self.tick), reading, np.zeros(12), 40.0, 80.0, serial="1-2", motor_lost=3.0
            )
            seen.feet = seen.power = self.count
            edit(seen, self.count)
            self.watch.take(self.now, seen)
            for name, value in zip(STREAMED, self.watch.found, strict=True):
                worst[name] = np.fmax(worst[name], value)
        return worst


def says(**values: float | str | bytes) -> Edit:
    def edit(seen: RobotObservation, k: int) -> None:
        for name, value in values.items():
            setattr(seen, name, value)

    return edit


def loses(seen: RobotObservation, k: int) -> None:
    seen.motor_lost = 1000.0 * k


def crossed(found: dict[str, float]) -> set[str]:
    return {one.name for one in LIMITS if one.quantity in STREAMED and found[one.quantity] > one.threshold}


def test_a_sound_stream_is_left_alone_through_losses_and_a_restart() -> None:
    told = Told()
    assert not crossed(told.run(1200))
    told.tick += 40
    told.now += 0.04
    assert not crossed(told.run(600))
    told.tick, told.now = 20.0, told.now + 3.0
    assert not crossed(told.run(1200, says(restarts=1)))


@pytest.mark.parametrize(
    ("edit", "rate", "names"),
    [
        (says(serial="7-7"), 1.0, {"serial"}),
        (says(), 1.25, {"clock_rate"}),
        (says(), 0.75, {"clock_rate"}),
        (loses, 1.0, {"motor_lost"}),
        (says(temperature=np.nan), 1.0, {"no_heat", "heat_lost"}),
        (says(no_temperature=1.0), 1.0, {"no_heat", "heat_lost"}),
        (says(battery=np.nan), 1.0, {"no_battery", "battery_lost"}),
        (says(feet=5), 1.0, {"body_frozen"}),
    ],
)
def test_what_is_wrong_in_a_stream_is_found(edit: Edit, rate: float, names: set[str]) -> None:
    told = Told()
    told.run(600)
    assert crossed(told.run(1000, edit, rate)) == names
    assert (told.watch.blamed("serial_changed") == "7-7 instead of 1-2") == (names == {"serial"})


def test_a_motor_that_is_driven_no_more_is_named_once_the_robot_has_stood_up() -> None:
    told = Told()
    told.watch = StreamWatch([f"joint {k}" for k in range(12)])
    driven, off = bytes([10] * 12), bytes([10] * 3 + [8] + [10] * 8)
    assert not crossed(told.run(5, says(modes=off)))  # nobody knows yet how driven motors call themselves
    told.run(1, says(modes=driven))
    told.watch.stands()
    assert not crossed(told.run(5, says(modes=driven)))
    assert crossed(told.run(1, says(modes=off))) == {"motor_mode"}
    assert told.watch.blamed("motor_mode") == "joint 3: 8 instead of 10"
    assert not crossed(told.run(5, says()))  # a robot that says no modes


def test_old_states_that_come_again_under_new_ticks_are_found_at_the_third() -> None:
    told, kept = Told(), []
    told.run(300, lambda seen, k: kept.append(replace(seen.reading)))
    again = iter(kept)

    def replayed(seen: RobotObservation, k: int) -> None:
        seen.reading = next(again)

    assert not crossed(told.run(2, replayed))
    assert crossed(told.run(1, replayed)) == {"replayed"}


def test_a_robot_that_never_said_it_lacks_nothing() -> None:
    assert not crossed(Told().run(600, says(temperature=np.nan, battery=np.nan, serial="", feet=0, power=0)))


@pytest.mark.parametrize(
    ("temperature", "missing"),
    [
        ((40.0, 41.0), 0),
        ((0.0, 41.0), 1),
        ((0.0, 2.0), 0),
        ((-200.0, 41.0), 1),
        ((np.nan, 41.0), 1),
        ((255.0, 41.0), 1),
    ],
)
def test_temperatures_that_cannot_be_are_counted(temperature: tuple[float, float], missing: int) -> None:
    degrees = np.array([temperature[0], *([temperature[1]] * 11)])
    state = RobotState(
        5,
        SensorReading(),
        np.zeros(12),
        degrees,
        np.zeros(12, np.uint8),
        np.zeros(4),
        Battery(),
        bytes(40),
        (1, 2),
        0.0,
        0,
        7,
    )
    seen = observe(state)
    assert seen.no_temperature == missing
    assert (seen.serial, seen.motor_lost) == ("1-2", 7.0)


def test_what_faults_of_sensors_make_a_state_say() -> None:
    """The virtual robots' faults, on records of both robots."""
    assert go1().name == "go1"
    slot = motors_of()[1]
    for new in (go1_messages.new_low_state, go2_messages.new_low_state):
        record = new()

        def said(kind: str, ticks: int = 3, record=record, **entry: object):
            injector = Injector([fault({"kind": kind, "from": "start", "at": 0.01, **entry})])
            out = None
            for k in range(5 + ticks):
                record["tick"] = 1000 + 2 * k
                record["imu_state"]["gyroscope"] = record["motor_state"]["q"][slot] = 0.5 + k
                record["imu_state"]["quaternion"] = (1.0, 0.0, 0.0, 0.0)
                record["motor_state"]["temperature"] = 40
                injector.look(0.002 * k, {"start": 0.0})
                before = record.tobytes()
                out = injector.record(record)
                assert record.tobytes() == before
            return out

        assert (said("imu_frozen")["imu_state"]["gyroscope"] == 4.5).all()
        assert (said("imu_frozen", value="attitude")["imu_state"]["gyroscope"] == 7.5).all()
        assert (said("gyro_scale")["imu_state"]["gyroscope"] == -7.5).all()
        assert said("attitude_offset")["imu_state"]["quaternion"][1] == pytest.approx(np.sin(0.15))
        assert said("encoder_frozen", value="FL_thigh")["motor_state"]["q"][slot] == 4.5
        assert said("angle_offset", value={"FL_thigh": 0.25})["motor_state"]["q"][slot] == 7.75
        assert said("leg_missing")["motor_state"]["q"][slot] == 0.0
        assert said("motor_off")["motor_state"]["mode"][slot] == 0
        assert said("no_temperature")["motor_state"]["temperature"][slot] == 0
        assert said("serial", value="3-4")["sn"].tolist() == [3, 4]
        assert said("clock_rate")["tick"] == 1008 + 2 * 6
        assert said("clock_back")["tick"] == 1008 - 6
        assert said("replay", value=0.01)["motor_state"]["q"][slot] == 2.5
        if "lost" in (record["motor_state"].dtype.names or ()):
            assert said("motor_lost")["motor_state"]["lost"][slot] == 3000
