"""Gains as parameters of a node: declared names with ranges, set one by one or all or none.

The services have the shape of ROS 2's, carried as a line of JSON over TCP so that the example runs without ROS.
"""

from __future__ import annotations

import json
import math
import socketserver
import threading
from collections.abc import Mapping, Sequence
from typing import Any


class ParameterNode:
    """Holds parameters of type double.

    Args:
        ranges: lowest and highest value of every declared name.
        values: to begin with.
    """

    def __init__(self, ranges: Mapping[str, tuple[float, float]], values: Mapping[str, float]) -> None:
        self._ranges, self._values = dict(ranges), {name: float(values[name]) for name in ranges}
        self._lock = threading.Lock()

    def values(self) -> dict[str, float]:
        """All of them, at one moment."""
        with self._lock:
            return dict(self._values)

    def set_parameters_atomically(self, parameters: Sequence[tuple[str, float]]) -> tuple[bool, str]:
        """All or none: whether they were set, and why not."""
        with self._lock:
            reasons = [reason for name, value in parameters if (reason := self._problem(name, value))]
            if reasons:
                return False, reasons[0]
            self._values.update({name: float(value) for name, value in parameters})
            return True, ""

    def set_parameters(self, parameters: Sequence[tuple[str, float]]) -> list[tuple[bool, str]]:
        """One by one, an answer each."""
        return [self.set_parameters_atomically([parameter]) for parameter in parameters]

    def get_parameters(self, names: Sequence[str]) -> list[float | None]:
        """Values; None where there is no such parameter."""
        values = self.values()
        return [values.get(name) for name in names]

    def _problem(self, name: str, value: float) -> str:
        if name not in self._ranges:
            return f"{name} is not declared"
        low, high = self._ranges[name]
        return (
            ""
            if math.isfinite(value) and low <= value <= high
            else f"{name}: {value} is outside {low} .. {high}"
        )


SERVICES = ("set_parameters_atomically", "set_parameters", "get_parameters")


def serve(node: ParameterNode, port: int) -> socketserver.ThreadingTCPServer:
    """Answer calls in threads of their own, beside the control loop."""

    class Calls(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            for line in self.rfile:
                call: dict[str, Any] = json.loads(line)
                if call["service"] not in SERVICES:
                    return
                answer = getattr(node, call["service"])(call["request"])
                self.wfile.write(json.dumps(answer).encode() + b"\n")

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = daemon_threads = True

    server = Server(("127.0.0.1", port), Calls)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
