"""The link: layouts, authentication, replay, retries over a bad network, and what the fault proxy does."""

import hashlib
import hmac
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safebo.boundary.monitor import BoundaryMonitor
from safebo.boundary.rules import CostToGoRule, GaussianTailRule, KernelCovarianceRule, LipschitzRule
from safebo.experiments.robustness.guardian_world import KEY, World
from safebo.hardware.constants import REPLAY_WINDOW
from safebo.hardware.errors import LinkError
from safebo.hardware.guardian.states import State
from safebo.hardware.guardian.telemetry import COLUMNS
from safebo.hardware.link import messages as m
from safebo.hardware.link.arrays import build_monitor, monitor_upload
from safebo.hardware.link.client import GuardianClient
from safebo.hardware.link.frame import VERSION, Frame, FrameError, open_packet, seal
from safebo.hardware.link.key import make_key, read_key
from safebo.hardware.link.proxy import FaultProxy, Faults
from safebo.hardware.link.replay import ReplayWindow
from safebo.hardware.link.server import LinkServer
from safebo.hardware.link.udp import UdpServer, UdpTransport

ALL = {**m.FROM_CLIENT, **m.FROM_GUARDIAN}


def test_a_packet_by_hand() -> None:
    # magic, version 1, kind 0x41, 65 bytes of body, session 5, sequence 9; level 3; "help" in 64 bytes
    signed = b"SBLK" + struct.pack("<BBHQQ", 1, 0x41, 65, 5, 9) + b"\x03" + b"help".ljust(64, b"\0")
    by_hand = signed + hmac.new(KEY, signed, hashlib.sha256).digest()
    assert seal(Frame(0x41, 5, 9, m.Stop(3, "help").pack()), KEY) == by_hand
    assert m.Stop.unpack(open_packet(by_hand, KEY).body) == m.Stop(3, "help")


def test_every_message_survives_the_way_and_fits_a_packet() -> None:
    assert len(ALL) == len(m.FROM_CLIENT) + len(m.FROM_GUARDIAN)
    for kind, body in ALL.items():
        packet = seal(Frame(kind, 1, 1, body().pack()), KEY)
        assert body.unpack(open_packet(packet, KEY).body) == body()


def test_every_flipped_bit_is_refused() -> None:
    packet = seal(Frame(0x20, 1, 1, m.GetStatus(4, 5).pack()), KEY)
    for bit in range(8 * len(packet)):
        damaged = bytearray(packet)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(FrameError):
            open_packet(bytes(damaged), KEY)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.integers(0, 200), max_size=120))
def test_the_window_admits_each_number_once(numbers: list[int]) -> None:
    window, seen, newest = ReplayWindow(), set(), 0
    for number in numbers:
        answer = window.admit(number)
        if number > newest:
            expected = "newest"
        else:
            expected = (
                "late"
                if number >= 1 and newest - number < REPLAY_WINDOW and number not in seen
                else "repeated"
            )
        assert answer == expected
        seen.add(number)
        newest = max(newest, number)


def _server() -> tuple[LinkServer, int]:
    server = LinkServer(KEY, m.Welcome(), boot=77)
    _, out = server.receive(0.0, seal(Frame(1, 0, 1, m.Hello(11, 1, 1, "x").pack()), KEY), "here")
    return server, m.Welcome.unpack(open_packet(out[0][1], KEY).body).session


def test_old_sessions_repetitions_and_other_addresses_are_refused() -> None:
    server, session = _server()
    packet = seal(Frame(0x20, session, 5, m.GetStatus(1).pack()), KEY)
    assert server.receive(0.0, packet, "here")[0] is not None
    assert server.receive(0.0, packet, "here")[0] is None
    assert server.receive(0.0, seal(Frame(0x20, session, 4, m.GetStatus(2).pack()), KEY), "here")[0] is None
    assert server.receive(0.0, seal(Frame(0x20, session, 6, m.GetStatus(3).pack()), KEY), "there")[0] is None
    assert (
        server.receive(0.0, seal(Frame(0x20, session + 1, 7, m.GetStatus(4).pack()), KEY), "here")[0] is None
    )
    assert server.refused == {"repeated": 1, "late": 1, "session": 2}
    late_stop = server.receive(0.0, seal(Frame(0x41, session, 3, m.Stop(3).pack()), KEY), "here")[0]
    assert late_stop is not None


