"""The commands `safebo console` and `safebo watch`: a run in a browser, and in a terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from safebo.errors import InputError
from safebo.text.command import say

if TYPE_CHECKING:
    from safebo.types import RobotAddress

Folder = Annotated[
    Path, typer.Argument(metavar="DIR", help="Folder of a run, in progress or over, or a folder of runs.")
]
Robot = Annotated[
    str | None,
    typer.Option(
        "--robot",
        metavar="HOST:PORT",
        help="Guardian of the robot to look at. [default: that of a run with --console]",
    ),
]
Key = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Key shared with it. [default: ~/.config/safebo/link.key]"),
]


def console(
    folder: Folder,
    robot: Robot = None,
    key: Key = None,
    host: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS", help="Address to listen on; another than this machine's own needs TLS."
        ),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 for any that is free.")] = 8770,
    name: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Name by which the page is reached, if it is not the address; repeatable."
        ),
    ] = None,
    tls_cert: Annotated[Path | None, typer.Option(metavar="FILE", help="Certificate, PEM.")] = None,
    tls_key: Annotated[Path | None, typer.Option(metavar="FILE", help="Its private key, PEM.")] = None,
    unencrypted: Annotated[
        bool,
        typer.Option(
            "--unencrypted-on-this-network",
            help="Serve a network without TLS: everybody on it can read the links and take the robot over.",
        ),
    ] = False,
) -> None:
    """Show a run, or all runs of a folder, in a browser: state, proposed trials, table, charts, audit log.

    Of a run begun with `safebo tune ... --console`, trials are approved and judged there as well as at its terminal;
    the first answer counts, for exactly the gains that were shown. Every viewer may stop the robot: the button, Escape,
    or the space bar outside text fields. That is a software stop; the emergency stop is the robot's own remote or
    switch.

    One browser is in control, by a link that is printed here and opens one browser; all others read only. The page is
    served to this machine alone. From elsewhere, `ssh -L 8770:127.0.0.1:8770 HOST` reaches it; other addresses need
    TLS, or --unencrypted-on-this-network.

    To try:

        safebo tune go2-trot --dry-run --console

        safebo console runs/go2-trot-rehearsal

    Exit codes: 0 ended by Ctrl-C; 2 no such run, or an address that may not be served.
    """
    address = _address(robot, key)
    try:
        from safebo.console.serve import Listening, serve
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "safebo":
            raise
        raise InputError(
            f"{error.name} is not installed, which the page needs: pip install 'safebo[console]'"
        ) from error
    from safebo.console.reading import Runs

    listening = Listening(host, port, tuple(name or ()), tls_cert, tls_key, unencrypted)
    serve(Runs(folder), listening, say, address)


def watch(
    folder: Folder,
    robot: Robot = None,
    key: Key = None,
    once: Annotated[bool, typer.Option("--once", help="Print the state once and end.")] = False,
) -> None:
    """Watch a run in the terminal: state in words, robot, the trial that waits, the last trials.

    Reads only: it needs no lease and answers nothing. Ctrl-C ends it and no run.

    Exit codes: 0 ended; 2 no such run.
    """
    from safebo.console.reading import Runs
    from safebo.console.watch import watch_run

    runs = Runs(folder)
    if not runs.single:
        names = ", ".join(reader.name for reader in runs.all())
        raise InputError(f"{folder}: holds several runs; name one of them: {names}")
    watch_run(runs.all()[0], _address(robot, key), once)


def _address(robot: str | None, key: Path | None) -> RobotAddress | None:
    """Where a robot's guardian is.

    Raises:
        InputError: it is no address.
    """
    if robot is None:
        if key is not None:
            raise InputError("--key goes with --robot HOST:PORT, where the robot's guardian listens")
        return None
    from safebo.cli.robot_options import robot_address

    return robot_address(robot, key)
