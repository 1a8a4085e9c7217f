"""A run on a robot that dies anywhere: no trial is run twice, none is lost, and the ledger keeps its order."""

from __future__ import annotations

import io
import json
import re
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from robot_in_tests import WORLDS, World, shown
from supervised_runs import Killed, everything, killed_when, measured, statuses, steps, tune, world

from safebo.errors import JournalError, RunStoppedError, UnknownTrialError
from safebo.runs.manual import resolve_trial
from safebo.runs.operators import Account, ApprovesAll, NobodyThereError
from safebo.storage.journal import Journal
from safebo.storage.trial_log import KIND, JournalLedger
from safebo.types import Trial

__all__ = ["world"]  # the fixture


@pytest.mark.parametrize("state", ["ARMED", "RUNNING"])
def test_a_trial_that_may_have_moved_waits_for_a_person(tmp_path, world, state) -> None:
    with pytest.raises(Killed), killed_when(lambda kind, at: at == state, after_others=1, behind=True):
        tune(tmp_path, everything())
    assert steps(tmp_path, 2)[-1] == state
    for _ in range(2):
        with pytest.raises(
            UnknownTrialError, match=r"trial 2: asked, but how it ended is not known.*safebo resolve"
        ):
            tune(tmp_path, everything(), resume=True)
    assert statuses(tmp_path) == [("told", "completed"), ("unknown", "")]
    resolve_trial(tmp_path, 2, Account("failed"))
    tune(tmp_path, everything(), resume=True)
    assert statuses(tmp_path) == [("told", "completed"), ("told", "failed"), ("told", "completed")]
    assert [number for number, _ in world.motions] == [1, 3]


def test_a_trial_whose_raw_file_is_gone_waits_for_a_person(tmp_path, world) -> None:
    with pytest.raises(Killed), killed_when(lambda kind, at: at == "SCORED"):
        tune(tmp_path, everything())
    (tmp_path / "trajectories" / "trial-1.json").unlink()
    with pytest.raises(UnknownTrialError, match="trial 1"):
        tune(tmp_path, everything(), resume=True)
    with Journal.open(tmp_path, read_only=True) as journal:
        (event,) = [e for e in journal.events() if e.kind == "unknown"]
    assert event.text.startswith("it ended, and its raw file cannot be scored: ")
    assert len(world.motions) == 1


crashes = st.lists(st.tuples(st.integers(0, 24), st.booleans()), max_size=4)


@pytest.mark.slow
@settings(max_examples=8, deadline=None, derandomize=True)
@given(crashes)
def test_no_sequence_of_crashes_runs_a_trial_twice_or_loses_one(plan) -> None:
    world = WORLDS["it"] = World()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def go_on() -> None:
            try:
                tune(folder, everything(), resume=True, max_failures=99)
            except UnknownTrialError:
                with Journal.open(folder, read_only=True) as journal:
                    waiting = [r.trial.id for r in journal.records() if r.status == "unknown"]
                assert waiting
                for number in waiting:
                    resolve_trial(folder, number, Account("failed"))

        for row, behind in plan:
            try:
                with killed_when(lambda kind, state: True, after_others=row, behind=behind):
                    go_on()
            except Killed:
                continue
        for _ in range(3):
            go_on()
            if [status for status, _ in statuses(folder)] == ["told"] * 3:
                break

        assert [status for status, _ in statuses(folder)] == ["told"] * 3
        ran = [number for number, _ in world.motions]
        assert len(set(ran)) == len(ran)
        for number in (1, 2, 3):
            line = "".join(f"{state} " for state in steps(folder, number))
            assert re.fullmatch("(APPROVED )+(ARMED (RUNNING (ENDED (SCORED )?(ACCEPTED )?)?)?)?", line), line
            seen = measured(folder, number)
            if "ENDED" not in line:
                assert (seen.outcome, seen.message) == ("failed", "resolved by a person as failed")
            else:
                raw = shown(dict(world.motions)[number])
                assert (seen.objective, dict(seen.margins)) == (raw.objective, raw.margins)
        with Journal.open(folder, read_only=True) as journal:
            for record in journal.records():
                gains = [g for number, g in world.motions if number == record.trial.id]
                assert gains in ([], [record.trial.parameters])


@pytest.fixture
def ledger(tmp_path, world) -> JournalLedger:
    with pytest.raises(RunStoppedError):
        tune(tmp_path, StopsAtOnce(Console(file=io.StringIO())))
    return JournalLedger(tmp_path)


class StopsAtOnce(ApprovesAll):
    def approve(self, trial: Trial, study: Any, before: Any, nearest: Any) -> Any:
        raise NobodyThereError("gone")


FOLLOWS = {
    "": set(),
    "APPROVED": {"ARMED"},
    "ARMED": {"REFUSED", "RUNNING"},
    "RUNNING": {"ENDED", "REFUSED"},
    "ENDED": {"SCORED"},
    "SCORED": set(),
    "REFUSED": set(),
}


@pytest.mark.parametrize("before", list(FOLLOWS))
def test_the_robots_side_takes_one_step_after_the_other(tmp_path, ledger, before) -> None:
    for state in ("ARMED", "REFUSED", "RUNNING", "ENDED", "SCORED"):
        if before:
            with Journal.open(tmp_path) as journal:
                journal.note(KIND, "", 1, {"state": before})
        if state in FOLLOWS[before]:
            ledger.commit(1, state, "words", file="a")
            assert ledger.last(1)[0] == state
            assert dict(ledger.last(1)[1]) == {"state": state, "file": "a"}
        else:
            with pytest.raises(
                JournalError, match=f"trial 1 is {before or 'not approved'}: it cannot be {state} now"
            ):
                ledger.commit(1, state)
            assert ledger.last(1)[0] == before


def test_what_was_done_is_offered_again_to_a_locked_journal_and_what_was_not_is_not_done(
    tmp_path, ledger, monkeypatch
) -> None:
    clock, note = [0.0], Journal.note
    times = SimpleNamespace(monotonic=lambda: clock[0], sleep=lambda s: clock.__setitem__(0, clock[0] + s))
    monkeypatch.setattr("safebo.storage.trial_log.time", times)

    def locked_until(end: float) -> None:
        def write(self: Journal, *arguments: Any, **keywords: Any) -> None:
            if clock[0] < end:
                raise JournalError("another program keeps it locked")
            note(self, *arguments, **keywords)

        monkeypatch.setattr(Journal, "note", write)

    with Journal.open(tmp_path) as journal:
        journal.note(KIND, "", 1, {"state": "APPROVED"})
        ledger.commit(1, "ARMED")
        locked_until(20.0)
        with pytest.raises(JournalError, match="locked"):
            ledger.commit(1, "RUNNING")
        assert clock[0] == 0.0
        note(journal, KIND, "", 1, {"state": "RUNNING"})
        ledger.commit(1, "ENDED")
        assert 20.0 <= clock[0] < 21.0
        locked_until(clock[0] + 40.0)
        with pytest.raises(JournalError, match="locked"):
            ledger.commit(1, "SCORED")
        assert clock[0] >= 50.0
    assert json.dumps(steps(tmp_path)) == '["APPROVED", "ARMED", "RUNNING", "ENDED"]'
