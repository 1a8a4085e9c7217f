"""Scenarios of which every trial walks all: the study, the aggregation, the gate, the run and what people see."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import loaded_carts
import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from in_process import in_process

from safebo.errors import (
    EvaluatorOptionError,
    InputError,
    MeasurementError,
    StudyError,
    UnknownTrialError,
    UnsafeSeedError,
)
from safebo.evaluators.early_end import early_end
from safebo.evaluators.gate import checked_measurement, evaluate_safely
from safebo.evaluators.scenarios import combined, parts_of
from safebo.evaluators.seeds import refuse_seed
from safebo.evaluators.source import EvaluatorSource
from safebo.experiments.robustness.killed_runs import comparable
from safebo.report import build_report
from safebo.report.scenarios import scenario_rows
from safebo.runs.manual import resolve_trial, tell_trial
from safebo.runs.prior_run import read_prior
from safebo.runs.runner import run
from safebo.storage.journal import Journal
from safebo.study import Study
from safebo.study.aggregation import aggregated
from safebo.study.reading import check_study, parse_study
from safebo.tuner import Tuner
from safebo.types import Measurement, Trial

HERE = Path(__file__).parent
NAMES = ("nominal", "loaded", "slippery")


def data(**changes: Any) -> dict[str, Any]:
    """The cart's study; a mapping in `changes` is merged one level deep."""
    found = deepcopy(loaded_carts.STUDY)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(found.get(key), dict)
        found[key] = {**found[key], **value} if both else value
    return found


def dumped(document: dict[str, Any]) -> str:
    return yaml.safe_dump(document, sort_keys=False)


def study(**changes: Any) -> Study:
    return Study.model_validate(data(**changes))


def problems(**changes: Any) -> str:
    with pytest.raises(StudyError) as error:
        check_study(study(**changes))
    return str(error.value)


def trial(number: int = 2, phase: Any = "local", **parameters: float) -> Trial:
    gains = {"p": 4.0, "d": 1.5, **parameters}
    return Trial(number, gains, {}, "default", phase, 7, True, scenarios=NAMES)


def tune(folder: Path, **changes: Any) -> Any:
    """A run on threads of this process."""
    how = {name: changes.pop(name) for name in ("workers", "resume") if name in changes}
    text = dumped(data(**changes))
    with ThreadPoolExecutor(2) as executor:
        return run(parse_study(text, HERE / "cart.yaml"), folder, seed=3, executor=executor, **how)


def recorded(folder: Path) -> list[Any]:
    with Journal.open(folder, read_only=True) as journal:
        return [comparable(record) for record in journal.records()]


# -- aggregation -----------------------------------------------------------------------------------------


def quantile_form(values: list[float], a: float) -> float:
    """CVaR of equally likely values by its variational form (Rockafellar and Uryasev), the tail in whole values."""
    tail = math.ceil(round((1 - a) * len(values), 9)) / len(values)
    return max(t - sum(max(0.0, t - y) for y in values) / (len(values) * tail) for t in values)


@given(
    st.lists(st.floats(-100, 100), min_size=1, max_size=9), st.sampled_from([0.1, 0.25, 0.5, 0.7, 0.75, 0.9])
)
def test_aggregations_agree_with_their_definitions(values: list[float], a: float) -> None:
    assert aggregated("worst", values) == min(values)
    assert aggregated("mean", values) == pytest.approx(np.mean(values), abs=1e-9)
    assert aggregated(f"cvar({a})", values) == pytest.approx(quantile_form(values, a), abs=1e-9)


@given(
    st.lists(st.tuples(st.floats(-100, 100), st.floats(0, 50)), min_size=1, max_size=8),
    st.sampled_from(["worst", "mean", "cvar(0.5)", "cvar(0.75)"]),
)
def test_aggregations_rise_with_every_value(pairs: list[tuple[float, float]], rule: str) -> None:
    """So that lower bounds become a lower bound, and upper bounds an upper one."""
    lower, upper = [low for low, _ in pairs], [low + width for low, width in pairs]
    assert aggregated(rule, lower) <= aggregated(rule, upper)
    assert aggregated("worst", lower) <= aggregated(rule, lower) + 1e-12


