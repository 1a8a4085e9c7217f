"""docs/link.md: its tables and vectors are the code's, and a C++ client written from it alone works with a guardian."""

import hashlib
import hmac
import re
import shutil
import signal
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from safebo.experiments.robustness.guardian_world import KEY, World
from safebo.hardware.guardian.states import State
from safebo.hardware.link import messages as m
from safebo.hardware.link.client import RefusedError
from safebo.hardware.link.frame import HEADER, TAG_LENGTH
from safebo.hardware.link.tables import TABLES, update
from safebo.hardware.link.udp import UdpServer

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "link.md"
EXAMPLE = ROOT / "docs" / "examples" / "link_client"
REGENERATE = (
    "run `python -m safebo.hardware.link.tables docs/link.md`, read what changed, change the text around it"
)


def test_the_tables_of_the_page_are_those_of_the_code() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for name, table in TABLES.items():
        found = re.search(rf"(?s)<!-- table {name} -->\n\n(.*?)\n<!-- end of table -->", page)
        assert found is not None, f"docs/link.md has no table {name}"
        assert found[1] == table(), f"docs/link.md, table {name}: {REGENERATE}"
    assert update(page) == page, REGENERATE


def vectors() -> dict[str, tuple[str, bytes]]:
    """Words and bytes of every vector on the page, by name."""
    page = PAGE.read_text(encoding="utf-8")
    block = re.search(r"(?s)<!-- table vectors -->\n\n```text\n(.*?)```", page)
    assert block is not None
    out = {}
    for piece in block[1].strip().split("\n\n"):
        found = re.fullmatch(r"(?s)\[([a-z-]+)\] (.*?)\n((?:    [0-9a-f]+\n?)+)", piece)
        assert found is not None, piece
        out[found[1]] = " ".join(found[2].split()), bytes.fromhex("".join(found[3].split()))
    return out


def test_vectors_by_hand() -> None:
    """What the text of the page says, in struct and hmac alone."""
    given = vectors()
    key = given["key"][1]
    session, table = 0x4D00000001, 0xFEDCBA9876543210
    gains, walk = (
        struct.pack("<3d", 60, 2.5, 0.125),
        struct.pack("<10d", 0.5, 0.5, 0.5, 0.5, 0, 0.25, 0, 0, 0.5, 0.125),
    )
    trial = hashlib.sha256(b"SBTRIAL1" + struct.pack("<Q", table) + gains + walk + b"\0\0").digest()
    monitor = struct.pack("<24s6dHIH", b"lipschitz", 2, 0.125, 0, 0, 0, 0, 33, 1000, 1) + bytes(range(32, 64))
    backup = struct.pack("<3d", 50, 2, 0.25)
    whole = b"SBTRIAL1" + struct.pack("<Q", table) + gains + walk + b"\1\0" + backup + monitor
    bodies = {
        "hello": (1, 0, 1, struct.pack("<QBB32s", 0x123456789ABCDEF, 1, 1, b"example")),
        "heartbeat": (0x40, session, 1, struct.pack("<IQH", 0, 0, 5)),
        "acquire": (0x10, session, 2, struct.pack("<II32s", 1, 0, b"example")),
        "alive": (0x40, session, 3, struct.pack("<IQH", 1, 3, 5)),
        "gains": (0x13, session, 4, struct.pack("<IIHQ", 2, 1, 0, table) + gains),
        "walk": (0x15, session, 5, struct.pack("<II", 3, 1) + walk),
        "arm": (0x18, session, 6, struct.pack("<IIQ", 4, 1, 12) + trial),
        "start": (0x1A, session, 7, struct.pack("<IIQd", 5, 1, 0x7766554433221101, 2.5)),
        "stop": (0x41, session, 8, struct.pack("<B64s", 3, b"enough")),
        "granted": (0x30, session, 2, struct.pack("<IBQ160s", 1, 0, 1, b"")),
        "held": (0x30, session, 4, struct.pack("<IBQ160s", 2, 0, 0, b"") + hashlib.sha256(gains).digest()),
    }
    for name, (kind, number, sequence, body) in bodies.items():
        signed = struct.pack("<4sBBHQQ", b"SBLK", 1, kind, len(body), number, sequence) + body
        assert given[name][1] == signed + hmac.digest(key, signed, "sha256"), name
    assert given["gains-digest"][1] == hashlib.sha256(gains).digest()
    assert given["trial-digest"][1] == trial
    assert given["trial-digest-monitor"][1] == hashlib.sha256(whole).digest()


