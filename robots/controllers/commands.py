"""`safebo robots serve` and `adapter`: controllers as processes; and how these commands refuse bad input."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NoReturn, TypeVar

import typer

from safebo.robots.controllers.finding import SHIPPED, FoundController, find_controller
from safebo.robots.controllers.protocol import ControllerFault
from safebo.robots.controllers.serve import ServedController, write_adapter
from safebo.robots.controllers.serve import serve as answer_states
from safebo.robots.descriptions.model import load_robot
from safebo.robots.quadruped.interface import SensorError
from safebo.text.command import say

T = TypeVar("T")

CONTROLLER_HELP = "What walks: a name, module:Class, FILE.py:Class or a YAML file; see docs/controllers.md."


def refuse(message: str) -> NoReturn:
    """Bad input: say what is wrong and leave with exit code 2."""
    say(f"Error: {message}", error=True)
    raise typer.Exit(2)


def or_refuse(make: Callable[[], T]) -> T:
    """What a call gives; where it raises what a person did wrong, that is said."""
    try:
        return make()
    except OSError as error:
        refuse(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except ValueError as error:
        refuse(str(error))


def serve(
    controller: Annotated[str, typer.Argument(help=CONTROLLER_HELP)],
    robot: Annotated[str, typer.Option(help="The robot it walks; see `safebo robots list`.")],
    gains: Annotated[
        Path | None, typer.Option(help="YAML file of `name: number`; defaults for what is not there.")
    ] = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="UDP port on 127.0.0.1.")] = 4760,
) -> None:
    """Let a controller answer robot states over the datagrams of docs/adapters.md, for a guardian or a simulation.

    So a class of yours walks behind the guardian as in simulation. `safebo robots adapter` writes the file by which
    both start it.
    """
    found, model = or_refuse(lambda: _own_controller(controller)), or_refuse(lambda: load_robot(robot))
    served = or_refuse(lambda: ServedController(found, model, gains, say))
    try:
        or_refuse(lambda: answer_states(served, port, say))
    except (ControllerFault, SensorError) as error:
        say(f"Error: {error}", error=True)
        raise typer.Exit(1) from None


def adapter(
    controller: Annotated[str, typer.Argument(help=CONTROLLER_HELP)],
    out: Annotated[
        Path, typer.Option(help="The file to write, such as walker.yaml; its gains go beside it.")
    ],
    port: Annotated[int, typer.Option(min=1, max=65535, help="UDP port on 127.0.0.1.")] = 4760,
) -> None:
    """Write the file with which the guardian walks a robot with a controller of yours.

    The hard bounds of its gains are those of its own list: narrow them before a robot moves.
    """
    found = or_refuse(lambda: _own_controller(controller))
    gains = or_refuse(lambda: write_adapter(found, out, port))
    say(f"written: {out} and {gains}")
    say(f"behind a guardian: safebo-guardian ROBOT --controller relay --controller-file {out}")


def _own_controller(name: str) -> FoundController:
    """A controller of the protocol, the package's own chain among them."""
    found = find_controller(SHIPPED.get(name, name))
    assert found is not None
    return found
