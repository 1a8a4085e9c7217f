"""The guardian: its state table by enumeration, and its answers to random troubles in lock-step."""

from __future__ import annotations

from itertools import product

from safebo.experiments.robustness.guardian import scenes, trial
from safebo.hardware.guardian.states import (
    FAULTS,
    LATCHED,
    MOTION,
    REQUESTED,
    TABLE,
    GuardianEvent,
    Response,
    State,
)

CLEARING = {GuardianEvent.ACKNOWLEDGE, GuardianEvent.CLEAR}


def test_every_state_answers_every_event() -> None:
    for state, event in product(State, GuardianEvent):
        if event not in REQUESTED:
            assert isinstance(TABLE[state][event], State), (state, event)


def test_nothing_but_the_two_steps_leads_out_of_a_latch() -> None:
    for state in LATCHED:
        for event in set(GuardianEvent) - CLEARING:
            assert TABLE[state][event] in {None, *LATCHED}, (state, event)
        assert TABLE[state][GuardianEvent.ACKNOWLEDGE] in {
            None,
            State.HOLD_ACKNOWLEDGED,
            State.DAMP_ACKNOWLEDGED,
        }
        cleared = TABLE[state][GuardianEvent.CLEAR]
        if state in (State.HOLD_ACKNOWLEDGED, State.DAMP_ACKNOWLEDGED):
            assert cleared is not None
            assert cleared not in MOTION
        else:
            assert cleared is None


def test_faults_never_lower_the_severity() -> None:
    severity = {
        State.HOLD_LATCHED: Response.HOLD,
        State.SIT_LATCHED: Response.SIT,
        State.DAMP_LATCHED: Response.DAMP,
    }
    for state, (response, event) in product(State, FAULTS.items()):
        after = TABLE[state][event]
        assert after is not None
        if state is State.LYING_DOWN and response is Response.HOLD:
            assert after is State.SIT_LATCHED
        assert after in severity, (state, event)
        assert severity[after] >= response, (state, event)
        if state in severity:
            assert severity[after] >= severity[state], (state, event)


def test_motion_is_reached_only_by_request_from_a_state_that_is_not_latched() -> None:
    for state, event in product(State, GuardianEvent):
        after = TABLE[state][event]
        if after in MOTION and after is not state:
            assert event in {GuardianEvent.STAND, GuardianEvent.ARM, GuardianEvent.START}
            assert state not in LATCHED


def test_random_troubles_are_answered_in_the_tick_that_crosses_the_limit() -> None:
    scene = scenes(1)
    wrong = {k: trial(7_000 + k, scene) for k in range(24)}
    assert not {k: found for k, found in wrong.items() if found[1]}
