"""The page's server: its address and links for people, its guard, and a word when the owner's page has gone silent."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from safebo.console.access import SILENT_S, Access, Role
from safebo.console.app import make_app
from safebo.console.console import Console
from safebo.console.guard import Guard, check_public, hosts_of, is_loopback
from safebo.console.reading import Runs
from safebo.console.robots import MakeWatch, bridge_watch
from safebo.errors import InputError
from safebo.types import RobotAddress

Say = Callable[[str], None]


@dataclass(frozen=True)
class Listening:
    """Where the page is.

    Args:
        host, port: to listen on; port 0 for any free one.
        names: further names by which it is reached.
        certificate, key: files for TLS; both or none.
        unencrypted: that a network address is meant to be served without TLS.
    """

    host: str = "127.0.0.1"
    port: int = 8770
    names: tuple[str, ...] = ()
    certificate: Path | None = None
    key: Path | None = None
    unencrypted: bool = False

    @property
    def tls(self) -> bool:
        """Whether it is encrypted."""
        return self.certificate is not None

    def check(self) -> None:
        """Refuse what must not be.

        Raises:
            InputError: says what it takes.
        """
        if (self.certificate is None) != (self.key is None):
            raise InputError("--tls-cert and --tls-key go together")
        for file in (self.certificate, self.key):
            if file is not None and not file.is_file():
                raise InputError(f"{file}: no such file")
        check_public(self.host, self.tls, self.unencrypted)
        if self.host in ("0.0.0.0", "::") and not self.names:
            raise InputError(
                f"--host {self.host}: say with --name by which name or address this machine is reached, as requests "
                "for any other are refused"
            )

    def url(self, port: int) -> str:
        """How it is opened."""
        name = self.names[0] if self.names else f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls else 'http'}://{name}:{port}"


def guarded(
    runs: Runs,
    listening: Listening,
    port: int,
    say: Say,
    address: RobotAddress | None = None,
    find: Callable[[str], MakeWatch] = bridge_watch,
) -> tuple[ASGIApp, Console]:
    """The whole application, and what it shares; says how to open it.

    Args:
        runs: that are shown.
        listening: where.
        port: that is listened on.
        say: prints a line.
        address: of a robot to look at.
        find: how to look at a robot of an evaluator.
    """
    url = listening.url(port)

    def link(role: Role, token: str) -> str:
        return f"{url}/enter#{token}"

    def used(role: Role, where: str, token: str) -> None:
        say(f"Opened from {where} by the {role}'s link. Another {role}'s link: {link(role, token)}")

    access = Access(open_to_all=is_loopback(listening.host), used=used)
    console = Console(runs, access, address, find)
    console.load_robots()
    hosts = hosts_of(listening.host, port, listening.names)
    inner = make_app(console, lambda secret: guard.set_cookie(secret))
    guard = Guard(inner, access, hosts, listening.tls)
    say(f"In control: {link('owner', access.token('owner'))}")
    if access.open_to_all:
        say(f"Read only, with the stop: {url}/")
    else:
        say(f"Read only, with the stop: {link('viewer', access.token('viewer'))}")
    say("A link opens one browser; the next one is printed here. Ctrl-C ends the page and no run.")
    return guard, console


def serve(runs: Runs, listening: Listening, say: Say, address: RobotAddress | None = None) -> None:
    """Serve until Ctrl-C.

    Raises:
        InputError: it may not be served like that, or the address is taken.
    """
    listening.check()
    with _listen(listening) as listener:
        port = listener.getsockname()[1]
        app, console = guarded(runs, listening, port, say, address)
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            lifespan="on",
            ws="none",
            timeout_graceful_shutdown=1,
            ssl_certfile=None if listening.certificate is None else str(listening.certificate),
            ssl_keyfile=None if listening.key is None else str(listening.key),
        )
        asyncio.run(_run(uvicorn.Server(config), listener, console.access, say))


async def _run(server: uvicorn.Server, listener: socket.socket, access: Access, say: Say) -> None:
    told = asyncio.create_task(_tell_silence(access, say))
    try:
        await server.serve(sockets=[listener])
    finally:
        told.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await told


async def _tell_silence(access: Access, say: Say) -> None:
    """Say once when the owner's page falls silent, and once when it is back."""
    silent = False
    while True:
        await asyncio.sleep(0.5)
        seconds = access.owner_silent()
        now = seconds is not None and seconds > SILENT_S
        if now and not silent:
            say(
                "The page in control says nothing any more: it is closed, hidden, frozen or cut off. Its stop button "
                "does not work then; the terminal does: `safebo robot stop`."
            )
        elif silent and not now:
            say("The page in control is back.")
        silent = now


@contextlib.contextmanager
def _listen(listening: Listening) -> Iterator[socket.socket]:
    """A socket at the page's address."""
    family = socket.AF_INET6 if ":" in listening.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((listening.host, listening.port))
            listener.listen(64)
        except OSError as error:
            raise InputError(
                f"{listening.host}:{listening.port}: cannot be listened on: {error.strerror or error}. Choose another "
                "port with --port, or --port 0 for any"
            ) from error
        yield listener
    finally:
        listener.close()
