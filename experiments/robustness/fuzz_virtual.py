"""Malformed commands and calls against a virtual robot; see `fuzz_guardian` for where they go in."""

from __future__ import annotations

from random import Random
from typing import Any
from unittest import mock

import numpy as np

from safebo.experiments.robustness.fuzz_feed import BATCH, Feed, Findings
from safebo.experiments.robustness.fuzz_packets import (
    GO1_COMMAND,
    GO2_COMMAND,
    Form,
    PacketFuzzer,
    RequestFuzzer,
)
from safebo.experiments.robustness.growth import OFF, Meter
from safebo.hardware.unitree import go1_messages as go1
from safebo.hardware.unitree import rpc_messages as rpc
from safebo.hardware.unitree.dds import DdsNetwork
from safebo.hardware.unitree.joints import motors_of
from safebo.hardware.unitree.services import MotionService
from safebo.hardware.virtual.go1 import IDLE_DAMPING, VirtualGo1
from safebo.hardware.virtual.go2 import VirtualGo2
from safebo.hardware.virtual.injection import Injector
from safebo.hardware.virtual.machine import step
from safebo.hardware.virtual.plant import VirtualPlant
from safebo.robots.descriptions.model import load_robot
from safebo.robots.quadruped.interface import JointCommand


def virtual_robot(form: Form, seed: int, domain: int) -> tuple[Any, Feed]:
    """A virtual robot whose commands come out of a feed, and the feed."""
    robot: Any
    if form is GO1_COMMAND:
        plant = VirtualPlant(load_robot("go1"), None, seed, idle_damping=IDLE_DAMPING)
        robot, feed = VirtualGo1(0, plant, Injector(head=0)), Feed(("127.0.0.1", 9))
        robot._side._udp.close()
        robot._side._udp = feed
    else:
        plant = VirtualPlant(load_robot("go2"), None, seed, MotionService(""))
        robot, feed = VirtualGo2(DdsNetwork(domain=domain), plant, Injector()), Feed()
        robot._side._commands = feed
        for server in robot._side._servers:
            server._requests, server._responses = Feed(), Feed()
    return robot, feed


class Commander:
    """Stands a virtual robot up and keeps it there with sound commands; a reference instance gets the same.

    Args:
        form: of the commands.
        robot: the virtual robot.
        reference: the same plant, which meets no storm.
    """

    def __init__(self, form: Form, robot: Any, reference: VirtualPlant) -> None:
        self._form, self._reference = form, reference
        self._slots = motors_of(robot.plant.robot.joint_names)
        self._begin = robot.plant.settled.copy()
        self._home = robot.plant.robot.home_joints
        self.ticks = 0

    def command(self) -> tuple[Any, JointCommand]:
        """The next record, and what the reference is to be told: the same numbers, rounded as the wire rounds them."""
        share = min(1.0, self.ticks / 1000)
        self.ticks += 1
        record = self._form.new()
        motors = record["motor_cmd"]
        motors["mode"][self._slots] = 0x0A if self._form is GO1_COMMAND else 0x01
        motors["q"][self._slots] = self._begin + share * (self._home - self._begin)
        kp, kd = (60 * 32, 5 * 16) if self._form is GO1_COMMAND else (60, 5)
        motors["kp"][self._slots], motors["kd"][self._slots] = kp, kd
        position = motors["q"][self._slots].astype(np.float64)
        return record, JointCommand(position, kp=np.full(12, 60.0), kd=np.full(12, 5.0))

    def tell(self, command: JointCommand) -> None:
        """The reference's copy of a command."""
        self._reference.command(command, np.ones(12, dtype=bool))


