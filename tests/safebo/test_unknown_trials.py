"""A trial of which nobody knows how it ended: what a person may say of it, where, and what that does to its gains."""

from __future__ import annotations

from pathlib import Path

import pytest
from robot_in_tests import WORLDS, World, shown
from supervised_runs import (
    WHOLE,
    Killed,
    Person,
    everything,
    in_order,
    killed_when,
    measured,
    statuses,
    steps,
    tune,
)

from safebo.cli.main import main
from safebo.errors import InputError, InterruptedRunError, UnknownTrialError, UnsafeSeedError
from safebo.runs.manual import resolve_trial
from safebo.runs.operators import Account
from safebo.runs.verdicts import accounted
from safebo.storage.journal import Journal
from safebo.study.reading import parse_study
from safebo.tuner.tuner import Tuner
from safebo.types import Measurement, Trial

ROBOT = """\
name: two-margins
evaluator: {name: "robot_in_tests:Robot", options: {world: it}}
parameters:
  - {name: p, unit: N, bounds: [0, 10]}
  - {name: d, unit: s, bounds: [0, 10]}
objective: {name: speed, unit: m/s, prior_std: 9}
constraints:
  - {name: lowest, quantity: height, unit: m, prior_mean: 0.5, prior_std: 2}
  - {name: error, unit: rad^2, warp: {kind: log, upper: 0.1, scale: 0.1, clip: 4}, prior_std: 1.5}
seeds:
  - parameters: {p: 2, d: 1}
trials: 9
"""


@pytest.fixture
def world() -> World:
    WORLDS["it"] = World()
    return WORLDS["it"]


