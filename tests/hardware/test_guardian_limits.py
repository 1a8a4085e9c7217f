"""Limits, lease and states one by one, against what docs/link.md promises to clients."""

from __future__ import annotations

import math
import re
from dataclasses import FrozenInstanceError
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from safebo.hardware.errors import HardwareInputError
from safebo.hardware.guardian.lease import Lease
from safebo.hardware.guardian.limits import LIMITS, NOTHING, QUANTITIES, Watch
from safebo.hardware.guardian.states import (
    FAULTS,
    MOTION,
    STANDING,
    TABLE,
    GuardianEvent,
    Response,
    State,
    _read_table,
)
from safebo.hardware.guardian.thresholds import RANGES, read_limits, with_thresholds

RATE = 500.0
PAGE = Path(__file__).parents[2] / "docs" / "link.md"


@cache
def table(name: str) -> list[list[str]]:
    """The rows of a table of the page."""
    found = re.search(
        rf"(?s)<!-- table {name} -->\n\n\|.*?\n\| ---.*?\n(.*?)\n\n", PAGE.read_text(encoding="utf-8")
    )
    assert found is not None, name
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in found[1].splitlines()]


@cache
def scopes() -> dict[str, set[State]]:
    """The scopes as the page lists them."""
    text = PAGE.read_text(encoding="utf-8")
    named = dict(re.findall(r"^- \*(\w+)\*: (.*)$", text, re.MULTILINE))
    given = {
        "always": set(State),
        "connected": set(State) - {State.DISCONNECTED},
    }
    return given | {
        name: {State[word] for word in words.split(", ")}
        for name, words in named.items()
        if name not in given
    }


ROWS = table("limits")


@pytest.mark.parametrize("row", ROWS, ids=[row[1] for row in ROWS])
def test_a_limit_answers_beyond_its_threshold_and_in_its_states_only(row: list[str]) -> None:
    number, name, beyond, how_long, response, scope, words, _ = row
    limit = next(limit for limit in LIMITS if limit.name == name)
    assert (limit.number, limit.message) == (int(number), words)
    side, threshold = beyond.split()[0], float(beyond.split()[1])
    step = -1e-6 if side == "below" else 1e-6
    ticks = 1 if how_long == "one tick" else round(float(how_long.split()[0]) * RATE)
    late = limit.quantity == "cycle"
    for state in State:
        watch = Watch((limit,), RATE)
        for value in (threshold, threshold - step, math.nan):  # on it, inside it, unknown
            watch.set(**{limit.quantity: value})
            assert all(watch.check(state, late) is NOTHING for _ in range(ticks + 1)), state
        watch.set(**{limit.quantity: threshold + step})
        found = [watch.check(state, late) for _ in range(ticks)]
        assert all(one is NOTHING for one in found[:-1]), state
        assert (found[-1] is limit) == (state in scopes()[scope]), state
        if found[-1] is limit:
            assert found[-1].response is Response[response]


def test_a_limit_must_be_crossed_without_interruption() -> None:
    limit = next(limit for limit in LIMITS if limit.name == "joint_range")
    watch = Watch((limit,), RATE)
    for value in (0.1,) * 9 + (0.0,) + (0.1,) * 9:
        watch.set(joint_excess=value)
        assert watch.check(State.RUNNING) is NOTHING
    assert watch.check(State.RUNNING) is limit
    assert watch.check(State.RUNNING) is limit  # and stays crossed


def test_of_several_limits_the_most_restrictive_wins_then_the_first_of_the_table() -> None:
    watch = Watch(LIMITS, RATE)
    watch.set(battery=10.0)
    watch.set(state_age=0.2)
    watch.set(body_rate=7.0)
    watch.set(tilt=0.6)
    assert watch.check(State.RUNNING).name == "tilt"
    watch.set(tilt=0.0)
    assert watch.check(State.RUNNING).name == "body_rate"
    watch.set(body_rate=0.0)
    assert watch.check(State.RUNNING).name == "state_age"
    watch.set(state_age=0.0)
    assert watch.check(State.RUNNING).name == "battery_low"  # for one tick only: not yet empty


def test_what_is_late_and_what_is_not_are_counted_apart() -> None:
    watch = Watch(LIMITS, RATE)
    watch.set(cycle=0.005)
    watch.set(tilt=0.6)
    for _ in range(4):
        assert watch.check(State.RUNNING, late=True) is NOTHING
        assert watch.check(State.RUNNING).name == "tilt"
    assert watch.check(State.RUNNING, late=True).name == "cycle"
    assert (NOTHING.number, NOTHING.response) == (0, Response.NONE)


def test_a_watch_knows_nothing_before_it_is_told() -> None:
    watch = Watch(LIMITS, RATE)
    assert np.isnan(watch.values).all()
    assert len(watch.values) == len(QUANTITIES)
    for state in State:
        assert watch.check(state) is NOTHING
        assert watch.check(state, late=True) is NOTHING


