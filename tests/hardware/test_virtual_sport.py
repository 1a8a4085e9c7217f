"""A virtual Go2's motion service over DDS: what its states say is what the robot does."""

import json
import os
import time
from collections.abc import Iterator

import numpy as np
import pytest

from safebo.hardware.unitree.dds import DdsNetwork, DdsParticipant
from safebo.hardware.unitree.go2_broadcasts import SPORT_MODE_STATE
from safebo.hardware.unitree.services import MotionService, ServiceClient
from safebo.hardware.virtual import walking
from safebo.hardware.virtual.injection import Injector
from safebo.hardware.virtual.machine import step
from safebo.hardware.virtual.plant import VirtualPlant
from safebo.robots.descriptions.model import load_robot

pytest.importorskip("cyclonedds", reason="Cyclone DDS is not installed")

from safebo.hardware.virtual.go2 import VirtualGo2

DOMAIN = 30 + os.getpid() % 190


class Stage:
    """A virtual Go2 and a client on one network, in lock-step: the robot ticks when it is told to."""

    def __init__(self, motion_always: bool) -> None:
        network = DdsNetwork("lo", DOMAIN)
        plant = VirtualPlant(load_robot("go2"), motion=MotionService())
        self.robot = VirtualGo2(network, plant, Injector(), motion_always=motion_always)
        self.client = DdsParticipant(network)
        self._states = self.client.reader("rt/sportmodestate", "SportModeState_")
        self._slow = self.client.reader("rt/lf/sportmodestate", "SportModeState_")
        self._services = {n: ServiceClient(self.client, n) for n in ("sport", "motion_switcher")}
        while not all(service.available() for service in self._services.values()):
            self.run(0.002)
        while not (self._states.writers() and self._slow.writers()):
            self.run(0.002)

    def run(self, seconds: float) -> list:
        """Let the robot live; the motion states that came meanwhile."""
        came = []
        for _ in range(round(seconds / 0.002)):
            self.robot.listen()
            step(self.robot)
            came += self._states.take()
        self._states.wait(0.05)
        came += self._states.take()
        self.slow = self._slow.take()
        return [np.frombuffer(bytearray(data[4:]), SPORT_MODE_STATE)[0] for data in came]

    def call(self, service: str, api: int, **parameter: object) -> tuple[int, str]:
        client = self._services[service]
        asked = client.send(api, parameter)
        for _ in range(500):
            self.run(0.002)
            for answer in client.take():
                if answer.id == asked.id:
                    return answer.code, answer.data
        raise AssertionError(f"no answer to {api}")

    def close(self) -> None:
        self.client.close()
        self.robot.close()


@pytest.fixture
def stage(request) -> Iterator[Stage]:
    made = Stage(request.param)
    yield made
    made.close()


@pytest.mark.parametrize("stage", [False], indirect=True)
def test_the_motion_state_says_what_the_robot_does_and_ends_with_its_service(stage) -> None:
    newest = stage.run(0.2)[-1]
    assert (newest["mode"], newest["gait_type"]) == (7, 0)
    assert stage.call("sport", 1008, x=0.3, y=0.0, z=0.0)[0] == 3202
    assert stage.call("sport", 1002) == (0, "")
    rising = stage.run(1.8)
    assert rising[-1]["foot_speed_body"].reshape(4, 3)[:, 2].min() < -0.01  # away from the trunk
    newest = stage.run(1.5)[-1]
    assert newest["mode"] == 1
    assert stage.slow
    assert newest["body_height"] > 0.25
    feet = newest["foot_position_body"].reshape(4, 3)  # FR, FL, RR, RL
    assert (np.sign(feet[:, 0]) == [1, 1, -1, -1]).all()
    assert (np.sign(feet[:, 1]) == [-1, 1, -1, 1]).all()
    assert stage.call("sport", 1008, x=0.3, y=0.0, z=0.0) == (0, "")
    newest = stage.run(0.8)[-1]
    assert (newest["mode"], newest["gait_type"]) == (3, 1)
    assert newest["foot_raise_height"] > 0.03
    moved = stage.run(0.4)[-1]
    assert moved["position"][0] > newest["position"][0] + 0.02
    assert stage.call("motion_switcher", 1003) == (0, "")
    stage.run(0.05)
    assert stage.run(0.3) == []
    assert stage.slow == []
    assert json.loads(stage.call("motion_switcher", 1001)[1])["name"] == ""
    assert stage.call("sport", 1004)[0] == 3202


@pytest.mark.parametrize("stage", [True], indirect=True)
def test_the_motion_state_goes_on_where_that_is_asked_for(stage) -> None:
    assert stage.call("motion_switcher", 1003) == (0, "")
    stage.run(0.05)
    newest = stage.run(0.2)[-1]
    assert newest["mode"] == 0
    assert newest["body_height"] > 0.05


def test_what_walks_is_compiled_beside_the_robot_and_then_loaded(tmp_path, monkeypatch) -> None:
    marker = walking._compiled()
    for what, other in (
        ("__file__", str(tmp_path / "walking.py")),
        ("platform.node", lambda: "another machine"),
    ):
        with monkeypatch.context() as elsewhere:
            elsewhere.setattr(f"{walking.__name__}.{what}", other)
            assert walking._compiled() != marker  # what Numba kept for another place is of no use there
    marker = tmp_path / "walking"
    said: list[str] = []
    monkeypatch.setattr(walking, "_compiled", lambda: marker)
    robot = load_robot("go2")
    monkeypatch.setattr(walking, "_COMPILE", "pass")
    loader = walking.WalkingLoader(robot, True, said.append)
    end = time.monotonic() + 30
    while loader.controller is None and time.monotonic() < end:
        loader.want()
        time.sleep(0.01)
    assert said == ["the motion service can walk"]
    assert marker.exists()
    monkeypatch.setattr(walking, "_COMPILE", "raise SystemExit('not again')")
    again = walking.WalkingLoader(robot, True, said.append)
    again.want()  # at once: it is compiled
    assert again.controller is not None

    marker.unlink()
    failing = walking.WalkingLoader(robot, True, said.append)
    while len(said) < 3 and time.monotonic() < end:
        failing.want()
        time.sleep(0.01)
    assert said[2] == "the motion service cannot walk, Move does nothing: not again"
    failing.want()
    assert failing.controller is None
    failing.close()