def test_a_share_that_is_a_whole_number_of_scenarios_is_that_many() -> None:
    values = [float(i) for i in range(10)]
    assert aggregated("cvar(0.7)", values) == 1.0  # three of ten, although (1 - 0.7) * 10 > 3 in floats
    assert aggregated("cvar(0.75)", values[:8]) == 0.5


# -- the study -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", ["best", "cvar", "cvar(1)", "cvar(0)", "cvar(1.5)", "CVaR(0.5)"])
def test_another_aggregation_is_refused_with_what_is_allowed(rule: str) -> None:
    text = dumped(data(scenarios={"margins": rule}))
    with pytest.raises(StudyError, match=r"must be worst, mean or cvar\(a\) with a between 0 and 1"):
        parse_study(text)


def test_what_means_nothing_beside_scenarios_is_refused_in_a_sentence() -> None:
    assert "margins are extrapolated from stride to stride of one walk" in problems(horizon=60.0)
    assert "no one operating time is the trial's" in problems(surrogate={"time": {"memory": 600.0}})
    assert "watches global trials" in problems(tuner={"method": "gosafeopt"})
    assert "every trial walks them all" in problems(scenarios={"features": {"mass": {"otherwise": 0.0}}})
    assert "letters, digits, - and _" in problems(scenarios={"values": {"two kg": {}, "nominal": {}}})


def test_local_trials_end_early_only_where_one_scenario_decides() -> None:
    assert early_end(trial(), study()) is not None
    for rule in ("mean", "cvar(0.5)"):
        assert early_end(trial(), study(scenarios={"margins": rule})) is None


# -- evaluators ------------------------------------------------------------------------------------------


def test_evaluators_that_do_not_know_scenarios_are_refused() -> None:
    with pytest.raises(EvaluatorOptionError, match="does not know scenarios") as error:
        EvaluatorSource(study(evaluator={"name": "loaded_carts:knows_none"})).make()
    assert error.value.key == "scenarios"
    program = {"name": "subprocess", "options": {"command": ["true"]}}
    with pytest.raises(EvaluatorOptionError, match="does not know scenarios"):
        EvaluatorSource(study(evaluator=program)).make()
    program["options"] = {"command": ["true"], "scenarios": True}
    EvaluatorSource(study(evaluator=program)).make()


def test_conditions_are_checked_by_the_evaluator_before_the_run(tmp_path: Path) -> None:
    values = {"nominal": {}, "wet": {"slip": 0.2, "rain": 1}}
    with pytest.raises(
        StudyError, match=r"scenarios.values.wet: unknown condition 'rain': known are mass, slip"
    ) as e:
        tune(tmp_path / "run", scenarios={"values": values})
    assert re.search(r"cart.yaml:\d+: scenarios.values.wet", str(e.value))
    assert not (tmp_path / "run").exists()


def test_every_scenario_is_one_call_with_its_own_seed_and_conditions() -> None:
    calls: list[tuple[str, Any, int]] = []

    def walk(parameters: Any, context: Any, seed: int, scenario: str, conditions: Any) -> Any:
        calls.append((scenario, conditions, seed))
        return loaded_carts.measured(parameters, conditions, seed)

    from safebo.evaluators.source import FunctionEvaluator

    found = evaluate_safely(FunctionEvaluator(walk, study(), {}), trial(), None, study())
    assert [(name, conditions) for name, conditions, _ in calls] == list(
        loaded_carts.STUDY["scenarios"]["values"].items()
    )
    seeds = [seed for *_, seed in calls]
    assert len({7, *seeds}) == 4
    assert [part.seed for part in parts_of(trial(), study())] == seeds  # a function of trial and name
    assert found.duration == 6.0
    walks = [loaded_carts.measured(trial().parameters, conditions, seed) for _, conditions, seed in calls]
    assert found.objective == min(walk["objective"] for walk in walks)
    assert found.margins == {name: min(walk["margins"][name] for walk in walks) for name in ("grip", "tilt")}
    assert found.scenarios["loaded"].margins == walks[1]["margins"]


