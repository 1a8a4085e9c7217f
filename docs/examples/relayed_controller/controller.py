"""A locomotion controller in a process of its own, attached to the guardian: the smallest one that is complete.

It stands by a stiffness and a damping at every joint, and bobs where a real one would walk. What matters here is
everything around that: the two datagrams, the two sets of gains, the proof of which of them made a command. It
shares no code with the guardian; a controller in C++ does the same.

    python controller.py gains.yaml --port 4760                        # gains from a file, read once
    python controller.py gains.yaml --port 4760 --parameters 4761      # and as parameters of a node
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import math
import secrets
import signal
import socket
import struct
from pathlib import Path

import yaml
from parameter_server import ParameterNode, serve

# docs/adapters.md has these byte by byte.
STATE = struct.Struct("<4sBBHQ10d34d")
ANSWER = struct.Struct("<4sIQQ60d13d")
WALK, BRAKE = 2, 3
BASELINE = 0

RANGES = {"stance.kp": (20.0, 150.0), "stance.kd": (0.5, 8.0), "bob.depth": (0.0, 0.2)}
"""The gains in the order in which their identity is computed: that of the controller file's `gains`."""

HOME = (0.0, 0.8, -1.5)  # rad: hip, thigh, calf of each leg
HEIGHT = 0.3  # m of the trunk in that pose, about


class Controller:
    """Answers robot states with joint commands.

    Args:
        baseline: the gains it falls back to when the guardian asks for the baseline.
        node: holds the gains that trials change.
    """

    def __init__(self, baseline: dict[str, float], node: ParameterNode) -> None:
        self._baseline, self._node = dict(baseline), node
        self._instance = secrets.randbelow((1 << 32) - 1) + 1

    def answer(self, data: bytes) -> bytes | None:
        """The answer to one datagram; None for one that is not the guardian's."""
        if len(data) != STATE.size or not data.startswith(b"SBs1"):
            return None
        _, mode, gain_set, _, tick, time, _, _, _, _, stride, _, _, _, settle, *sensors = STATE.unpack(data)
        gains = self._baseline if gain_set == BASELINE else self._node.values()
        # `values` is a copy made in one step: a command is never computed with half of a change.
        orientation, rate = sensors[24:28], sensors[28:31]
        bob = 0.0
        if mode in (WALK, BRAKE):
            bob = gains["bob.depth"] * (1.0 - math.cos(2.0 * math.pi * (time - settle) / stride)) / 2.0
        hip, thigh, calf = HOME
        position = [hip, thigh + bob, calf - 2.0 * bob] * 4
        kp, kd = [gains["stance.kp"]] * 12, [gains["stance.kd"]] * 12
        base = [0.0, 0.0, HEIGHT, *orientation, 0.0, 0.0, 0.0, *rate]
        still = [0.0] * 12  # target speed, and feed-forward torque
        return ANSWER.pack(
            b"SBa1", self._instance, tick, identity(gains), *position, *still, *still, *kp, *kd, *base
        )


def identity(gains: dict[str, float]) -> int:
    """Which gains these are: the first eight bytes of the SHA-256 of their doubles, in the order of the table."""
    values = struct.pack(f"<{len(RANGES)}d", *(gains[name] for name in RANGES))
    return int.from_bytes(hashlib.sha256(values).digest()[:8], "little")


def main() -> None:
    """Answer until told to end."""
    parser = argparse.ArgumentParser()
    parser.add_argument("gains", type=Path)
    parser.add_argument("--port", type=int, default=4760)
    parser.add_argument("--parameters", type=int)
    options = parser.parse_args()
    read = yaml.safe_load(options.gains.read_text())
    start = {name: float(read[name.split(".")[0]][name.split(".")[1]]) for name in RANGES}
    node = ParameterNode(RANGES, start)
    controller = Controller(start, node)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        link.bind(("127.0.0.1", options.port))
        if options.parameters is not None:
            serve(node, options.parameters)
        print("ready", flush=True)
        while True:
            data, guardian = link.recvfrom(2048)
            answer = controller.answer(data)
            if answer is not None:
                link.sendto(answer, guardian)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