def test_a_retry_gets_the_first_answer_and_is_not_done_again() -> None:
    server, session = _server()
    stand = m.Stand(9, 1).pack()
    assert server.receive(0.0, seal(Frame(0x1C, session, 2, stand), KEY), "here")[0] is not None
    server.reply(session, m.Reply(9, 3, 0, "no"))
    inbound, out = server.receive(0.0, seal(Frame(0x1C, session, 3, stand), KEY), "here")
    assert inbound is None
    assert m.Reply.unpack(open_packet(out[0][1], KEY).body).code == 3
    inbound, out = server.receive(0.0, seal(Frame(0x1D, session, 4, m.LieDown(9, 1).pack()), KEY), "here")
    assert inbound is None
    assert m.Reply.unpack(open_packet(out[0][1], KEY).body).code == m.Code.REQUEST_REUSED


def test_a_heartbeat_counts_only_when_it_answers_a_recent_state() -> None:
    server, session = _server()

    def beat(now: float, sequence: int, echo: int) -> bool:
        packet = seal(Frame(0x40, session, sequence, m.Heartbeat(1, echo, 1).pack()), KEY)
        inbound, _ = server.receive(now, packet, "here")
        assert inbound is not None
        return inbound.proof

    assert not beat(0.0, 2, 0)
    [(_, packet)] = server.states(1.0, 0, m.StateMessage())
    echo = open_packet(packet, KEY).sequence
    assert beat(1.1, 3, echo)
    assert not beat(1.2, 4, echo)
    assert not beat(1.2, 5, echo + 1)


def test_an_overtaken_heartbeat_proves_life_once_and_changes_nothing_else() -> None:
    server, session = _server()

    def packet(sequence: int, echo: int, every: int) -> bytes:
        return seal(Frame(0x40, session, sequence, m.Heartbeat(1, echo, every).pack()), KEY)

    server.receive(0.0, packet(9, 0, 2), "here")
    [(_, state)] = server.states(1.0, 0, m.StateMessage())
    echo = open_packet(state, KEY).sequence
    overtaken, _ = server.receive(1.1, packet(5, echo, 7), "here")
    assert overtaken is not None
    assert overtaken.proof
    assert server.wanted(2)  # every second State, as the newest heartbeat asks
    assert server.receive(1.1, packet(5, echo, 7), "here")[0] is None
    stale, _ = server.receive(1.2, packet(6, echo, 7), "here")
    assert stale is not None
    assert not stale.proof


def test_a_trial_runs_over_a_network_that_loses_doubles_damages_and_overtakes() -> None:
    bad = Faults(drop=0.1, duplicate=0.1, reorder=0.1, corrupt=0.05, delay=0.001, jitter=0.002)
    world = World(4, up=bad, down=bad)
    client = world.client()
    world.running(client, 1.0)
    client.wait_for(lambda state: state.outcome == 1, 3.0)
    assert client.counters.retries > 0
    assert world.service.link.refused["authentication"] > 0
    assert world.state is State.HOLD
    assert len(client.telemetry(1, len(COLUMNS))) == 550


@pytest.mark.parametrize(
    "rule", [LipschitzRule(2.0, 0.1), GaussianTailRule(), KernelCovarianceRule(), CostToGoRule(0.5, 0.01)]
)
def test_a_monitor_arrives_as_it_was_made(rule) -> None:
    rng = np.random.default_rng(2)
    made = BoundaryMonitor(
        rng.normal(size=(40, 3)),
        rng.integers(0, 4, 40),
        rng.random(4),
        [{}] * 4,
        rule,
        np.array([0.5, 1.0, 2.0]),
        rng.random(40),
    )
    there = build_monitor(*monitor_upload(made))
    states = rng.normal(size=(200, 3))
    assert [there.check(s) for s in states] == [made.check(s) for s in states]
    data, words = monitor_upload(made)
    with pytest.raises(ValueError, match="digest"):
        build_monitor(data[:-1] + b"\x07", words)