# -- one measurement of several --------------------------------------------------------------------------


def walk(objective: float | None = 1.0, grip: float = 0.5, tilt: float = 0.5, **more: Any) -> Measurement:
    outcome = more.pop("outcome", "completed")
    return Measurement(outcome, objective, {"grip": grip, "tilt": tilt}, **more)


def test_margins_and_objective_are_aggregated_as_the_study_says() -> None:
    walks = {"nominal": walk(3.0, 0.9), "loaded": walk(1.0, 0.1), "slippery": walk(2.0, 0.5)}
    found = combined(walks, study())
    assert (found.outcome, found.objective, found.margins["grip"]) == ("completed", 1.0, 0.1)
    mixed = study(scenarios={"objective": "cvar(0.5)", "margins": "mean"})
    found = combined(walks, mixed)
    assert (found.objective, found.margins["grip"]) == (1.5, pytest.approx(0.5))
    assert checked_measurement(found, mixed) == found


def test_a_fall_in_one_scenario_is_the_trials_and_is_named() -> None:
    fallen = walk(None, -0.4, outcome="aborted", fell=True, message="toppled")
    found = combined({"nominal": walk(), "loaded": fallen, "slippery": walk(grip=0.2)}, study())
    assert (found.outcome, found.fell, found.objective) == ("aborted", True, None)
    assert found.margins == {"grip": -0.4, "tilt": 0.5}
    assert found.message == "scenario loaded aborted: FELL, toppled"
    with pytest.raises(
        UnsafeSeedError, match=r"grip = -0.4 in scenario loaded \(scenario loaded aborted: FELL"
    ):
        refuse_seed(trial(1, "seed"), found, study())


def test_a_failed_scenario_fails_the_trial_unless_another_was_unsafe() -> None:
    broken = Measurement("failed", message="no sensor")
    found = combined({"nominal": walk(), "loaded": broken, "slippery": walk()}, study())
    assert (found.outcome, found.margins, found.objective) == ("failed", {}, None)
    assert found.message == "scenario loaded failed: no sensor"
    unsafe = {"nominal": walk(), "loaded": broken, "slippery": walk(grip=-0.1)}
    assert combined(unsafe, study()).outcome == "aborted"
    assert combined(unsafe, study()).margins["grip"] == -0.1
    assert combined(unsafe, study(scenarios={"margins": "mean"})).outcome == "failed"


def test_a_scenario_that_ended_early_says_less_of_the_objective_and_of_margins_that_held() -> None:
    ended = {"nominal": walk(), "loaded": walk(grip=-0.1, ended="unsafe"), "slippery": walk()}
    found = combined(ended, study())
    assert (found.outcome, found.ended) == ("completed", "unsafe")
    tuner = Tuner(study())
    asked = tuner.ask()
    tuner.tell(asked, {"scenarios": {name: walk() for name in NAMES}})
    later = tuner.ask()
    tuner.tell(later, found)
    row = tuner.encoding.observations(tuner.history)[-1]
    assert row.values[1] is not None
    assert row.values[2] is None
    assert row.noise[0] > 0


def test_the_gate_takes_scenarios_alone_and_names_what_is_wrong() -> None:
    good = {name: {"objective": 1.0, "margins": {"grip": 0.1, "tilt": 0.2}} for name in NAMES}
    found = checked_measurement({"objective": 99.0, "scenarios": good}, study())
    assert (found.objective, found.margins["tilt"]) == (
        1.0,
        0.2,
    )  # what does not follow from them does not count
    for wrong, why in (
        ({"objective": 1.0, "margins": {"grip": 0.1, "tilt": 0.2}}, "scenarios is missing"),
        ({"scenarios": {"nominal": good["nominal"]}}, "scenario loaded, slippery is missing"),
        ({"scenarios": {**good, "lodaed": {}}}, "unknown scenario 'lodaed'; did you mean 'loaded'"),
        ({"scenarios": {**good, "loaded": {"objective": 1.0}}}, "scenario loaded: margin 'grip' is missing"),
        ({"scenarios": {**good, "loaded": 5}}, "scenario loaded: the evaluator returned int"),
    ):
        with pytest.raises(MeasurementError, match=re.escape(why)):
            checked_measurement(wrong, study())
    assert checked_measurement({"outcome": "failed", "message": "x"}, study()).outcome == "failed"
    plain = Study.model_validate({k: v for k, v in loaded_carts.STUDY.items() if k != "scenarios"})
    alone = {"objective": 1.0, "margins": {"grip": 0.1, "tilt": 0.2}, "scenarios": good}
    assert checked_measurement(alone, plain).scenarios == {}