def test_a_laboratory_tightens_the_thresholds_it_names() -> None:
    changed = {limit.name: limit for limit in with_thresholds({"tilt": 0.4, "battery_low": 50})}
    assert changed["tilt"].threshold == 0.4
    assert changed["battery_low"].threshold == 50.0
    same = [limit for limit in LIMITS if limit.name not in ("tilt", "battery_low")]
    assert [changed[limit.name] for limit in same] == same
    body_rate = with_thresholds({"body_rate": 6})[1].threshold
    assert body_rate == 6.0
    assert isinstance(body_rate, float)


@pytest.mark.parametrize(
    "value",
    [True, "", "half", "0.4 deg", "0.4 m", "0.4rad/s", "1e999", 10**400, math.nan, math.inf, None, [0.4]],
)
def test_a_threshold_is_a_finite_number_of_the_limits_unit(value: object) -> None:
    with pytest.raises(HardwareInputError, match=r"limit tilt: expected a finite number of rad, got"):
        with_thresholds({"tilt": value})
    with pytest.raises(HardwareInputError, match="unknown limit 'tlit': known are tilt, body_rate"):
        with_thresholds({"tlit": 0.5})


@pytest.mark.parametrize("value", [0.4, "0.4", "0.4 rad", " 4e-1rad "])
def test_a_threshold_may_name_its_unit(value: object) -> None:
    assert with_thresholds({"tilt": value})[0].threshold == 0.4


@pytest.mark.parametrize("row", ROWS, ids=[row[1] for row in ROWS])
def test_a_threshold_is_only_tightened_unless_it_is_loosened_by_name(row: list[str]) -> None:
    """By what the page says may be set."""
    name, below, shipped = row[1], row[2].startswith("below"), float(row[2].split()[1])
    said = re.match(r"(\S+) \.\. (\S+).*, loosened (?:down|up) to (\S+)", row[7])
    beyond = -1e-6 if below else 1e-6
    if said is None:
        assert row[7] == "fixed"
        assert with_thresholds({name: shipped}) == LIMITS
        for value in (shipped + beyond, shipped - beyond, 9.0, -1.0, 0.0):
            for tightened, loosened in (({name: value}, {}), ({}, {name: value})):
                with pytest.raises(HardwareInputError, match=f"{name}.* cannot be changed or switched off"):
                    with_thresholds(tightened, loosened)
        return
    low, high, loosest = (float(word) for word in said.groups())
    tightest = high if below else low
    assert shipped == (low if below else high)

    def set_to(tightened: dict[str, float], loosened: dict[str, float]) -> float:
        return next(one.threshold for one in with_thresholds(tightened, loosened) if one.name == name)

    for value in (tightest, shipped, (low + high) / 2):
        assert set_to({name: value}, {}) == value
        with pytest.raises(HardwareInputError, match=f"--loosen {name}: .* use --tighten"):
            set_to({}, {name: value})
    for value in (loosest, (shipped + loosest) / 2):
        assert set_to({}, {name: value}) == value
        with pytest.raises(
            HardwareInputError, match=f"limit {name}: .* start with --loosen {name}={value:g}"
        ):
            set_to({name: value}, {})
    for value in (tightest - beyond, loosest + beyond, 1e6, -1e6):
        for tightened, loosened in (({name: value}, {}), ({}, {name: value})):
            with pytest.raises(HardwareInputError, match=f"limit {name}: .*: allowed are .* loosened"):
                set_to(tightened, loosened)
    with pytest.raises(HardwareInputError, match=f"limit {name}: both tightened and loosened"):
        set_to({name: tightest}, {name: loosest})


def test_every_stop_and_every_event_is_fixed() -> None:
    known = {
        "stop",
        "remote_stop",
        "reboot",
        "controller_failed",
        "foreign_commands",
        "other_robot",
        "serial_changed",
        "no_heat",
        "no_battery",
    }
    assert {limit.quantity for limit in LIMITS if limit.name not in RANGES} == known
    assert not {limit.name for limit in LIMITS if limit.quantity in known} & set(RANGES)


def test_what_is_said_twice_or_is_no_pair_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "limits.yaml"
    file.write_text("{tilt: 0.4 rad, height: 0.2}")
    limits = {
        limit.name: limit.threshold for limit in read_limits(file, ["battery_low=60 %"], ["cycle=0.006"])
    }
    assert [limits[name] for name in ("tilt", "height", "battery_low", "cycle")] == [0.4, 0.2, 60.0, 0.006]
    for option in ("tighten", "loosen"):
        for pairs, words in {
            ("tilt=0.3",): f"limit tilt: both in .*limits.yaml and as --{option}",
            ("cycle",): f"--{option} 'cycle': expected NAME=VALUE",
            ("cycle=",): "expected NAME=VALUE",
            ("cycle=0.002", "cycle=0.003"): f"--{option} cycle: given twice",
        }.items():
            with pytest.raises(HardwareInputError, match=words):
                read_limits(file, **{option: pairs})
    file.write_text("{stop_hold: 9, stop_sit: 9, stop_damp: 9, remote_stop: 9}")
    with pytest.raises(
        HardwareInputError, match=r"limits.yaml: limit stop_hold: 9 level: this limit is always 0.5"
    ):
        read_limits(file)