def test_the_identity_of_the_gains_is_that_of_their_table_on_the_page() -> None:
    found = re.search(
        r"(?s)<!-- table gains -->\n\n45 gains, identity `(0x[0-9a-f]+)`(.*?)<!--", PAGE.read_text()
    )
    assert found is not None
    rows = re.findall(r"(?m)^\| \d+ \| (\S+) \| (.*?) ?\|", found[2])
    assert len(rows) == 45
    lines = "".join(f"{name} {unit}\n" for name, unit in rows)
    assert int.from_bytes(hashlib.sha256(lines.encode()).digest()[:8], "little") == int(found[1], 16)
    assert f"kTable = {found[1]};" in (EXAMPLE / "main.cpp").read_text(), "the C++ client knows another table"


def refusals() -> dict[str, str]:
    """The cell "refused otherwise" of every request on the page."""
    rows = re.findall(
        r"(?m)^\| (\w+) \| L? ?\| .* \| ([A-Z_;or ]*) ?\| .* ?\|$", PAGE.read_text(encoding="utf-8")
    )
    return dict(rows)


def test_every_request_is_on_the_page_and_refuses_as_it_says() -> None:
    words = refusals()
    assert set(words) == {request.__name__ for request in m.REQUESTS}
    world = World(6)
    client = world.client()
    world.run(1.1)
    client.connect()

    def refused(request: m.RequestMessage, code: m.Code) -> None:
        with pytest.raises(RefusedError) as caught:
            client.ask(request)
        assert caught.value.reply.code == code, request
        if code is not m.Code.NO_LEASE:
            assert code.name in words[type(request).__name__], request

    free = (m.AcquireLease, m.GetStatus, m.GetGains, m.Fetch, m.Describe, m.Acknowledge, m.Clear)
    for kind in m.REQUESTS:
        if kind not in free:
            refused(kind(), m.Code.NO_LEASE)
    refused(m.GetGains(slot=0), m.Code.NOT_READY)
    refused(m.Fetch(trial=1), m.Code.BAD_VALUE)
    client.acquire()
    other = world.client("other")
    other.connect()
    with pytest.raises(RefusedError) as caught:
        other.acquire()
    assert caught.value.reply.code == m.Code.LEASE_HELD

    code, table = m.Code, world.table.identity
    count = len(world.table.names)
    refused(m.SetGains(table=table + 1), code.WRONG_TABLE)
    refused(m.SetGains(table=table), code.BAD_VALUE)
    refused(m.SetGains(table=table, values=bytes(8 * count)), code.OUT_OF_BOUNDS)
    refused(
        m.SetGains(table=table, slot=1001, values=struct.pack(f"<{count}d", *world.table.baseline)),
        code.OUT_OF_BOUNDS,
    )
    refused(m.SetWalk(), code.BAD_VALUE)
    refused(m.Upload(total=0), code.BAD_VALUE)
    refused(m.SetMonitor(), code.BAD_VALUE)
    lying: list[m.RequestMessage] = [m.Arm(trial=1), m.Disarm(), m.Start(), m.LieDown()]
    for request in lying:
        refused(request, code.WRONG_STATE)
    refused(m.Abort(trial=3), code.BAD_VALUE)
    refused(m.Acknowledge(latch=9), code.BAD_VALUE)
    refused(m.Acknowledge(latch=0), code.WRONG_STATE)
    refused(m.Clear(), code.WRONG_TOKEN)

    client.stand()
    refused(m.Stand(), code.WRONG_STATE)
    client.wait_for(lambda state: state.state == State.HOLD, 5.0)
    refused(m.Arm(trial=1), code.NOT_READY)  # still moving
    client.pump(1.0)
    refused(m.Arm(trial=0), code.BAD_VALUE)
    refused(m.Arm(trial=1), code.NOT_READY)  # nothing was sent
    token = world.armed(client)
    edits: list[m.RequestMessage] = [m.ResetTrial(), m.SetGains(), m.SetWalk(), m.Upload(), m.SetMonitor()]
    for request in edits:
        refused(request, code.WRONG_STATE)
    refused(m.Start(token=token + 1, duration=1.0), code.WRONG_TOKEN)
    refused(m.Start(token=token, duration=60.5), code.BAD_VALUE)
    client.ask(m.Disarm())
    refused(m.Arm(trial=1, digest=bytes(32)), code.DIGEST_MISMATCH)
    client.start(world.armed(client), 1.0)
    refused(m.Fetch(trial=2), code.BAD_VALUE)
    world.robot.edit = lambda seen: setattr(seen, "remote_stop", True)
    client.wait_for(lambda state: state.state == State.DAMP_LATCHED, 1.0)
    assert client.state is not None
    refused(m.Acknowledge(latch=client.state.latch), code.CAUSE_PRESENT)
    refused(m.Clear(), code.CAUSE_PRESENT)
    world.robot.edit = lambda seen: setattr(seen, "battery", 25.0)
    client.pump(0.1)
    client.clear(client.acknowledge(client.state.latch))
    refused(m.Stand(), code.NOT_READY)  # the battery is low
    client.release()


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The C++ client, built as its folder says."""
    missing = [tool for tool in ("g++", "make") if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"the C++ client is not built: no {' and no '.join(missing)} here")
    out = tmp_path_factory.mktemp("link_client") / "link_client"
    built = subprocess.run(
        ["make", "-s", f"OUT={out}", "CXX=g++", "CXXFLAGS=-O0"],
        cwd=EXAMPLE,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    return out


def test_the_cpp_client_makes_and_reads_the_vectors(program: Path) -> None:
    given = vectors()
    made = subprocess.run([program, "vectors"], capture_output=True, text=True, check=True).stdout
    mine = {name: bytes.fromhex(digits) for name, digits in (line.split() for line in made.splitlines())}
    read = ["welcome", "granted", "held", "refused", "state"]
    assert set(mine) == set(given) - {"key", *read}
    assert mine == {name: given[name][1] for name in mine}
    lines = "".join(given[name][1].hex() + "\n" for name in read)
    said = subprocess.run([program, "decode"], input=lines, capture_output=True, text=True, check=True).stdout
    assert said.splitlines() == [given[name][0] for name in read]
    damaged = bytearray(given["state"][1])
    damaged[30] ^= 1
    bad = subprocess.run(
        [program, "decode"], input=damaged.hex(), capture_output=True, text=True, check=False
    )
    assert bad.returncode == 2
    assert "not made with this key" in bad.stderr


class Served:
    """A guardian's world on a loopback socket. Its time is driven by its clients' heartbeats, not by the wall's clock,
    so a slow machine makes nothing late: one of the lease's holder lets 50 ms go by, one of a viewer 10 ms, or
    50 ms where nobody else is alive, and those that have piled up while this process waited count once.
    """

    PAUSE = 0.001  # s of the wall's clock for other packets, or many requests between two heartbeats were a silence

    def __init__(self, world: World, server: UdpServer) -> None:
        self.world, self._server = world, server
        self.holder_lives = True
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work)

    def _work(self) -> None:
        while not self._over.is_set():
            packets = self._server.receive()
            if not packets:
                time.sleep(self.PAUSE)
                continue
            ticks = max(self._ticks(data) for _, data in packets)
            if ticks == 1:
                time.sleep(self.PAUSE)
            self._tick(packets)
            for _ in range(ticks - 1):
                self._tick([])

    def _ticks(self, data: bytes) -> int:
        if data[5] != m.Heartbeat.KIND:
            return 1
        viewer = m.Heartbeat.unpack(data[HEADER.size : -TAG_LENGTH]).epoch == 0
        return 5 if viewer and self.holder_lives and self.world.guardian.lease.session else 25

    def _tick(self, packets: list[tuple[tuple[str, int], bytes]]) -> None:
        world = self.world
        tick = world.service.tick(world.now, world.robot.observe(), packets)
        for address, data in tick.outgoing:
            assert isinstance(address, tuple)
            self._server.send(address, data)
        world.events += tick.events
        world.robot.apply(tick.command)
        world.command = tick.command
        world.now += 0.002

    def end(self) -> None:
        """No client is listened to any longer; the world is the caller's."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join(10.0)
        assert not self._thread.is_alive()

    def begin(self) -> None:
        """Listen."""
        self._thread.start()