def test_the_proxy_does_what_it_says_and_the_same_again() -> None:
    def fates(faults: Faults) -> list[tuple[float, bytes]]:
        proxy, out = FaultProxy(faults, 3), []
        for k in range(2000):
            proxy.push(0.001 * k, k.to_bytes(4, "little"))
            out += [(0.001 * k, data) for data in proxy.due(0.001 * k)]
        return out

    whole = fates(Faults())
    assert [int.from_bytes(d, "little") for _, d in whole] == list(range(2000))
    assert len(fates(Faults(drop=0.2))) == pytest.approx(1600, abs=60)
    assert fates(Faults(drop=0.2, reorder=0.1)) == fates(Faults(drop=0.2, reorder=0.1))
    frozen = fates(Faults(freeze=[(0.5, 1.0)]))
    assert [d for _, d in frozen] == [d for _, d in whole]
    assert not any(0.5 <= when < 0.9995 for when, _ in frozen)


def test_keys_are_private_and_long_enough(tmp_path: Path) -> None:
    path = tmp_path / "key"
    assert make_key(path) == read_key(path)
    with pytest.raises(ValueError, match="exists"):
        make_key(path)
    path.chmod(0o644)
    with pytest.raises(ValueError, match="chmod 600"):
        read_key(path)
    path.chmod(0o600)
    path.write_text("abcd")
    with pytest.raises(ValueError, match="at least 16 bytes"):
        read_key(path)


def test_real_sockets_on_loopback() -> None:
    world, server = World(2), UdpServer(port=0)
    transport = UdpTransport(port=server.address[1])

    class Served:
        """The client's socket; the guardian ticks while the client waits."""

        send = staticmethod(transport.send)

        def receive(self, timeout: float) -> bytes | None:
            for address, data in world.service.tick(
                world.now, world.robot.observe(), server.receive()
            ).outgoing:
                assert isinstance(address, tuple)
                server.send(address, data)
            world.now += 0.002
            return transport.receive(0.005)

    try:
        client = GuardianClient(Served(), KEY, clock=world.time)
        assert client.connect().robot == world.guardian.robot.name
        assert client.acquire() == 1
        assert client.status().epoch == 1
    finally:
        transport.close()
        server.close()


def test_hellos_sent_again_push_out_nobody_who_has_spoken() -> None:
    world = World(0)
    world.run(1.2)
    viewers = [world.client(f"viewer {i}") for i in range(6)]
    for viewer in viewers:
        viewer.connect()
        viewer.pump(0.02)
    recorded = [
        seal(Frame(m.Hello.KIND, 0, 1, m.Hello(nonce, VERSION, VERSION, "recorded").pack()), KEY)
        for nonce in range(50)
    ]
    for data in recorded:
        world.raw.append(("nobody", data))
        world.tick()
    for viewer in viewers:
        viewer.pump(0.1)  # what was under way
        before = viewer.counters.states
        viewer.pump(0.1)
        assert viewer.counters.states > before
    late = world.client("late")
    late.connect()
    assert late.stop(reason="stop is heard")


class SlowRobot(GuardianClient):
    """Each pump takes a second of ours and gives a State of a guardian whose clock has gone on by a tenth of it."""

    def __init__(self, moves: bool) -> None:
        self._now, self._moves = 0.0, moves
        super().__init__(Nowhere(), KEY, clock=lambda: self._now)

    def pump(self, seconds: float) -> None:
        self._now += 1.0
        self.state = m.StateMessage(time=7.0 + 0.1 * self._now * self._moves)


class Nowhere:
    def send(self, packet: bytes) -> None: ...

    def receive(self, patience: float) -> None:
        return None


def test_patience_is_by_the_clock_of_the_guardian_while_that_goes() -> None:
    slow = SlowRobot(moves=True)
    assert slow.wait_for(lambda s: s.time > 7.65, 1.2).time > 7.65
    slow = SlowRobot(moves=True)
    with pytest.raises(LinkError, match=r"did not get there within 1\.2 s"):
        slow.wait_for(lambda s: s.time > 8.5, 1.2)
    stands = SlowRobot(moves=False)
    with pytest.raises(LinkError, match="did not get there within 3 s"):
        stands.wait_for(lambda _: False, 3.0)
    assert stands.time() < 6.0
