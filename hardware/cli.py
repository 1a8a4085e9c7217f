"""`safebo robot`: see, stop and clear a robot behind its guardian; recover raw records."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from safebo.hardware.constants import CONNECT_PAUSE_S, PORT
from safebo.hardware.errors import HardwareError, HardwareInputError
from safebo.hardware.guardian.states import LATCHED, Response, State
from safebo.hardware.link import messages as m
from safebo.hardware.link.client import GuardianClient
from safebo.hardware.link.connecting import RobotCommands, host_and_port, session
from safebo.hardware.link.key import key_at
from safebo.hardware.link.stopped import REMOTE, stop_and_see
from safebo.hardware.link.udp import LOOPBACK
from safebo.hardware.ros2 import cli as ros2
from safebo.text.command import say
from safebo.text.typed_ahead import TYPED_AHEAD, drop_typed_ahead

app = typer.Typer(
    help="A robot behind its guardian: see it, stop it, clear what has latched; recover raw records.",
    no_args_is_help=True,
    add_completion=False,
)

app.add_typer(ros2.app, name="ros2")

Where = Annotated[str, typer.Argument(metavar="[HOST:PORT]", help="Where its guardian listens.")]
Key = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Key shared with it. [default: ~/.config/safebo/link.key]")
]
HERE = f"{LOOPBACK}:{PORT}"


def _leave(error: HardwareError, advice: str = "") -> NoReturn:
    told = REMOTE in str(error)
    say(f"error: {error}" + (f". {advice}" if advice and not told else ""), error=True)
    raise typer.Exit(error.exit_code)


@contextmanager
def _guardian(
    where: str, key: Path | None, listen: float = CONNECT_PAUSE_S, advice: str = ""
) -> Iterator[GuardianClient]:
    """A session that has listened for some seconds, and errors for people, with what to do then."""
    try:
        with session(*host_and_port(where, HERE), key_at(key, say), "safebo robot") as client:
            client.pump(listen)
            yield client
    except HardwareError as error:
        _leave(error, advice)


def describe(client: GuardianClient, seen: m.StateMessage) -> str:
    """How everything stands, in a few lines."""
    welcome = client.welcome
    assert welcome is not None
    kind = "virtual" if welcome.virtual else "physical"
    lines = [f"{kind} {welcome.robot}, serial {welcome.serial}", f"state     {State(seen.state).name}"]
    if seen.message:
        lines.append(f"because   {seen.message}")
    roll, pitch = seen.attitude
    lines += [
        f"trunk     {seen.height[0]:.3f} m above its lowest foot, roll {roll:+.2f}, pitch {pitch:+.2f} rad",
        f"battery   {'unknown' if seen.battery == 255 else f'{seen.battery} %'}, hottest motor "
        f"{'unknown' if seen.hottest == 255 else f'{seen.hottest} degrees C'}",
        f"states    newest {seen.age / 1e3:.0f} ms old, {seen.rejected} refused",
        f"lease     {'nobody holds it' if not seen.epoch else f'held, epoch {seen.epoch}'}",
    ]
    return "\n".join(lines)


@app.command()
def status(where: Where = HERE, key: Key = None) -> None:
    """Print how the robot stands. Needs no lease and disturbs nobody."""
    with _guardian(where, key) as client:
        seen = client.status()
        say(describe(client, seen))
        if seen.state in LATCHED:
            say(f"to clear  {RobotCommands(where, key).clear}")


@app.command()
def stop(
    where: Where = HERE,
    key: Key = None,
    sit: Annotated[
        bool, typer.Option("--sit", help="Stand down first instead of joint damping at once.")
    ] = False,
) -> None:
    """Software stop: joint damping at once, latched until a person clears it. Needs no lease.

    It watches until the robot is seen to have stopped: the guardian damps it, its own states come and say that no
    joint turns or holds a torque and the trunk does not tip. It is not an emergency stop: that is the robot's own
    remote (L2+B on a Go2) or switch.

    Exit codes: 0 the robot is seen to have stopped; 1 it is not, or nobody answered: use the remote or the switch;
    2 bad input.
    """
    with _guardian(where, key, 0.0, f"To stop the robot, {REMOTE}") as client:
        stopped = stop_and_see(client, Response.SIT if sit else Response.DAMP, "safebo robot stop")
        say(f"{stopped}\n{describe(client, stopped.seen)}\nto clear  {RobotCommands(where, key).clear}")


@app.command()
def clear(
    where: Where = HERE,
    key: Key = None,
    yes: Annotated[bool, typer.Option("--yes", help="A person has looked already; ask nothing.")] = False,
) -> None:
    """Clear a latch in two steps, after looking at the robot. Neither step moves it. Needs no lease."""
    with _guardian(where, key) as client:
        seen = client.status()
        if seen.state not in LATCHED:
            say("nothing is latched")
            return
        say(describe(client, seen))
        _sure(yes, "Have you seen the robot and what happened? Type `seen`", "seen", client)
        token = client.acknowledge(seen.latch)
        _sure(yes, "Is it safe to use again? Type `clear`", "clear", client)
        client.clear(token)
        client.pump(CONNECT_PAUSE_S)
        say(f"cleared; state {State(client.status().state).name}")


def _sure(yes: bool, question: str, word: str, client: GuardianClient) -> None:
    """Ask a person, heartbeats going on."""
    if yes:
        return
    if drop_typed_ahead():
        say(TYPED_AHEAD)
    answer = _while_alive(client, lambda: typer.prompt(question))
    if answer.strip().lower() != word:
        raise HardwareInputError("not cleared")


def _while_alive(client: GuardianClient, ask: Callable[[], str]) -> str:
    """Wait for a person in a thread, so that the lease does not run out meanwhile."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(ask)
        while not answer.done():
            client.pump(0.05)
        return answer.result()


@app.command()
def recover(
    file: Annotated[Path, typer.Argument(help="Raw record of a trial whose writer was killed.")],
    out: Annotated[
        Path | None, typer.Argument(help="The whole file. [default: FILE with `-recovered`]")
    ] = None,
) -> None:
    """Write what a broken record still holds into a whole MCAP file."""
    from safebo.hardware.records import reading

    target = out or file.with_name(f"{file.stem}-recovered.mcap")
    try:
        saved = reading.recover(file, target)
    except HardwareError as error:
        _leave(error)
    lost = f"; {saved.chunks} damaged pieces of the file are lost" if saved.chunks else ""
    say(f"{saved.messages} messages recovered into {target}{lost}")