# -- the tuner -------------------------------------------------------------------------------------------


def drive(tuner: Tuner, trials: int) -> list[Trial]:
    asked = []
    for _ in range(trials):
        asked.append(tuner.ask())
        parts = parts_of(asked[-1], tuner.study)
        walks = {
            part.scenario.name: loaded_carts.measured(part.parameters, part.scenario.conditions, part.seed)
            for part in parts
            if part.scenario is not None
        }
        tuner.tell(asked[-1], {"scenarios": walks})
    return asked


def test_the_tuner_stays_safe_in_every_scenario_and_reaches_the_best_worst_case() -> None:
    tuner = Tuner(study())
    asked = drive(tuner, 16)
    conditions = list(loaded_carts.STUDY["scenarios"]["values"].values())
    for one in asked:
        assert one.scenarios == NAMES
        for each in conditions:
            assert min(loaded_carts.truth(one.parameters, each)[1:]) >= 0
    best = tuner.best()
    assert best is not None
    reached = min(loaded_carts.truth(best.parameters, each)[0] for each in conditions)
    grid = []
    for p, d in product(np.linspace(0, 10, 41), np.linspace(0, 4, 41)):
        shown = [loaded_carts.truth({"p": p, "d": d}, each) for each in conditions]
        if min(min(margins) for _, *margins in shown) >= 0:
            grid.append(min(speed for speed, *_ in shown))
    seed = min(loaded_carts.truth({"p": 4.0, "d": 1.5}, each)[0] for each in conditions)
    assert reached >= seed + 0.85 * (max(grid) - seed)


def test_a_manual_trial_tells_its_scenarios_and_restoring_asks_the_same() -> None:
    tuner = Tuner(study())
    drive(tuner, 2)
    walks = {name: loaded_carts.measured({"p": 4.5, "d": 1.6}, {}, 1) for name in NAMES}
    manual = tuner.tell_manual({"p": 4.5, "d": 1.6}, "default", {"scenarios": walks})
    assert manual.scenarios == NAMES
    again = Tuner(study())
    again.restore([(r.trial, r.measurement) for r in tuner.history])
    assert again.ask() == tuner.ask()


# -- the run ---------------------------------------------------------------------------------------------


def test_a_run_keeps_every_scenario_and_resumes_bit_for_bit(tmp_path: Path) -> None:
    tune(tmp_path / "whole")
    whole = recorded(tmp_path / "whole")
    tune(tmp_path / "cut", trials=3)
    # A run's total may change on resume.
    with Journal.open(tmp_path / "cut") as journal:
        journal.set_trials(6)
    text = dumped(data(trials=3))
    with ThreadPoolExecutor(2) as executor:
        run(parse_study(text, HERE / "cart.yaml"), tmp_path / "cut", resume=True, executor=executor)
    assert recorded(tmp_path / "cut") == whole
    with Journal.open(tmp_path / "whole", read_only=True) as journal:
        for record in journal.records():
            assert record.measurement is not None
            assert tuple(record.measurement.scenarios) == record.trial.scenarios == NAMES
            assert checked_measurement(record.measurement, journal.run.study) == record.measurement


def test_how_many_workers_walk_the_scenarios_changes_nothing(tmp_path: Path) -> None:
    tune(tmp_path / "one", trials=4)
    tune(tmp_path / "two", trials=4, workers=2)
    assert recorded(tmp_path / "one") == recorded(tmp_path / "two")