def safebo(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return int(ended.value.code or 0)


def lost(folder: Path, trial: int = 2, state: str = "RUNNING") -> None:
    """A run whose process was killed in a trial, resumed once."""
    with pytest.raises(Killed), killed_when(lambda kind, at: at == state, trial - 1, behind=True):
        tune(folder, everything())
    with pytest.raises(UnknownTrialError, match=f"safebo resolve {folder} {trial} --as WORD"):
        tune(folder, everything(), resume=True)


@pytest.mark.parametrize(
    ("answer", "outcome", "fell", "message"),
    [
        ("fell", "aborted", True, "unsafe, says the operator: it lies there"),
        ("unsafe", "aborted", False, "unsafe, says the operator: it lies there"),
        ("failed", "failed", False, "resolved by a person as failed: it lies there"),
    ],
)
@pytest.mark.parametrize("where", ["terminal", "command"])
def test_a_person_says_what_became_of_it(
    tmp_path, world, monkeypatch, answer, outcome, fell, message, where
) -> None:
    lost(tmp_path)
    if where == "terminal":
        said = in_order("return", "?", answer, "it lies there", "yes", "accept")
        person = Person(monkeypatch, said)
        tune(tmp_path, person.operator, resume=True)
        assert person.questions[0] == "What became of it? (fell / unsafe / failed / later / ?)"
        assert (
            "Trial 2 (local, context default) was begun, and how it ended is not known: the run" in person.saw
        )
        assert "these gains and those near them are not certified" in person.saw
    else:
        assert safebo("resolve", str(tmp_path), "2", "--as", answer, "--words", "it lies there") == 0
        tune(tmp_path, everything(), resume=True)
    assert [number for number, _ in world.motions] == [1, 3]
    seen = measured(tmp_path, 2)
    assert (seen.outcome, seen.fell, seen.message) == (outcome, fell, message)
    assert dict(seen.margins) == ({} if answer == "failed" else {"height": -1.0})
    with Journal.open(tmp_path, read_only=True) as journal:
        (event,) = [e for e in journal.events() if e.kind == "resolved"]
    assert event.data == {"as": answer, "words": "it lies there"}


@pytest.mark.parametrize("answers", [("later",), (None,)])
def test_without_an_answer_it_goes_on_waiting(tmp_path, world, monkeypatch, answers) -> None:
    lost(tmp_path)
    with pytest.raises(UnknownTrialError, match="trial 2: asked, but how it ended is not known"):
        tune(tmp_path, Person(monkeypatch, in_order(*answers)).operator, resume=True)
    assert statuses(tmp_path)[1] == ("unknown", "")
    assert len(world.motions) == 1


def test_an_interrupted_answer_says_nothing(tmp_path, world, monkeypatch) -> None:
    def press(question: str) -> str:
        raise KeyboardInterrupt

    lost(tmp_path)
    with pytest.raises(InterruptedRunError, match="how trial 2 ended is still not known"):
        tune(tmp_path, Person(monkeypatch, press).operator, resume=True)
    assert statuses(tmp_path)[1] == ("unknown", "")


def test_completed_is_said_only_where_its_raw_file_says_it(tmp_path, world, monkeypatch) -> None:
    lost(tmp_path)
    with pytest.raises(
        InputError, match=r"no raw file of its whole walk was kept \(its last step is RUNNING"
    ):
        resolve_trial(tmp_path, 2, Account("completed"))
    assert statuses(tmp_path)[1] == ("unknown", "")


@pytest.mark.parametrize("where", ["terminal", "command"])
def test_a_raw_file_that_is_back_is_scored_and_judged(tmp_path, world, monkeypatch, where) -> None:
    with pytest.raises(Killed), killed_when(lambda kind, at: at == "SCORED", 1):
        tune(tmp_path, everything())
    file = tmp_path / "trajectories" / "trial-2.json"
    file.rename(tmp_path / "aside")
    with pytest.raises(UnknownTrialError):
        tune(tmp_path, everything(), resume=True)
    if where == "terminal":  # it is still gone, and then found
        answers = ["completed", "completed", "unsafe", "it shook", "yes", "accept"]

        def say(question: str) -> str:
            if len(answers) == 5:
                (tmp_path / "aside").rename(file)
            return answers.pop(0)

        person = Person(monkeypatch, say)
        tune(tmp_path, person.operator, resume=True)
        assert person.questions[0] == "What became of it? (fell / unsafe / failed / completed / later / ?)"
        assert "not known: it ended, and its raw file cannot be scored: " in person.saw
    else:
        (tmp_path / "aside").rename(file)
        assert safebo("resolve", str(tmp_path), "2", "--as", "completed") == 0
        said = in_order("unsafe", "it shook", "yes", "accept")
        tune(tmp_path, Person(monkeypatch, said).operator, resume=True)
    assert [number for number, _ in world.motions] == [1, 2, 3]
    assert steps(tmp_path, 2) == [*[s for s in WHOLE if s != "SCORED"], "UNSAFE"]
    seen, raw = measured(tmp_path, 2), shown(world.motions[1][1])
    assert (seen.outcome, seen.margins["height"]) == ("aborted", -raw.margins["height"])


def test_the_commands_of_resolve_are_checked(tmp_path, world, capsys) -> None:
    assert safebo("resolve", str(tmp_path), "2") == 2
    assert (
        "say either --as fell, unsafe, failed or completed, or --measurement FILE" in capsys.readouterr().err
    )
    assert safebo("resolve", str(tmp_path), "2", "--measurement", "seen.yaml", "--words", "no") == 2
    assert "--words goes with --as" in capsys.readouterr().err


def test_an_unsafe_seed_ends_its_run(tmp_path, world) -> None:
    lost(tmp_path, trial=1)
    resolve_trial(tmp_path, 1, Account("fell"))
    with pytest.raises(UnsafeSeedError, match=r"trial 1 measured height = -1 .*the robot fell"):
        tune(tmp_path, everything(), resume=True)


SHOWN = {"height": 1.5, "error": 0.06}


def asked(records: list[tuple[Trial, Measurement | None]]) -> Trial:
    tuner = Tuner(parse_study(ROBOT).study, 0)
    tuner.restore(records)
    return tuner.ask()


@pytest.mark.parametrize("answer", ["fell", "unsafe", "failed"])
def test_gains_that_were_unsafe_are_neither_certified_nor_proposed_again(answer) -> None:
    """And those of a trial that says nothing may be both."""
    study = parse_study(ROBOT).study
    seed = asked([])
    records: list[tuple[Trial, Measurement | None]] = [(seed, Measurement("completed", 0.0, SHOWN))]
    trial = asked(records)
    assert trial.certified
    seen = accounted(trial, study, Account(answer))
    tuner = Tuner(study, 0)
    tuner.restore([*records, (trial, seen)])
    near = {"p": trial.parameters["p"], "d": trial.parameters["d"] + 0.1}
    again = tuner.ask().parameters
    if answer == "failed":
        assert tuner.certify(trial.parameters, "default").certified
        assert tuner.certify(near, "default").certified
    else:
        assert not tuner.certify(trial.parameters, "default").certified
        assert not tuner.certify(near, "default").certified
        assert tuner.certify(seed.parameters, "default").certified
        distance = sum((again[name] - value) ** 2 for name, value in trial.parameters.items()) ** 0.5
        assert distance > 0.1


def test_margins_that_nobody_measured_are_a_standard_deviation_below_their_limits() -> None:
    """On the scale on which each is modelled, whatever its unit."""
    study = parse_study(ROBOT).study
    seen = accounted(asked([]), study, Account("unsafe", "it slid"))
    assert seen.margins["height"] == -2.0
    assert seen.margins["error"] == pytest.approx(0.1 - 0.1 * 2.718281828459045**1.5)