@contextmanager
def served(tmp_path: Path, seed: int) -> Iterator[tuple[Served, Callable[..., list[str]]]]:
    """A world, and what makes a client's command line of a command."""
    world, server = World(seed), UdpServer(port=0)
    world.run(1.1)
    key = tmp_path / "link.key"
    key.write_text(KEY.hex() + "\n")
    key.chmod(0o600)
    there = Served(world, server)
    there.begin()
    try:
        yield there, lambda *words: ["--port", str(server.address[1]), "--key", str(key), *words]
    finally:
        there.end()
        server.close()


def run(program: Path, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    """The client, to its end."""
    return subprocess.run([program, *arguments], capture_output=True, text=True, timeout=60, check=False)


def test_the_cpp_client_walks_a_robot_from_rest_to_rest(program: Path, tmp_path: Path) -> None:
    with served(tmp_path, 21) as (there, line):
        state = run(program, line("state"))
        assert state.returncode == 0, state.stderr
        assert "virtual go1, serial none, 45 gains" in state.stdout
        assert "state REST, response 0, cause 0, latch 0, lease 0, trial 0, outcome 0" in state.stdout
        whole = run(program, line("walk", "--stiffness", "72.5", "--seconds", "0.4", "--trial", "5"))
        assert whole.returncode == 0, whole.stdout + whole.stderr
        expected = "lease of epoch 1, standing, gains held as sent, armed, running, trial over, outcome 1"
        assert ", ".join(whole.stdout.splitlines()[:-2]) == expected
        assert whole.stdout.splitlines()[-2:] == ["telemetry of 250 ticks", "lying"]
        aborted = run(program, line("walk", "--seconds", "30", "--abort-after", "0.1", "--trial", "6"))
        assert aborted.returncode == 0, aborted.stderr
        assert "trial over, outcome 2" in aborted.stdout
    world = there.world
    assert world.state is State.REST
    assert world.guardian.lease.session == 0
    names = world.table.names
    assert world.walker.gains["joint.hip.kp"] == world.table.baseline[names.index("joint.hip.kp")]
    begun = world.guardian.run.plan
    assert begun is not None
    assert begun.number == 6
    assert begun.gains[names.index("joint.hip.kp")] == 65.0
    assert begun.gains[1:] == world.table.baseline[1:]
    assert begun.walk.velocity == (0.2, 0.0, 0.0)


@contextmanager
def running(program: Path, arguments: list[str]) -> Iterator[subprocess.Popen[str]]:
    """A client whose trial runs; killed in the end if it still lives."""
    pipe = subprocess.PIPE
    with subprocess.Popen([program, *arguments], stdout=pipe, stderr=pipe, text=True) as process:
        try:
            assert process.stdout is not None
            assert "running\n" in iter(process.stdout.readline, "")
            yield process
        finally:
            process.kill()


def test_a_second_cpp_client_stops_the_first_and_a_person_clears(program: Path, tmp_path: Path) -> None:
    with served(tmp_path, 22) as (there, line):
        with running(program, line("walk", "--seconds", "60")) as first:
            second = run(program, line("walk"))
            assert second.returncode == 1
            assert "refuses the lease: link_client walk holds the lease (code 2)" in second.stderr
            stopped = run(program, line("stop"))
            assert stopped.returncode == 0, stopped.stderr
            assert "stopped: state DAMP_LATCHED, cause 30 (stopped: joint damping" in stopped.stdout
            _, said = first.communicate(timeout=30)
            assert first.returncode == 1
            assert "the guardian has latched: state DAMP_LATCHED" in said
        there.holder_lives = False
        cleared = subprocess.run(
            [program, *line("clear")], input="yes\n", capture_output=True, text=True, timeout=30, check=False
        )
        assert cleared.returncode == 0, cleared.stderr
        assert "state REST, response 0, cause 0, latch 0" in cleared.stdout
        there.holder_lives = True
        with running(program, line("walk", "--seconds", "60", "--trial", "2")) as again:
            again.send_signal(signal.SIGINT)
            said, _ = again.communicate(timeout=30)
            assert again.returncode == 0
            assert said.splitlines() == ["interrupted", "lying"]
    assert there.world.state is State.REST
    assert there.world.guardian.run.outcome == 2


def test_a_cpp_client_that_dies_is_missed(program: Path, tmp_path: Path) -> None:
    with served(tmp_path, 23) as (there, line), running(program, line("walk", "--seconds", "60")) as client:
        client.kill()
        client.wait(10)
        there.end()
        world = there.world
        assert world.state is State.RUNNING
        world.run(0.2)
        assert world.state is State.HOLD_LATCHED
        world.run(0.8)
        assert world.state is State.SIT_LATCHED
        world.run(2.0)
        assert world.state is State.DAMP_LATCHED
        assert world.guardian.lease.session == 0
