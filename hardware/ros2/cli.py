"""`safebo robot ros2`: controllers that are nodes of ROS 2, and robots seen by ROS 2's viewers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from safebo.hardware.constants import PORT
from safebo.hardware.errors import HardwareError, HardwareInputError
from safebo.hardware.link.udp import LOOPBACK
from safebo.text.command import say

if TYPE_CHECKING:
    from safebo.robots.controllers.controller_file import ControllerFile
    from safebo.robots.controllers.ros_node import NodeSettings

app = typer.Typer(
    help="ROS 2 without ROS installed: a controller that is a node, and a robot in rviz. See docs/ros2.md.",
    no_args_is_help=True,
    add_completion=False,
)

File = Annotated[
    Path, typer.Argument(metavar="FILE", help="Controller file with gain_port.kind ros2; see docs/ros2.md.")
]


def _leave(error: Exception, code: int) -> NoReturn:
    say(f"error: {error}", error=True)
    raise typer.Exit(code) from None


def _read(path: Path) -> tuple[ControllerFile, NodeSettings]:
    from safebo.robots.controllers.controller_file import read_controller_file
    from safebo.robots.controllers.protocol import ControllerInputError

    file = read_controller_file(path)
    if file.node is None:
        raise ControllerInputError(f"{path}: gain_port.kind: this is no node of ROS 2; expected ros2")
    return file, file.node


@app.command()
def relay(
    path: File,
    port: Annotated[int, typer.Option(min=1, max=65535, help="UDP and TCP port on 127.0.0.1.")] = 4760,
    robot: Annotated[str, typer.Option(help="Whose joints they are; see `safebo robots list`.")] = "go2",
    joints: Annotated[str, typer.Option(help="Or the joints' names in robot order, with commas.")] = "",
) -> None:
    """Carry robot states to a node and its joint commands back. A guardian or a simulation starts this by itself."""
    from safebo.hardware.ros2.gain_parameters import GainParameters
    from safebo.hardware.ros2.network import join
    from safebo.hardware.ros2.relay import Relay
    from safebo.hardware.ros2.relayed_calls import serve_calls
    from safebo.robots.controllers.protocol import ControllerInputError

    try:
        _, node = _read(path)
        names = joints.split(",") if joints else _joints(robot)
        carrier = Relay(node, names, port, lambda text: say(text))
        serve_calls(port, lambda: GainParameters(lambda: join(node.interface, node.domain), node.node))
        say(f"relay to {node.node}: ready")
        carrier.run()
    except (ControllerInputError, HardwareError) as error:
        _leave(error, getattr(error, "exit_code", 2))
    except (OSError, ValueError) as error:  # a port that is taken, a robot that does not exist
        _leave(error, 1)
    except KeyboardInterrupt:
        return


def _joints(robot: str) -> list[str]:
    from safebo.robots.descriptions.model import load_robot

    return list(load_robot(robot).joint_names)


@app.command()
def check(
    path: File,
    robot: Annotated[str, typer.Option(help="Whose states it gets; see `safebo robots list`.")] = "go2",
) -> None:
    """Ask a node for the gains that a controller file names, and let it answer states. Sets nothing, moves nothing.

    Exit codes: 0 all gains are there, their ranges hold the file's bounds, every state was answered; 1 not so; 2 bad
    input.
    """
    from safebo.hardware.ros2.gain_parameters import GainParameters
    from safebo.hardware.ros2.network import join
    from safebo.hardware.ros2.node_check import answering, compared
    from safebo.hardware.ros2.relay import check_node
    from safebo.robots.controllers.protocol import ControllerInputError, GainPortError
    from safebo.robots.descriptions.model import load_robot

    try:
        file, node = _read(path)
        check_node(node)
        model = load_robot(robot)
        client = GainParameters(lambda: join(node.interface, node.domain), node.node)
        rows, wrong = compared(file, client)
        more, also = answering(file, model.joint_names, model.home_joints)
    except (ControllerInputError, HardwareError) as error:
        _leave(error, getattr(error, "exit_code", 2))
    except GainPortError as error:
        _leave(error, 1)
    except ValueError as error:  # a robot that does not exist
        _leave(error, 2)
    for row in rows + more:
        say(row)
    for what in wrong + also:
        say(f"error: {what}", error=True)
    raise typer.Exit(1 if wrong or also else 0)


@app.command()
def trial(
    action: Annotated[str, typer.Argument(metavar="ACTION", help="Such as /run_trial.")],
    domain: Annotated[int, typer.Option(help="ROS_DOMAIN_ID of its server.")] = 0,
    interface: Annotated[str, typer.Option(help="Network interface on which it is.")] = "lo",
    wait: Annotated[float, typer.Option(min=0.1, max=600, help="Seconds for it to be found.")] = 5.0,
) -> None:
    """Walk one trial by an action server of ROS 2: a trial as JSON on stdin, its measurement on stdout.

    For a study's evaluator: {name: subprocess, options: {command: [safebo, robot, ros2, trial, /run_trial]}}. When it
    is told to end it cancels the trial.

    Exit codes: 0 measured; 1 nobody offers the action, or it was rejected, cancelled or aborted without margins; 2 bad
    input; 130 told to end.
    """
    import json
    import signal
    import sys

    from safebo.hardware.ros2.bridge import check_network
    from safebo.hardware.ros2.network import join
    from safebo.hardware.ros2.trial_action import TrialAction, run_trial
    from safebo.robots.controllers.ros_node import is_name

    try:
        if not is_name(action):
            _leave(HardwareInputError(f"ACTION {action!r}: is no name of ROS 2, such as /run_trial"), 2)
        try:
            asked = json.load(sys.stdin)
            asked["id"], asked["parameters"]
        except (ValueError, TypeError, KeyError) as error:
            _leave(HardwareInputError(f"stdin: expected a trial as one JSON object ({error})"), 2)
        check_network(interface, domain)
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        client = TrialAction(join(interface, domain), action, lambda text: say(text, error=True))
        sys.stdout.write(json.dumps(run_trial(client, asked, wait)) + "\n")
    except HardwareError as error:
        _leave(error, error.exit_code)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


@app.command()
def bridge(
    where: Annotated[
        str, typer.Argument(metavar="[HOST:PORT]", help="Where the robot's guardian listens.")
    ] = f"{LOOPBACK}:{PORT}",
    key: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Key shared with it. [default: ~/.config/safebo/link.key]"),
    ] = None,
    domain: Annotated[int, typer.Option(help="ROS_DOMAIN_ID of the viewers.")] = 0,
    interface: Annotated[str, typer.Option(help="Network interface on which they are.")] = "lo",
    rate: Annotated[int, typer.Option(min=1, max=50, help="States a second.")] = 50,
    robot: Annotated[
        str | None, typer.Option(help="Model that is drawn. [default: by the guardian's name of it]")
    ] = None,
) -> None:
    """Publish a robot for rviz, PlotJuggler and Foxglove until Ctrl-C. It only looks, and needs no lease.

    /joint_states, /imu, /tf, /robot_description and /diagnostics. Yaw and place of the trunk are in no State of a
    guardian: the robot is drawn above the origin.
    """
    from safebo.hardware.link.connecting import host_and_port, session
    from safebo.hardware.link.key import key_at
    from safebo.hardware.ros2.bridge import Bridge, check_network
    from safebo.robots.descriptions.model import load_robot

    try:
        host, port = host_and_port(where, f"{LOOPBACK}:{PORT}")
        secret = key_at(key, say)
        check_network(interface, domain)
        with session(host, port, secret, "safebo robot ros2 bridge") as client:
            name = robot or (client.welcome.robot if client.welcome else "")
        published = Bridge(load_robot(name), interface, domain, rate, say)
        say(f"{name}: on ROS_DOMAIN_ID={domain}, interface {interface}, until Ctrl-C")
        published.run(lambda: session(host, port, secret, "safebo robot ros2 bridge"))
    except HardwareError as error:
        _leave(error, error.exit_code)
    except (OSError, ValueError) as error:
        _leave(error, 2)
    except KeyboardInterrupt:
        return
