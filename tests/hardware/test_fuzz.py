"""Malformed packets and messages, a few thousand of each; and that what looks for faults finds those put there."""

import contextlib
from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np
import pytest

from safebo.experiments.robustness.fuzz import FuzzCampaign
from safebo.experiments.robustness.fuzz_feed import Findings
from safebo.experiments.robustness.fuzz_link import settings, storms
from safebo.experiments.robustness.fuzz_packets import FORMS, GO1_COMMAND, GO1_STATE, PARAMETERS, PacketFuzzer
from safebo.experiments.robustness.fuzz_virtual import command
from safebo.experiments.robustness.growth import Meter
from safebo.hardware.errors import LinkError, WireError
from safebo.hardware.guardian import observation
from safebo.hardware.guardian.lease import Lease
from safebo.hardware.guardian.states import State
from safebo.hardware.link.replay import ReplayWindow
from safebo.hardware.robot_link import Battery, RobotState
from safebo.hardware.unitree import go1_messages, go2_messages
from safebo.hardware.unitree.rpc_messages import OK, RpcRequest
from safebo.hardware.unitree.services import MOTION_SWITCHER, SELECT_MODE, MotionService, _name_in
from safebo.robots.quadruped.interface import SensorReading

pytestmark = pytest.mark.slow

DECODERS: dict[str, Callable[[bytes], Any]] = {
    "Go1 command": go1_messages.decode_low_cmd,
    "Go1 state": go1_messages.decode_low_state,
    "Go2 LowCmd": go2_messages.decode_low_cmd,
    "Go2 LowState": go2_messages.decode_low_state,
}


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_what_was_made_unsound_is_refused_and_what_was_made_sound_is_not(form) -> None:
    fuzzer, kinds = PacketFuzzer(form, 5), set()
    for k in range(1500):
        packet = fuzzer.sound() if k % 2 else fuzzer.unsound()
        kinds.add(packet.kind)
        if packet.sound:
            DECODERS[form.name](packet.data)
        else:
            with pytest.raises(WireError):
                DECODERS[form.name](packet.data)
    assert len(kinds) == 13


def test_packets_of_every_kind_neither_crash_nor_move_it() -> None:
    campaign = FuzzCampaign(3, lambda words: None)
    campaign.packets(6_000, None)
    assert campaign.faults == []


@pytest.fixture(scope="module")
def places():
    return settings(3)


def test_messages_of_every_kind_neither_crash_nor_move_it(places) -> None:
    findings = Findings()
    storms(places, 4_800, 3, findings)
    assert findings.wrong == []
    assert len(findings.sent) == 10
    assert {(s.state, s.leased) for s in places} == {
        (state, leased) for state in (State.REST, State.HOLD, State.RUNNING) for leased in (True, False)
    }


@pytest.mark.parametrize(
    ("where", "name", "broken", "words"),
    [
        (Lease, "held_by", lambda *_: True, "where a guardian that met none of it is in"),
        (ReplayWindow, "admit", lambda *_: "new", "where a guardian that met none of it is in"),
    ],
    ids=["without a lease", "without a replay window"],
)
def test_a_guardian_that_lets_strangers_in_is_found_out(places, where, name, broken, words) -> None:
    findings = Findings()
    with mock.patch.object(where, name, broken):
        storms(places[2:], 1_200, 1, findings)
    assert any(words in found for found in findings.wrong)


def test_a_robot_that_ignores_checksums_is_found_out() -> None:
    findings, sound = Findings(), go1_messages._checked
    with mock.patch.object(go1_messages, "_checked", lambda n, d, t, c: sound(n, d, t, "ignored")):
        command(320, GO1_COMMAND, 1, findings, 0)
    assert any("an unsound command moved the robot" in found for found in findings.wrong)


def test_a_guardian_that_believes_anything_is_found_out() -> None:
    campaign = FuzzCampaign(1, lambda words: None)
    with mock.patch.object(observation, "implausible", return_value=""):
        campaign.packets(12_000, None)
    assert any(found.startswith(GO1_STATE.name) for found in campaign.faults)


def test_growth_is_found_out() -> None:
    meter, kept = Meter(100), []
    for k in range(100):
        kept.append([bytes(8) for _ in range(200)])
        meter.at(k)
    meter.end()
    assert meter.grows
    assert meter.blocks > 10_000


@pytest.mark.parametrize(("said", "seen"), [(0.0, 0.0), (100.0, 100.0), (101.0, None), (255.0, None)])
def test_a_battery_that_is_more_than_full_says_nothing(said, seen) -> None:
    reading = SensorReading()
    state = RobotState(
        1, reading, np.zeros(12), np.zeros(12), np.zeros(12, np.uint8), np.zeros(4), Battery(said), bytes(40),
        (0, 0), 0.0, 0,
    )  # fmt: skip
    assert observation.observe(state).battery == pytest.approx(
        seen if seen is not None else float("nan"), nan_ok=True
    )


@pytest.mark.parametrize("text", PARAMETERS, ids=lambda text: f"{text[:12]!r} of {len(text)}")
def test_services_take_any_text_for_a_name_or_refuse_it(text) -> None:
    motion = MotionService("mcf")
    code, _ = motion.answer(MOTION_SWITCHER, RpcRequest(1, SELECT_MODE, text))
    assert isinstance(motion.name, str)
    assert code == OK or motion.name == "mcf"
    with contextlib.suppress(LinkError):
        assert isinstance(_name_in(text), str)
