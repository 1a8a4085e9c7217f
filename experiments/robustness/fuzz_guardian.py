"""Malformed states of a robot against a guardian, and malformed answers of its services.

The packets go in where the readers of UDP and DDS hand them over; `fuzz_network` sends a sample over the real ones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random
from typing import Any

import numpy as np

from safebo.experiments.robustness.fuzz_feed import BATCH, Feed, Findings
from safebo.experiments.robustness.fuzz_packets import (
    GO1_STATE,
    PARAMETERS,
    Form,
    PacketFuzzer,
    RequestFuzzer,
)
from safebo.experiments.robustness.growth import OFF, Meter
from safebo.experiments.robustness.guardian import Scene, beat
from safebo.hardware.guardian.observation import RobotObservation, observe
from safebo.hardware.robot_link import RobotState
from safebo.hardware.unitree import go1_messages as go1
from safebo.hardware.unitree import rpc_messages as rpc
from safebo.hardware.unitree.dds import DdsNetwork
from safebo.hardware.unitree.go1_link import Go1Link
from safebo.hardware.unitree.go1_udp import Go1Network
from safebo.hardware.unitree.go2_link import Go2Link
from safebo.hardware.unitree.joints import motors_of
from safebo.robots.descriptions.model import RobotModel
from safebo.robots.quadruped.interface import JointCommand, SensorReading

SOUND = (0.002, 0.0, 0.5, 0.02)
"""Share of packets with the right checksum, in storms on a guardian: few enough that one of them meets it at work, and
many."""


MAX_READING = {
    "joint_position": 7.0,
    "joint_velocity": 120.0,
    "angular_velocity": 60.0,
    "linear_acceleration": 500.0,
}
MAX_TORQUE = 200.0  # N m


def impossible(seen: RobotObservation) -> str:
    """What in an observation no robot can say; empty when all is possible."""
    for name, most in MAX_READING.items():
        values = getattr(seen.reading, name)
        if not (np.isfinite(values).all() and np.abs(values).max() <= most):
            return f"{name} {values}"
    if not (np.isfinite(seen.torque).all() and np.abs(seen.torque).max() <= MAX_TORQUE):
        return f"torque {seen.torque}"
    if not 0.9 <= math.sqrt(float((seen.reading.orientation**2).sum())) <= 1.1:
        return f"orientation {seen.reading.orientation}"
    if not (math.isnan(seen.battery) or 0.0 <= seen.battery <= 100.0):
        return f"battery {seen.battery} %"
    return ""


def beyond(command: JointCommand, robot: RobotModel) -> str:
    """What in a joint command no motor may be told; empty when all is allowed."""
    rows = np.array([command.position, command.velocity, command.torque, command.kp, command.kd])
    if not np.isfinite(rows).all():
        return "not finite"
    if (np.abs(command.torque) > robot.torque_limit).any() or (
        np.abs(command.velocity) > robot.speed_limit
    ).any():
        return "beyond the motors' limits"
    if (command.position < robot.joint_lower).any() or (command.position > robot.joint_upper).any():
        return "beyond the joints' range"
    if (rows[3:] < 0.0).any() or (rows[3] > 500.0).any() or (rows[4] > 50.0).any():
        return f"gains {rows[3:]}"
    return ""


def state_record(form: Form, reading: SensorReading, torque: np.ndarray, milliseconds: float) -> Any:
    """What a sound robot says."""
    record = form.new()
    slots, motors, imu = motors_of(), record["motor_state"], record["imu_state"]
    motors["q"][slots], motors["dq"][slots] = reading.joint_position, reading.joint_velocity
    scale, ticks, cell = (go1.TAU_SCALE, 1e3, go1.CELL_SCALE) if form is GO1_STATE else (1.0, 1.0, 1e-3)
    motors["tau_est"][slots] = torque / scale
    motors["temperature"][slots] = 40
    imu["quaternion"], imu["gyroscope"] = reading.orientation, reading.angular_velocity
    imu["accelerometer"] = reading.linear_acceleration
    record["bms_state"]["soc"] = 80
    record["bms_state"]["cell_vol"][:8] = round(3.9 / cell)
    record["tick"] = round(milliseconds * ticks) & 0xFFFFFFFF
    return record


class StormRobot:
    """The stand-in robot of a world, heard through a link's decoding, with a storm of packets around its own."""

    def __init__(self, robot: Any, form: Form, link: Any, feed: Feed, seed: int, findings: Findings) -> None:
        self._robot, self._form, self._link, self._feed = robot, form, link, feed
        self._fuzzer, self._random, self._findings = PacketFuzzer(form, seed), Random(seed), findings
        self.storm = 0
        self.sound = 0.0
        self.apply = robot.apply
        self.heard: RobotState | None = None

    @property
    def damaged(self) -> int:
        """Packets that the link refused."""
        return int(self._link.counters.damaged)

    def observe(self) -> RobotObservation | None:
        """What the guardian is told in this tick."""
        truth = self._robot.observe()
        own = self._fuzzer.note(
            state_record(
                self._form, truth.reading, np.clip(truth.torque, -100, 100), self._robot.milliseconds
            )
        )
        packets = [own]
        for _ in range(self.storm):
            sound = self._random.random() < self.sound
            packet = self._fuzzer.sound() if sound else self._fuzzer.unsound()
            self._findings.sent[packet.kind] += 1
            packets.append(packet.data)
        self._random.shuffle(packets)
        before = self.damaged
        self._feed.waiting = packets
        self.heard = state = self._link.read()
        if not self.sound:
            refused = self.damaged - before
            if refused != self.storm:
                self._findings.fault(f"{self._form.name}: {refused} of {self.storm} unsound packets refused")
            if (
                state is None
                or np.abs(state.reading.joint_position - truth.reading.joint_position).max() > 1e-6
            ):
                self._findings.fault(f"{self._form.name}: an unsound packet changed what was heard")
        return None if state is None else observe(state)


