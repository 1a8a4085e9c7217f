"""Runs whose journals lie in a PostgreSQL server that restarts, goes away, refuses and is shared.

    python -m safebo.experiments.robustness.postgres

A server of its own is made with `initdb` in a temporary folder (Debian: `apt install postgresql`) and listens on this
machine alone. Every case prints what was expected and what came of it; the last one looks for the password in
everything that was printed or written.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from safebo.experiments.robustness.killed_runs import STUDY, told_in

SECRET = "s3cr/t:w@rd?%&é"
"""A password with every character that a URL gives a meaning to."""

USER = 'o\'dd "user"'


class Server:
    """A PostgreSQL server on a port of its own.

    Args:
        folder: for its data; it belongs to the server's user.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.data = folder, folder / "data"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self.binaries = _binaries()
        # PostgreSQL refuses to run as root; its package comes with a user.
        self.user = "postgres" if os.getuid() == 0 else None
        if self.user:
            shutil.chown(folder, self.user)
        secret = folder / "secret"
        secret.write_text("superuser")
        self._run("initdb", "-D", str(self.data), "-U", "owner", "-A", "scram-sha-256", f"--pwfile={secret}")
        self.start()
        self.sql(f"CREATE USER {_quoted(USER)} PASSWORD {_literal(SECRET)}")
        self.sql(f"CREATE DATABASE {_quoted('odd db/ü')} OWNER {_quoted(USER)}")

    def url(self, password: str = SECRET, scheme: str = "postgres") -> str:
        """The URL of the database, as a person would write it."""
        user, database = quote(USER, safe=""), quote("odd db/ü", safe="")
        return f"{scheme}://{user}:{quote(password, safe='')}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start and wait until it answers."""
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self.folder}"
        self._run(
            "pg_ctl", "-D", str(self.data), "-w", "-o", options, "-l", str(self.folder / "log"), "start"
        )

    def stop(self) -> None:
        """Stop at once, as a restart does: connections are cut."""
        self._run("pg_ctl", "-D", str(self.data), "-w", "-m", "immediate", "stop")

    def sql(self, statement: str) -> None:
        """Run a statement as the server's owner."""
        where = ["-h", "127.0.0.1", "-p", str(self.port), "-U", "owner", "-d", "postgres"]
        subprocess.run(
            [self.binaries / "psql", *where, "-q", "-c", statement],
            env={**os.environ, "PGPASSWORD": "superuser"}, check=True, capture_output=True,
        )  # fmt: skip

    def _run(self, name: str, *arguments: str) -> None:
        subprocess.run(
            [self.binaries / name, *arguments], check=True, user=self.user, cwd=self.folder,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip


@dataclass
class Bench:
    """The server, a folder for runs, and all that was printed.

    Args:
        server: where the journals are.
        folder: for the runs.
        trials: of a run.
    """

    server: Server
    folder: Path
    trials: int
    printed: list[str] = field(default_factory=list)

    def start(self, name: str, *more: str, **environment: str) -> subprocess.Popen[str]:
        """`safebo tune` in a process of its own."""
        command = [sys.executable, "-m", "safebo", "tune", str(STUDY), "--out", str(self.folder / name)]
        return subprocess.Popen(
            [*command, "--trials", str(self.trials), "--seed", "3", *more], env={**os.environ, **environment},
            text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def tune(self, name: str, *more: str, **environment: str) -> tuple[int, str]:
        """`safebo tune` to its end: exit code and what it printed."""
        return self.end(self.start(name, *more, **environment))

    def end(self, process: subprocess.Popen[str]) -> tuple[int, str]:
        """Exit code and output of a process."""
        output, _ = process.communicate(timeout=600)
        self.printed.append(output)
        return process.returncode, output

    def command(self, *words: str, **environment: str) -> tuple[int, str]:
        """Another command of safebo."""
        process = subprocess.run(
            [sys.executable, "-m", "safebo", *words], env={**os.environ, **environment}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
        self.printed.append(process.stdout)
        return process.returncode, process.stdout

    def told(self, name: str) -> list[Any]:
        """The told trials of a run, in a form that compares exactly."""
        with _environment(PGPASSWORD=SECRET):
            return told_in(self.folder / name)


def undisturbed(bench: Bench) -> str:
    """A run in the database is the run in a file, trial for trial."""
    code, output = bench.tune("file")
    shared, shown = bench.tune("calm", "--journal", bench.server.url())
    same = bench.told("file") == bench.told("calm")
    return "" if (code, shared, same) == (0, 0, True) else f"{code}, {shared}, same {same}: {output} {shown}"


def restart(bench: Bench) -> str:
    """A server that restarts in mid-run is waited for."""
    return _cut(bench, "restart", 0.0)


def away(bench: Bench) -> str:
    """A server that is away for 30 s is waited for."""
    return _cut(bench, "away", 30.0)


def gone(bench: Bench) -> str:
    """A server that stays away stops the run with the command to go on, and that goes on."""
    process = bench.start("gone", "--journal", bench.server.url())
    _wait_for_trial(process)
    bench.server.stop()
    code, output = bench.end(process)
    bench.server.start()
    if code != 1 or "Go on with: safebo tune" not in output or "Traceback" in output:
        return f"ended with {code}: {output}"
    code, output = bench.tune("gone", "--resume", "--journal", bench.server.url(scheme="postgresql"))
    same = bench.told("gone") == bench.told("file")
    return "" if (code, same) == (0, True) else f"then {code}, same {same}: {output}"


def wrong_password(bench: Bench) -> str:
    """A wrong password is said at once, in a sentence without it; nothing is left."""
    start = time.monotonic()
    code, output = bench.tune("wrong", "--journal", bench.server.url("wr0ng/" + SECRET))
    wrong = code == 0 or "password authentication failed" not in output or "wr0ng" in output
    left = (bench.folder / "wrong").exists()
    slow = time.monotonic() - start > 40
    return output if wrong or left or slow or "Traceback" in output else ""


def without_password(bench: Bench) -> str:
    """The folder keeps no password: without one, reading says what is missing; PGPASSWORD or --journal gives it."""
    refused, output = bench.command("show", str(bench.folder / "calm"))
    code, shown = bench.command("show", str(bench.folder / "calm"), PGPASSWORD=SECRET)
    wrong = refused == 0 or code != 0 or "Traceback" in output + shown
    return f"{refused} {output} {code} {shown}" if wrong else ""


def two_at_once(bench: Bench) -> str:
    """Two runs at once in one database do not see each other."""
    processes = [bench.start(name, "--journal", bench.server.url()) for name in ("one", "two")]
    ends = [bench.end(process) for process in processes]
    same = bench.told("one") == bench.told("two") == bench.told("file")
    return "" if same and all(code == 0 for code, _ in ends) else f"same {same}: {ends}"


def secrecy(bench: Bench) -> str:
    """The password stands in nothing that was printed or written by safebo, in no spelling."""
    spellings = {SECRET, quote(SECRET, safe=""), quote(SECRET), "wr0ng"}
    found = [f"printed: {text[:80]}" for text in bench.printed if any(s in text for s in spellings)]
    for path in bench.folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            found += [str(path) for s in spellings if s.encode() in content]
    return "; ".join(found)


CASES: tuple[Callable[[Bench], str], ...] = (
    undisturbed, restart, away, gone, wrong_password, without_password, two_at_once, secrecy,
)  # fmt: skip


def _cut(bench: Bench, name: str, seconds: float) -> str:
    process = bench.start(name, "--journal", bench.server.url())
    _wait_for_trial(process)
    bench.server.stop()
    time.sleep(seconds)
    bench.server.start()
    code, output = bench.end(process)
    same = bench.told(name) == bench.told("file")
    return "" if (code, same) == (0, True) else f"ended with {code}, same {same}: {output}"


def _wait_for_trial(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("trial"):
            return


def _binaries() -> Path:
    places = [*sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    found = [place for place in places if (place / "initdb").exists()]
    if not found:
        raise typer.BadParameter("no PostgreSQL server is installed (Debian: apt install postgresql)")
    return found[0]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


@contextlib.contextmanager
def _environment(**values: str) -> Iterator[None]:
    before: Mapping[str, str | None] = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def main(trials: Annotated[int, typer.Option(min=2, help="Trials of every run.")] = 25) -> None:
    """Run every case against a server of its own and print a table; the end is 1 when one fails."""
    bad = 0
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        folder.chmod(0o755)
        (folder / "server").mkdir()
        server = Server(folder / "server")
        bench = Bench(server, folder / "runs", trials)
        try:
            for case in CASES:
                start = time.monotonic()
                fault = case(bench)
                bad += bool(fault)
                words = (case.__doc__ or "").strip()
                print(
                    f"{'FAILED' if fault else 'held'}  {time.monotonic() - start:5.0f} s  {words}", flush=True
                )
                if fault:
                    print(f"        {fault}", flush=True)
        finally:
            server.stop()
    print(f"{len(CASES) - bad} of {len(CASES)} held; runs of {trials} trials")
    raise typer.Exit(int(bad > 0))


if __name__ == "__main__":
    typer.run(main)
