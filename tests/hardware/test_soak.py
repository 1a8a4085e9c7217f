"""A few trials of the soak; and that it misses no guardian that was made to ignore something."""

from functools import partial
from typing import Any
from unittest import mock

import numpy as np
import pytest

from safebo.experiments.robustness.guardian_troubles import ANYWHERE
from safebo.experiments.robustness.guardian_world import World
from safebo.experiments.robustness.soak import Soak
from safebo.experiments.robustness.soak_troubles import RISING, STANDING, TUNER_SILENCE, _edited
from safebo.experiments.robustness.soak_world import Promise
from safebo.hardware.guardian import states
from safebo.hardware.guardian.states import GuardianEvent, Response, State
from safebo.hardware.link.messages import GetGains
from safebo.hardware.link.proxy import Faults

pytestmark = pytest.mark.slow

TILT = _edited("tilt", ANYWHERE["tilt"])


@pytest.fixture
def soak(tmp_path):
    made = []

    def make(*makers) -> Soak:
        made.append(Soak(tmp_path, 4, list(makers)))
        return made[0]

    yield make
    made[0].run.close()


def ignore(soak: Soak, *names: str) -> None:
    """Make the guardian deaf to some limits."""
    watch = soak.world.guardian.watch
    for number, limit in enumerate(watch.limits):
        if limit.name in names:
            watch._threshold[number] = np.inf


def test_trials_go_on_after_troubles(soak) -> None:
    made = soak((State.HOLD, TILT), (State.RUNNING, TUNER_SILENCE))
    for _ in range(4):
        made.cycle()
    assert made.missed == []
    assert made.alarms == []
    assert sum(made.met.values()) == 3
    assert set(made.met) == {"tilt, HOLD", "tuner silence, RUNNING"}
    assert sum(made.latches.values()) == 3
    assert made.outcomes["completed"] >= 1
    assert (
        made.world.guardian.latch.number == 3 + made.met["tuner silence, RUNNING"]
    )  # baseline, then the way down


def test_a_guardian_that_ignores_tilt_is_found_out_by_promise_and_by_overseer(soak) -> None:
    made = soak((State.HOLD, TILT))
    ignore(made, "tilt")
    made.cycle()
    assert any(words.startswith("tilt in HOLD: DAMP within") for words in made.missed)
    assert any("stiffness with a tilt of" in words for words in made.missed)


def test_a_guardian_that_waits_for_a_silent_tuner_is_found_out(soak) -> None:
    made = soak((State.HOLD, TUNER_SILENCE))
    ignore(made, "tuner_silence")
    made.cycle()
    assert any("HOLD within 200 ms, found HOLD" in words for words in made.missed)
    assert not any("SIT within" in words for words in made.missed)


def test_a_latch_that_lets_motion_through_is_found_out(soak) -> None:
    made = soak((State.HOLD, TILT))
    open_row = {**states.TABLE[State.DAMP_LATCHED], GuardianEvent.STAND: State.STANDING_UP}
    with mock.patch.dict(states.TABLE, {State.DAMP_LATCHED: open_row}):
        made.cycle()
    assert any("STANDING_UP" in words for words in made.missed)


def test_a_trial_that_is_refused_before_its_trouble_is_an_alarm(soak) -> None:
    made = soak((State.RUNNING, TUNER_SILENCE))
    made.run.run = partial(made.run.run, approved=False)
    made.cycle()
    assert [words for words in made.alarms if "nothing was wrong: these gains were not approved" in words]


def test_promises_are_those_of_the_published_limits() -> None:
    rng = np.random.default_rng(0)
    no_world: Any = None  # promises do not depend on it
    for maker in (*STANDING, *RISING):
        trouble = maker(rng, no_world)
        assert all(promise.within <= 500 for promise in trouble.promises), trouble.name
    assert TUNER_SILENCE(rng, no_world).promises == (Promise(Response.HOLD, 100), Promise(Response.SIT, 500))
    silences = [t for t in (m(rng, no_world) for m in STANDING) if t.name == "wire: silence"]
    assert silences[0].promises == (Promise(Response.HOLD, 51), Promise(Response.SIT, 251))


def test_requests_that_overtake_heartbeats_do_not_silence_the_tuner() -> None:
    network = Faults(delay=0.001, jitter=0.004, drop=0.01, reorder=0.02)
    world = World(1, network, network)
    client = world.client()
    world.standing(client)
    silences, tick = [], world.tick

    def timed():
        command = tick()
        silences.append(world.guardian.lease.silence(world.now))
        return command

    world.tick = timed  # type: ignore[method-assign]
    for _ in range(5):
        client.ask_all([GetGains(slot=65535) for _ in range(200)])
    assert world.service.link.refused["late"] > 200
    assert max(silences) < 0.06  # three heartbeats; 0.15 s are silence
    assert world.state is State.HOLD
