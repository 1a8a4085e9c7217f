"""A sample over real sockets, on this machine only: a Go1's UDP, a Go2's DDS, the guardian's own port."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from random import Random

import numpy as np

from safebo.experiments.robustness.fuzz_feed import BATCH, Findings
from safebo.experiments.robustness.fuzz_link import Intruder, Setting, Tap
from safebo.experiments.robustness.fuzz_packets import (
    GO1_COMMAND,
    GO1_STATE,
    GO2_COMMAND,
    GO2_STATE,
    PacketFuzzer,
    RequestFuzzer,
)
from safebo.experiments.robustness.guardian import beat
from safebo.experiments.robustness.guardian_world import KEY, PERIOD
from safebo.experiments.robustness.killed_runs import waited_for
from safebo.hardware.errors import LinkError
from safebo.hardware.guardian.motion import damped
from safebo.hardware.link.client import GuardianClient
from safebo.hardware.link.udp import UdpServer, UdpTransport
from safebo.hardware.unitree.dds import DdsNetwork, DdsParticipant, DdsWriter
from safebo.hardware.unitree.go1_link import Go1Link
from safebo.hardware.unitree.go1_udp import Go1Network
from safebo.hardware.unitree.go2_link import COMMANDS, STATES, Go2Link
from safebo.hardware.unitree.services import (
    MOTION_SWITCHER,
    SPORT,
    MotionService,
    request_topic,
    response_topic,
)
from safebo.hardware.virtual.go1 import IDLE_DAMPING, VirtualGo1
from safebo.hardware.virtual.go2 import VirtualGo2
from safebo.hardware.virtual.injection import Injector
from safebo.hardware.virtual.machine import step
from safebo.hardware.virtual.plant import VirtualPlant
from safebo.robots.descriptions.model import load_robot

MATCHING = 5.0  # s for readers and writers to find each other


def udp(count: int, seed: int, findings: Findings) -> None:
    """Unsound packets at both ends of a Go1's port, and sound ones from an address that is not the robot's.

    Args:
        count: packets.
        seed: decides everything.
        findings: where it is told.
    """
    plant = VirtualPlant(load_robot("go1"), None, seed, idle_damping=IDLE_DAMPING)
    robot = VirtualGo1(0, plant, Injector(head=0))
    link = Go1Link(Go1Network(port=robot.port))
    commands, states = PacketFuzzer(GO1_COMMAND, seed), PacketFuzzer(GO1_STATE, seed + 1)
    half, sent, own = BATCH // 2, 0, 0
    stranger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        while sent < count:
            link.write(damped(plant.settled))
            own += 1
            for packet in [commands.unsound() for _ in range(half)]:
                findings.sent["UDP, " + packet.kind] += 1
                stranger.sendto(packet.data, ("127.0.0.1", robot.port))
            robot.listen()
            ears = robot._side.senders[-1]
            for packet in [states.unsound() for _ in range(half)]:
                findings.sent["UDP, " + packet.kind] += 1
                robot._side.answer_packet(packet.data, ears)
            findings.sent["UDP, sound, from a stranger"] += 1
            stranger.sendto(states.sound().data, ears)
            sent += BATCH + 1
            step(robot)
            state = link.read()
            if (
                state is None
                or np.abs(state.reading.joint_position - plant.reading.joint_position).max() > 1e-5
            ):
                findings.fault("Go1 over UDP: the link did not hear the robot as it is")
        if (plant.commands, robot.damaged, link.counters.damaged) != (own, half * own, half * own):
            findings.fault(
                f"Go1 over UDP: {plant.commands} of {own} commands taken, {robot.damaged} and "
                f"{link.counters.damaged} of {half * own} unsound packets refused"
            )
    finally:
        stranger.close()
        link.close()
        robot.close()


def dds(count: int, seed: int, findings: Findings, domain: int) -> None:
    """Unsound packets on a Go2's topics, then sound ones among them; what the middleware itself refuses is as good as
    lost.

    Args:
        count: packets.
        seed: decides everything.
        findings: where it is told.
        domain: of DDS.

    Raises:
        LinkError: the ends do not find each other.
    """
    network = DdsNetwork(domain=domain)
    plant = VirtualPlant(load_robot("go2"), None, seed, MotionService("mcf"))
    robot, link, stranger = VirtualGo2(network, plant, Injector()), Go2Link(network), DdsParticipant(network)
    commands, states, requests = (
        PacketFuzzer(GO2_COMMAND, seed),
        PacketFuzzer(GO2_STATE, seed),
        RequestFuzzer(seed),
    )
    link.speak()
    # as if what comes had been sent by the robot itself: another one's states are left out before they are judged
    link._source.own = lambda samples, now: [data for data, _ in samples]  # type: ignore[method-assign]
    writers = [
        (stranger.writer(COMMANDS, "LowCmd_"), commands),
        (stranger.writer(STATES, "LowState_"), states),
    ]
    callers = [
        *(stranger.writer(request_topic(name), "Request_") for name in (MOTION_SWITCHER, SPORT)),
        stranger.writer(response_topic(MOTION_SWITCHER), "Response_"),
    ]
    _until(lambda: all(writer.readers() for writer in (*(w for w, _ in writers), *callers)))
    sent, lot = 0, Random(seed)
    try:
        while sent < count:
            sound = sent > count // 2
            for writer, fuzzer in writers:
                for _ in range(BATCH // 2):
                    packet = fuzzer.sound() if sound and lot.random() < 0.3 else fuzzer.unsound()
                    _write(writer, "DDS, " + packet.kind, packet.data, findings)
            for caller in callers:
                packet = requests.make()
                if sound or not packet.sound:
                    _write(caller, "DDS, " + packet.kind, packet.data, findings)
            sent += BATCH + len(callers)
            time.sleep(0.001)
            robot.listen()
            step(robot)
            state = link.read()
            link.foreign_commands()
            if sound:
                continue
            if plant.commands or plant.motion.name != "mcf":
                findings.fault("Go2 over DDS: an unsound packet was taken")
                break
            if state and np.abs(state.reading.joint_position - plant.settled).max() > 0.05:
                findings.fault("Go2 over DDS: the link heard what the robot did not say")
        if not (link.counters.accepted and link.counters.damaged and robot.damaged):
            findings.fault(f"Go2 over DDS: hardly anything arrived, {link.counters}")
        if not np.isfinite(plant.simulation.data.qpos).all():
            findings.fault("Go2 over DDS: the body is nowhere")
    finally:
        for end in (link, robot, stranger):
            end.close()


def link(count: int, setting: Setting, seed: int, findings: Findings) -> None:
    """Malformed messages on the guardian's own port, from the valid client's neighbours on this machine.

    Args:
        count: messages.
        setting: where it begins; its guardian is put behind a real socket, its client is replaced by one there.
        seed: decides everything.
        findings: where it is told.
    """
    world, client = setting.scene[0].copy(setting.scene[1])
    client.release()
    server = UdpServer(port=0)
    ends = {name: UdpTransport(*server.address) for name in ("tuner", "intruder", "nobody")}

    def tick() -> None:
        tick = world.service.tick(world.now, world.robot.observe(), server.receive())
        for address, data in tick.outgoing:
            if isinstance(address, tuple):
                server.send(address, data)
        world.robot.apply(tick.command)
        world.now += PERIOD

    class Ticking:
        """Waiting lets the guardian tick."""

        def __init__(self, inner: UdpTransport) -> None:
            self.send, self._inner = inner.send, inner

        def receive(self, timeout: float) -> bytes | None:
            end = world.now + timeout
            while (data := self._inner.receive(0.0)) is None and world.now < end:
                tick()
            return data

    tap = Tap(Ticking(ends["tuner"]))
    valid = GuardianClient(tap, KEY, "tuner", 5, world.time)
    valid.connect()
    valid.acquire()
    valid.pump(0.1)
    spy = GuardianClient(Ticking(ends["intruder"]), KEY, "intruder", 5, world.time)
    spy.connect()
    intruder = Intruder(replace(setting, intruder=spy.channel.session), tap, valid, seed)
    sent, before = 0, valid.counters.states
    try:
        while sent < count:
            beat(valid)
            for _ in range(BATCH):
                kind, address, data = intruder.message()
                findings.sent["link over UDP, " + kind] += 1
                ends[address].send(data)
            sent += BATCH
            tick()
            g = world.guardian
            if g.state is not setting.state or g.lease.session != valid.channel.session or g.command.kp.any():
                findings.fault(f"link over UDP: {g.state.name}, the lease is with {g.lease.name or 'nobody'}")
                break
        if valid.counters.states - before < sent // BATCH // 10:
            findings.fault("link over UDP: the valid client heard hardly anything")
        valid.status()
    finally:
        server.close()
        for end in ends.values():
            end.close()


def _write(writer: DdsWriter, kind: str, data: bytes, findings: Findings) -> None:
    findings.sent[kind] += 1
    with contextlib.suppress(LinkError):
        writer.write(data)


def _until(what: Callable[[], bool]) -> None:
    if not waited_for(what, MATCHING):
        raise LinkError(f"readers and writers did not find each other within {MATCHING:g} s")