def test_a_limit_does_not_change_while_it_is_watched() -> None:
    with pytest.raises(FrozenInstanceError):
        LIMITS[0].threshold = 9.0  # type: ignore[misc]


def test_the_numbers_of_states_and_responses_are_those_of_the_link() -> None:
    assert {int(number): name for number, name, *_ in table("states")} == {s.value: s.name for s in State}
    assert len(State) == len(table("states"))
    text = PAGE.read_text(encoding="utf-8")
    assert re.search(r"Responses: (.*?)\.", text)[1] == ", ".join(f"{r.value} {r.name}" for r in Response)  # type: ignore[index]


def test_a_state_answers_every_event_as_the_page_says() -> None:
    for _, name, _, granted, itself in table("states"):
        state = State[name]
        told = dict(re.findall(r"(\w+) to (\w+)", f"{granted}; {itself}"))
        for event in GuardianEvent:
            after = TABLE[state][event]
            if event.name in told:
                assert after is State[told[event.name]], (state, event)
            else:
                assert after in (None, state), (state, event)
                assert (after is state) or event not in FAULTS.values(), (state, event)


def test_states_of_motion_are_those_that_need_somebody_alive() -> None:
    assert MOTION < STANDING
    assert {State.HOLD} == STANDING - MOTION
    assert State.LYING_DOWN not in STANDING


def test_a_table_of_states_without_a_cell_or_with_a_request_that_is_ignored_is_refused() -> None:
    whole = "-  " * len(GuardianEvent)
    header = " ".join(event.name for event in GuardianEvent)
    assert set(_read_table(f"{header}\nREST {whole}")[State.REST].values()) == {None}
    for row in (whole[3:], whole + "-"):
        with pytest.raises(ValueError, match="zip"):
            _read_table(f"{header}\nREST {row}")
    ignored = " ".join("." if event is GuardianEvent.CLEAR else "-" for event in GuardianEvent)
    with pytest.raises(ValueError, match="REST ignores the request CLEAR"):
        _read_table(f"{header}\nREST {ignored}")


def test_events_are_numbered_as_the_columns_of_the_table() -> None:
    assert [event.value for event in GuardianEvent] == list(range(len(GuardianEvent)))


# -- the lease -------------------------------------------------------------------------------------------


def test_a_lease_is_void_after_more_than_a_second_of_silence() -> None:
    lease = Lease()
    assert lease.acquire(10.0, 5, "me")
    assert not lease.expire(11.0)
    assert lease.held_by(5, 1)
    lease.beat(11.0, 5, 1)
    assert not lease.expire(12.0)
    assert lease.expire(12.0001)
    assert not lease.held_by(5, 1)
    assert not lease.expire(99.0)  # it happens once
    assert (lease.session, lease.name) == (0, "")


def test_a_lease_is_one_sessions_until_it_is_released() -> None:
    lease = Lease()
    assert not lease.held_by(0, 0)  # nobody holds the lease of nobody
    assert lease.silence(5.0) == math.inf
    assert lease.acquire(10.0, 5, "me")
    assert (lease.epoch, lease.name, lease.silence(10.25)) == (1, "me", 0.25)
    assert not lease.acquire(10.1, 6, "another")
    assert lease.acquire(10.5, 5, "me again")
    assert (lease.epoch, lease.silence(10.5)) == (1, 0.5)  # to ask again proves nothing
    assert not lease.held_by(6, 1)
    assert not lease.held_by(5, 0)
    lease.release()
    assert not lease.held_by(5, 1)
    assert lease.silence(10.6) == math.inf
    assert lease.acquire(11.0, 6, "another")
    assert lease.epoch == 2


@pytest.mark.parametrize(("session", "epoch"), [(6, 1), (5, 0), (5, 2), (0, 0)])
def test_only_the_holders_proof_of_life_counts(session: int, epoch: int) -> None:
    lease = Lease()
    lease.acquire(10.0, 5, "me")
    lease.beat(10.5, session, epoch)
    assert lease.silence(10.5) == 0.5
    assert Lease().epoch == 0
    assert Lease().alive == -math.inf
    empty = Lease()
    empty.beat(10.0, 0, 0)
    assert empty.alive == -math.inf