def hear(
    count: int,
    form: Form,
    scenes: Sequence[Scene],
    seed: int,
    findings: Findings,
    domain: int,
    ticks: int = 200,
    meter: Meter = OFF,
) -> None:
    """Storms of states against a guardian in each of these scenes, in turns; of every four one without sound ones.

    Args:
        count: packets.
        form: `GO1_STATE` or `GO2_STATE`.
        scenes: worlds with their clients; they are copied.
        seed: decides everything.
        findings: where it is told.
        domain: of DDS, for a Go2's link.
        ticks: after which a guardian gives way to a fresh one.
        meter: looks at memory.
    """
    now = [0.0]
    sent = episode = 0
    while sent < count:
        link, feed = _listener(form, domain, lambda: now[0])
        world, client = scenes[episode % len(scenes)][0].copy(scenes[episode % len(scenes)][1])
        robot = StormRobot(world.robot, form, link, feed, seed * 100_003 + episode, findings)
        robot.sound = SOUND[episode // len(scenes) % len(SOUND)]
        world.robot = robot  # type: ignore[assignment]
        for k in range(ticks):
            now[0] = world.now
            robot.storm = BATCH if k >= 10 and sent < count else 0
            sent += robot.storm
            beat(client)
            world.damaged = robot.damaged
            command = world.tick()
            world.events.clear()
            newest = world.guardian.stream.newest
            wrong = (impossible(newest) if newest else "") or beyond(command, world.guardian.robot)
            if wrong:
                findings.fault(f"{form.name}: {wrong}")
            meter.at(sent)
            if sent >= count:
                break
        if sent >= count:
            meter.end()
        link.close()
        episode += 1


def _listener(form: Form, domain: int, clock: Any) -> tuple[Any, Feed]:
    """A link whose packets come out of a feed, and the feed."""
    feed = Feed()
    link: Any = None
    if form is GO1_STATE:
        link = Go1Link(Go1Network(port=1), clock=clock)
        link._udp.close()
        link._udp = feed
    else:
        link = Go2Link(DdsNetwork(domain=domain), clock=clock)
        link._states = feed
    return link, feed


def answers(count: int, seed: int, findings: Findings, domain: int, meter: Meter = OFF) -> None:
    """Malformed answers of a Go2's services to the guardian's question who commands the joints."""
    now = [0.0]
    link: Any = Go2Link(DdsNetwork(domain=domain), clock=lambda: now[0])
    link.speak()
    responses, random = Feed(), Random(seed)
    link._switcher._responses = responses
    fuzzer = RequestFuzzer(seed)
    for k in range(count // BATCH):
        asked = link._watch._open
        for _ in range(BATCH):
            packet = fuzzer.make()
            findings.sent["answer" + packet.kind[4:]] += 1
            data = packet.data
            if packet.sound and random.random() < 0.8:
                text = random.choice(PARAMETERS)
                data = rpc.encode_response(
                    rpc.RpcResponse(asked, 1001, random.choice((0, 0, 0, 3203, -1)), text)
                )
            responses.waiting.append(data)
        link.foreign_commands()
        now[0] += 0.25
        meter.at(k * BATCH)
    meter.end()
    responses.waiting = [rpc.encode_response(rpc.RpcResponse(link._watch._open, 1001, 0, '{"name": "mcf"}'))]
    if "'mcf'" not in link.foreign_commands():
        findings.fault("Go2 services: a sound answer after the storm was not heard")
    link.close()
