"""The relay's other ear: calls of the node's parameter services, a line of JSON each, by TCP on the loopback interface.

See `safebo.robots.controllers.ros_node`, whose `RelayedParameters` is the other end.
"""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from safebo.hardware.link.udp import LOOPBACK
from safebo.robots.controllers.protocol import GainPortError
from safebo.robots.controllers.ros_parameters import ParameterClient, RosParameter

SILENT_S = 1.0


def answered(client: ParameterClient, line: str) -> dict[str, Any]:
    """The answer to one line."""
    try:
        call = json.loads(line)
        service, request = call["service"], call["request"]
        if service == "get_parameters":
            return {"answer": list(client.get_parameters([str(name) for name in request]))}
        parameters = [RosParameter(str(name), float(value)) for name, value in request]
        if service == "set_parameters_atomically":
            results: Any = client.set_parameters_atomically(parameters)
            return {"answer": [results.successful, results.reason]}
        if service == "set_parameters":
            results = client.set_parameters(parameters)
            return {"answer": [[result.successful, result.reason] for result in results]}
        return {"error": f"there is no service {service!r}"}
    except GainPortError as error:
        return {"error": str(error)}
    except (ValueError, TypeError, KeyError) as error:
        return {"error": f"no call: {line.strip()!r} ({error})"}


def serve_calls(port: int, make: Callable[[], ParameterClient]) -> socketserver.TCPServer:
    """Answer calls in a thread of its own, one after the other, until the server is shut down.

    Args:
        port: on the loopback interface.
        make: of the client; called once, in that thread.
    """
    made: list[ParameterClient] = []

    class Calls(socketserver.StreamRequestHandler):
        timeout = SILENT_S  # whoever connects and says nothing keeps others waiting for so long

        def handle(self) -> None:
            if not made:
                made.append(make())
            with suppress(OSError):
                for line in self.rfile:
                    said = answered(made[0], line.decode(errors="replace"))
                    self.wfile.write(json.dumps(said).encode() + b"\n")

    class Server(socketserver.TCPServer):
        allow_reuse_address = True

    server = Server((LOOPBACK, port), Calls)
    threading.Thread(target=server.serve_forever, name="calls", daemon=True).start()
    return server
