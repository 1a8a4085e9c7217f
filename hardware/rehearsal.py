"""A virtual robot and its guardian in processes of their own, for as long as something is rehearsed on them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from safebo.hardware.errors import HardwareError, HardwareInputError
from safebo.hardware.link.key import make_key
from safebo.robots.controllers.finding import SUFFIXES, chosen_controller, find_controller
from safebo.robots.controllers.own_process import WITH_PARENT
from safebo.robots.controllers.serve import write_adapter

ROBOTS = ("go1", "go2")
READY = "ready"  # first word of the line by which a process says so
PATIENCE = 900.0  # s for a process to get ready: a first start compiles, for minutes on a busy machine
ENDING = 15.0  # s for one to end: a standing robot lies down first


@contextmanager
def process(
    name: str, command: list[str], log: Path, patience: float = PATIENCE
) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a session of its own that has said `ready`; ended politely on leaving.

    Args:
        name: for people.
        command: with the interpreter's full path.
        log: what it prints; written over.
        patience: s for it to get ready.

    Raises:
        HardwareError: it did not get ready; the message holds what it printed.
    """
    with log.open("wb") as out:
        child = subprocess.Popen(
            [sys.executable, "-c", WITH_PARENT, *command],
            stdout=out,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            end = time.monotonic() + patience
            while not any(line.startswith(READY) for line in log.read_text().splitlines()):
                if child.poll() is not None:
                    raise HardwareError(f"{name} did not start:\n{log.read_text().strip()}")
                if time.monotonic() > end:
                    said = log.read_text().strip() or "it said nothing"
                    raise HardwareError(f"{name} is not ready after {patience:g} s: {said}")
                time.sleep(0.1)
            yield child
        finally:
            if child.poll() is None:
                child.send_signal(signal.SIGINT)
                try:
                    child.wait(ENDING)
                except subprocess.TimeoutExpired:
                    child.kill()
                    child.wait()


def free_port() -> int:
    """A UDP port that nobody uses now."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def virtual_chain(
    robot: str,
    folder: Path,
    disturbance: str = "nominal",
    seed: int = 0,
    domain: int | None = None,
    controller: Path | None = None,
    adaptive_contact: bool = False,
) -> Iterator[tuple[int, Path]]:
    """A virtual robot and its guardian; the guardian's port on 127.0.0.1, and the file of its key.

    Args:
        robot: `go1` or `go2`.
        folder: for the logs `robot.log` and `guardian.log`, the guardian's events `guardian.jsonl`, what the robot's
            body did `body.jsonl`, and `link.key`.
        disturbance: how the robot differs from its model, see `safebo.robots.simulation.named_disturbance`.
        seed: of its sensors' noise.
        controller: file of a controller of the user's own (docs/adapters.md); None for the built-in one.
        adaptive_contact: of the built-in controller.
        domain: DDS domain of a Go2; None for one by process id, so that two rehearsals do not meet.

    Raises:
        HardwareInputError: another robot. HardwareError: one of the two did not start.
    """
    if robot not in ROBOTS:
        raise HardwareInputError(f"there is no virtual {robot!r}: there are {', '.join(ROBOTS)}")
    folder.mkdir(parents=True, exist_ok=True)
    key = folder / "link.key"
    if not key.exists():
        make_key(key)
    port, wire = free_port(), free_port()
    number = 20 + os.getpid() % 200 if domain is None else domain
    python = [sys.executable, "-m"]
    plant = [*python, "safebo.hardware.virtual", robot, "--disturbance", disturbance, "--seed", str(seed)]
    plant += ["--log", str(folder / "body.jsonl")]
    guard = [*python, "safebo.hardware.guardian", robot, "--port", str(port), "--key", str(key)]
    guard += ["--log", str(folder / "guardian.jsonl")]
    plant += ["--domain", str(number)] if robot == "go2" else ["--port", str(wire)]
    guard += ["--domain", str(number)] if robot == "go2" else ["--robot-port", str(wire)]
    if controller is not None:
        guard += ["--controller", "relay", "--controller-file", str(controller.resolve())]
    if adaptive_contact:
        guard += ["--adaptive-contact"]
    with ExitStack() as stack:
        stack.enter_context(process(f"the virtual {robot}", plant, folder / "robot.log"))
        stack.enter_context(process("its guardian", guard, folder / "guardian.log"))
        yield port, key


@contextmanager
def rehearsal(options: Mapping[str, Any], folder: Path) -> Iterator[tuple[str, int, str]]:
    """A robot for a study of the `legged` evaluator: host, port and key file of its guardian.

    Args:
        options: the study's. The virtual robot differs from its model as the study's simulated one does. A controller
            that is a class is served by a process of its own.
        folder: for logs.

    Raises:
        ValueError: a controller that cannot be used.
    """
    disturbance = options.get("disturbance", "nominal")
    with virtual_chain(
        str(options.get("robot", "go1")),
        folder,
        disturbance if isinstance(disturbance, str) else json.dumps(disturbance),
        controller=rehearsed_controller(options, folder),
        adaptive_contact=options.get("adaptive_contact") is True,
    ) as (port, key):
        yield "127.0.0.1", port, str(key)


def rehearsed_controller(options: Mapping[str, Any], folder: Path) -> Path | None:
    """The file of a study's own controller, for the guardian, written here for a class; None for the built-in one.

    Raises:
        ValueError: the controller cannot be used.
    """
    name, _ = chosen_controller(options)
    if name.endswith(SUFFIXES):
        return Path(name).expanduser()
    found = find_controller(name)
    if found is None:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "controller.yaml"
    for file in (path, path.with_name("controller.gains.yaml")):
        file.unlink(missing_ok=True)
    write_adapter(found, path, free_port())
    return path
