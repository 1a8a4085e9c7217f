"""What a node says of the gains that a controller file names, and how it answers states; nothing is set or moved."""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence

import numpy as np

from safebo.hardware.constants import CONTROL_RATE_HZ
from safebo.hardware.link.udp import LOOPBACK
from safebo.hardware.ros2.gain_parameters import GainParameters
from safebo.robots.controllers.controller_file import ControllerFile
from safebo.robots.controllers.datagrams import ANSWER_BYTES, GainSet, Mode, RelayAnswer, RelayState
from safebo.robots.controllers.numbers import RELAY_START_TIMEOUT_S
from safebo.robots.controllers.own_process import OwnProcess
from safebo.robots.controllers.ros_node import relay_process
from safebo.robots.quadruped.interface import SensorReading
from safebo.types import FloatArray

STATES = 1000
PATIENCE_S = 0.1
"""That an answer gets."""
MEETING_S = 5.0
"""For node and relay to find each other."""


def compared(file: ControllerFile, client: GainParameters) -> tuple[list[str], list[str]]:
    """A line for each gain, and what is wrong.

    Raises:
        GainPortError: the node is not there, or has no such parameter.
    """
    names = [file.names[gain.name] for gain in file.table]
    described, values = client.describe(names), client.get_parameters(names)
    rows, wrong = [], []
    for gain, name, value in zip(file.table, names, values, strict=True):
        each = described[name]
        row = f"{gain.name}: {name}, {each.type.name.lower()}, is {value}"
        if value is None:
            wrong.append(f"{name}: has no value")
        if each.lower is not None and each.upper is not None:
            allowed = f"{each.lower:g} .. {each.upper:g}"
            row += f", allowed {allowed}"
            if gain.lower < each.lower or each.upper < gain.upper:
                asked = f"{gain.lower:g} .. {gain.upper:g}"
                wrong.append(f"{name}: the node allows {allowed}, {file.path} asks for {asked}")
        rows.append(row)
    return rows, wrong


def answering(file: ControllerFile, joints: Sequence[str], home: FloatArray) -> tuple[list[str], list[str]]:
    """How the node answers `STATES` states of a robot that stands by: a line, and what is wrong.

    Args:
        file: of the controller.
        joints: names of the robot's joints, in robot order.
        home: their angles, rad, 12.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind((LOOPBACK, 0))
            port = int(probe.getsockname()[1])
        relay = relay_process(file.path, port, joints)
        relay.restart()
        try:
            link.connect((LOOPBACK, port))
            link.settimeout(PATIENCE_S)
            wrong = _met(link, relay, home)
            if wrong:
                return [], [wrong]
            spent = [_asked(link, tick, home) for tick in range(1_000_000, 1_000_000 + STATES)]
        finally:
            relay.stop()
    times = [seconds for seconds in spent if seconds is not None]
    if not times:
        return [], ["none of the states was answered"]
    median, late, most = (1e3 * float(np.quantile(times, share)) for share in (0.5, 0.99, 1.0))
    row = (
        f"{len(times)} of {STATES} states answered, after {median:.2f} ms in the median, {late:.2f} ms for 99 %, "
        f"{most:.2f} ms at most"
    )
    lost = STATES - len(times)
    return [row], [f"{lost} states had no answer within {PATIENCE_S:g} s"] if lost else []


def _met(link: socket.socket, relay: OwnProcess, home: FloatArray) -> str:
    """Wait for the first answer; what is wrong when none comes."""
    end, tick = time.monotonic() + RELAY_START_TIMEOUT_S, 0
    ready = 0.0
    while time.monotonic() < end:
        tick += 1
        if _asked(link, tick, home) is not None:
            return ""
        if ended := relay.ended():
            return f"the relay {ended}"
        if "ready" in relay.said():
            ready = ready or time.monotonic()
            if time.monotonic() > ready + MEETING_S:
                break
    return f"no state was answered; the relay says: {relay.said()}"


def _asked(link: socket.socket, tick: int, home: FloatArray) -> float | None:
    """Seconds until a state was answered; None for no answer."""
    reading = SensorReading(0.0, home.copy(), linear_acceleration=np.array([0.0, 0.0, 9.81]))
    state = RelayState(Mode.STANDBY, GainSet.TRIAL, tick, 0.0, (0.0,) * 3, (0.0,) * 5, 0.0, reading)
    begun = time.perf_counter()
    try:
        link.send(state.pack())
        while RelayAnswer.unpack(link.recv(ANSWER_BYTES + 1)).tick != tick:
            pass
    except ConnectionError:  # the relay does not listen yet
        time.sleep(PATIENCE_S)
        return None
    except TimeoutError:
        return None
    spent = time.perf_counter() - begun
    time.sleep(max(0.0, 1.0 / CONTROL_RATE_HZ - spent))
    return spent