def test_a_seed_that_is_unsafe_in_one_scenario_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(UnsafeSeedError, match=r"grip = -0\.4 in scenario loaded"):
        tune(tmp_path / "run", evaluator={"name": "loaded_carts:falls_loaded"})


def test_a_scenario_that_raises_fails_the_trial_and_the_run_goes_on(tmp_path: Path) -> None:
    tune(tmp_path / "run", evaluator={"name": "loaded_carts:raises_slippery"}, trials=3)
    with Journal.open(tmp_path / "run", read_only=True) as journal:
        *_, last = journal.records()
    assert last.measurement is not None
    assert last.measurement.outcome == "failed"
    assert last.measurement.message.startswith("scenario slippery failed: its evaluator raised RuntimeError")
    assert last.measurement.scenarios["nominal"].objective is not None


def test_a_worker_that_dies_costs_one_walk(tmp_path: Path) -> None:
    marker = tmp_path / "walks"
    options = {"repeatable": True, "marker": str(marker)}
    text = dumped(data(evaluator={"name": "loaded_carts:dies_loaded", "options": options}, trials=1))
    run(parse_study(text, HERE / "cart.yaml"), tmp_path / "run", seed=3, workers=2)
    walks = marker.read_text().split()
    assert sorted(walks) == ["died", "loaded", "loaded", "nominal", "slippery"]
    with Journal.open(tmp_path / "run", read_only=True) as journal:
        (record,) = journal.records()
        assert "trial 1, scenario loaded: its worker process was ended by SIGKILL" in {
            event.text.split(" (")[0] for event in journal.events()
        }
    assert record.measurement is not None
    assert record.measurement.outcome == "completed"


