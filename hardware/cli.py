"""`safebo robot`: see, stop and clear a robot behind its guardian; recover and score raw records."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from safebo.hardware.constants import PORT
from safebo.hardware.errors import HardwareError, HardwareInputError
from safebo.hardware.guardian.states import LATCHED, Response, State
from safebo.hardware.link import messages as m
from safebo.hardware.link.client import GuardianClient
from safebo.hardware.link.key import key_at
from safebo.hardware.link.udp import LOOPBACK, UdpTransport
from safebo.text.command import say

app = typer.Typer(
    help="A robot behind its guardian: see it, stop it, clear what has latched; recover raw records.",
    no_args_is_help=True,
    add_completion=False,
)

Where = Annotated[str, typer.Argument(metavar="[HOST:PORT]", help="Where its guardian listens.")]
Key = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Key shared with it. [default: ~/.config/safebo/link.key]")
]
HERE = f"{LOOPBACK}:{PORT}"


def _leave(error: HardwareError) -> NoReturn:
    say(f"error: {error}", error=True)
    raise typer.Exit(error.exit_code)


@contextmanager
def _guardian(where: str, key: Path | None) -> Iterator[GuardianClient]:
    """A session, and errors for people."""
    host, _, port = where.rpartition(":")
    try:
        if not host or not port.isdigit() or not 0 < int(port) < 65536:
            raise HardwareInputError(f"{where!r}: expected HOST:PORT, for example {HERE}")
        transport = UdpTransport(host, int(port))
        try:
            client = GuardianClient(transport, key_at(key, say), name="safebo robot")
            client.connect()
            client.pump(0.2)
            yield client
        finally:
            transport.close()
    except HardwareError as error:
        _leave(error)


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
        say(describe(client, client.status()))


@app.command()
def stop(
    where: Where = HERE,
    key: Key = None,
    sit: Annotated[
        bool, typer.Option("--sit", help="Stand down first instead of joint damping at once.")
    ] = False,
) -> None:
    """Software stop: joint damping at once, latched until a person clears it. Needs no lease.

    It is not an emergency stop: that is the robot's own remote (L2+B on a Go2) or switch.
    """
    with _guardian(where, key) as client:
        if not client.stop(Response.SIT if sit else Response.DAMP, "safebo robot stop"):
            raise HardwareError(
                "the guardian has not confirmed the stop: use the robot's remote or switch NOW"
            )
        client.pump(0.1)
        say(describe(client, client.status()))


@app.command()
def clear(
    where: Where = HERE,
    key: Key = None,
    yes: Annotated[bool, typer.Option("--yes", help="A person has looked already; ask nothing.")] = False,
) -> None:
    """Clear a latch in two steps, after looking at the robot. Nothing moves."""
    with _guardian(where, key) as client:
        seen = client.status()
        if seen.state not in LATCHED:
            say("nothing is latched")
            return
        say(describe(client, seen))
        _sure(yes, "Have you seen the robot and what happened? Type `seen`", "seen", client)
        client.acquire()
        token = client.acknowledge(seen.latch)
        _sure(yes, "Is it safe to use again? Type `clear`", "clear", client)
        client.clear(token)
        client.pump(0.1)
        say(f"cleared; state {State(client.status().state).name}")
        client.release()


def _sure(yes: bool, question: str, word: str, client: GuardianClient) -> None:
    """Ask a person, heartbeats going on."""
    if yes:
        return
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
    from safebo.hardware.tuning import recording

    target = out or file.with_name(f"{file.stem}-recovered.mcap")
    try:
        count = recording.recover(file, target)
    except HardwareError as error:
        _leave(error)
    say(f"{count} messages recovered into {target}")