def command(count: int, form: Form, seed: int, findings: Findings, domain: int, meter: Meter = OFF) -> None:
    """A storm of commands against a virtual robot, the first half of it without sound ones.

    While nothing sound comes, the robot has to be bit for bit where a reference instance is that meets no storm; every
    fourth second nobody commands it at all. What is sound moves it by protocol: then torques and body have to stay what
    motors and physics allow.
    """
    robot, feed = virtual_robot(form, seed, domain)
    plant: VirtualPlant = robot.plant
    reference = VirtualPlant(plant.robot, None, seed, MotionService(""), plant._idle_damping)
    fuzzer, requests, random = PacketFuzzer(form, seed), RequestFuzzer(seed), Random(seed)
    commander = Commander(form, robot, reference)
    lie_down = mock.Mock(wraps=plant._lie_down)
    plant._lie_down = lie_down  # type: ignore[method-assign]
    sent = ticks = 0
    while sent < count:
        sound = sent >= count // 2
        packets = [
            fuzzer.sound() if sound and random.random() < 0.5 else fuzzer.unsound() for _ in range(BATCH)
        ]
        findings.sent.update(packet.kind for packet in packets)
        data = [packet.data for packet in packets]
        own = ticks // 500 % 4 != 3
        if own:
            record, told = commander.command()
            data.insert(random.randrange(BATCH + 1), fuzzer.note(record))
            commander.tell(told)
        feed.waiting = data
        calls = _call(robot, requests, sound, findings) if form is GO2_COMMAND and ticks % 2 == 0 else 0
        sent += BATCH + calls
        before, damaged = plant.commands, robot.damaged
        robot.listen()
        step(robot)
        reference.tick()
        _look(form, plant, findings)
        if not sound:
            refused = robot.damaged - damaged
            if plant.commands - before != own or refused != BATCH:
                findings.fault(f"{form.name}: {refused} of {BATCH} unsound commands refused")
            if _differs(plant, reference):
                findings.fault(f"{form.name}: an unsound command moved the robot, tick {ticks}")
        ticks += 1
        meter.at(sent)
    meter.end()
    if lie_down.called:
        findings.fault(
            f"{form.name}: the body had to be put down again {lie_down.call_count} times, it was nowhere"
        )
    if form is GO1_COMMAND:
        go1.decode_low_state(feed.sent[-1])
    robot.close()


def _differs(plant: VirtualPlant, reference: VirtualPlant) -> bool:
    mine, its = plant._acting, reference._acting
    rows = ("position", "velocity", "torque", "kp", "kd")
    return not (
        all((getattr(mine, row) == getattr(its, row)).all() for row in rows)
        and (plant.torque == reference.torque).all()
        and (plant.simulation.data.qpos == reference.simulation.data.qpos).all()
    )


def _look(form: Form, plant: VirtualPlant, findings: Findings) -> None:
    simulation = plant.simulation
    if not np.isfinite(plant.torque).all():
        findings.fault(f"{form.name}: torques {plant.torque}")
    # what a motor can do falls with speed; never more than its limit
    elif (np.abs(plant.torque) > plant.robot.torque_limit * (1 + 1e-9)).any():
        findings.fault(f"{form.name}: torques beyond the motors' limits, {plant.torque}")
    if not (np.isfinite(simulation.data.qpos).all() and np.isfinite(simulation.data.qvel).all()):
        findings.fault(f"{form.name}: the body is nowhere")


def _call(robot: Any, fuzzer: RequestFuzzer, sound: bool, findings: Findings) -> int:
    """Calls of the robot's services; what cannot be read changes nothing, what can be is answered. How many."""
    motion = robot.plant.motion
    sent = 0
    for server in robot._side._servers:
        packets = [fuzzer.make() for _ in range(2)]
        if not sound:
            packets = [packet for packet in packets if not packet.sound]
        findings.sent.update(packet.kind for packet in packets)
        sent += len(packets)
        before = motion.name, motion.posture
        server._requests.waiting = [packet.data for packet in packets]
        server._responses.sent = []
        server.serve()
        for data in server._responses.sent:
            rpc.decode_response(data)
        if not any(packet.sound for packet in packets) and (motion.name, motion.posture) != before:
            findings.fault(f"Go2 services: an unreadable call changed {before} to {motion.name}")
        if not isinstance(motion.name, str):
            findings.fault(f"Go2 services: the motion service's name is {motion.name!r}")
        if fuzzer.random.random() < 0.3:
            motion.name = ""  # it lets go, so that commands count again
    return sent