@pytest.mark.slow
@pytest.mark.parametrize("repeatable", [True, False])
def test_a_run_killed_between_two_scenarios_is_repaired(tmp_path: Path, repeatable: bool) -> None:
    marker, folder = tmp_path / "go", tmp_path / "run"
    options = {"repeatable": repeatable, "marker": str(marker)}
    file = tmp_path / "cart.yaml"
    spec = {"name": "loaded_carts:waits_loaded", "options": options}
    file.write_text(dumped(data(evaluator=spec, trials=2)))
    (tmp_path / "loaded_carts.py").write_text(Path(loaded_carts.__file__).read_text())
    command = [sys.executable, "-m", "safebo", "tune", str(file), "--out", str(folder), "--seed", "3"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 60
    while not Path(f"{marker}.reached").exists() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    marker.touch()
    with Journal.open(folder, read_only=True) as journal:
        assert [record.status for record in journal.records()] == ["told", "asked"]
    if not repeatable:
        with pytest.raises(UnknownTrialError, match="trial 2"):
            run(file, folder, resume=True)
        told = {name: {"objective": -0.1, "margins": {"grip": 0.2, "tilt": 0.2}} for name in NAMES}
        (tmp_path / "seen.json").write_text(json.dumps({"scenarios": told}))
        resolve_trial(folder, 2, tmp_path / "seen.json")
    run(file, folder, resume=True)
    with Journal.open(folder, read_only=True) as journal:
        last = journal.records()[-1]
    assert last.measurement is not None
    assert tuple(last.measurement.scenarios) == NAMES
    if repeatable:
        tune(tmp_path / "whole", trials=2)
        assert comparable(last)[:2] == recorded(tmp_path / "whole")[-1][:2]
    else:
        assert last.measurement.objective == -0.1


def test_a_program_gets_name_and_conditions(tmp_path: Path) -> None:
    command = [sys.executable, str(HERE / "cart_program.py")]
    options = {"command": command, "repeatable": True, "scenarios": True}
    found = tune(tmp_path / "run", evaluator={"name": "subprocess", "options": options}, trials=2)
    assert found.told == 2
    with Journal.open(tmp_path / "run", read_only=True) as journal:
        for record in journal.records():
            assert record.measurement is not None
            for name, conditions in loaded_carts.STUDY["scenarios"]["values"].items():
                shown = record.measurement.scenarios[name]
                speed, grip, tilt = loaded_carts.truth(record.trial.parameters, conditions)
                assert shown.message == name
                assert (shown.objective, shown.margins) == (
                    pytest.approx(speed),
                    pytest.approx({"grip": grip, "tilt": tilt}),
                )


def test_another_run_informs_one_with_the_same_scenarios_alone(tmp_path: Path) -> None:
    tune(tmp_path / "simulation", trials=4)
    file = parse_study(dumped(data(trials=3)), HERE / "cart.yaml")
    with ThreadPoolExecutor(2) as executor:
        run(file, tmp_path / "robot", seed=4, executor=executor, prior=tmp_path / "simulation")
    with Journal.open(tmp_path / "robot", read_only=True) as journal:
        kept = journal.prior()
    assert kept is not None
    assert [tuple(m.scenarios) for _, m in kept.records if m is not None] == [NAMES] * 4
    other = {"values": {"nominal": {}, "loaded": {"mass": 2.0}}}
    changed = parse_study(dumped(data() | {"scenarios": other}), HERE / "cart.yaml")
    with pytest.raises(Exception, match=r"is a run of another study.*\n  scenarios"):
        run(changed, tmp_path / "other", prior=tmp_path / "simulation")


def test_a_run_under_one_condition_takes_what_the_scenarios_of_another_aggregate_to(tmp_path: Path) -> None:
    tune(tmp_path / "simulation", trials=3)
    with Journal.open(tmp_path / "simulation", read_only=True) as journal:
        told = [r.measurement for r in journal.records()]
    alone = study(scenarios=None)
    taken = [m for _, m in read_prior(tmp_path / "simulation", alone).records]
    assert [(m.objective, m.margins, m.scenarios) for m in taken if m is not None] == [
        (m.objective, m.margins, {}) for m in told if m is not None
    ]
    tune(tmp_path / "few", trials=2, scenarios={"walked": "chosen"})
    with pytest.raises(InputError, match="scenarios: nominal, loaded, slippery there, none here"):
        read_prior(tmp_path / "few", alone)


def test_show_and_report_name_the_worst_scenario(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "run"
    tune(folder, trials=3)
    shown = in_process(capfd, "show", folder)
    assert shown.code == 0
    assert re.search(r"1 +seed .* (slippery|loaded|nominal) ", shown.out)
    assert "scenario loaded: 3 walks; smallest margins: grip" in shown.out
    as_json = json.loads(in_process(capfd, "show", folder, "--json").out)
    assert set(as_json["trials"][0]["scenarios"]) == set(NAMES)
    page = build_report(folder).read_text()
    assert "<h2>Scenarios</h2>" in page
    with Journal.open(folder, read_only=True) as journal:
        records = journal.records()
        rows = scenario_rows(records, journal.run.study)
    for index, name in enumerate(("grip", "tilt")):
        assert sum(row.margins[index].worst for row in rows) == 3
        smallest = min(
            (r.measurement.scenarios["loaded"].margins[name], r.trial.id) for r in records if r.measurement
        )
        assert (rows[1].margins[index].smallest, rows[1].margins[index].trial) == smallest


def test_a_person_tells_scenarios(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    tune(folder, trials=2)
    (tmp_path / "gains.yaml").write_text("{p: 4.2, d: 1.4}")
    told = {name: loaded_carts.measured({"p": 4.2, "d": 1.4}, {}, 1) for name in NAMES}
    (tmp_path / "seen.json").write_text(json.dumps({"scenarios": told}))
    found = tell_trial(folder, tmp_path / "gains.yaml", None, tmp_path / "seen.json")
    assert replace(found, reason="").scenarios == NAMES


def test_check_measures_the_seed_in_every_scenario(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "loaded_carts.py").write_text(Path(loaded_carts.__file__).read_text())
    file = tmp_path / "cart.yaml"
    file.write_text(dumped(data()))
    found = in_process(capfd, "check", file)
    assert found.code == 0, found.out
    assert "seed 1 (default)" in found.out
    file.write_text(dumped(data(seeds=[{"parameters": {"p": 9.0, "d": 2.0}}])))
    found = in_process(capfd, "check", file)
    assert found.code == 1
    assert re.search(r"is not safe: measured grip -\S+ in scenario slippery", found.out)
