"""`safebo transfer`: robots that are drawn, the two studies, going on, and the sentences where it cannot be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from safebo.errors import InputError, SafeboError
from safebo.experiments.evidence.hidden_robot import hidden_study
from safebo.experiments.evidence.identification import hidden
from safebo.experiments.evidence.identified_transfer import best_of, table, worth
from safebo.experiments.transfer.between import APART, between
from safebo.experiments.transfer.cli import app
from safebo.experiments.transfer.folder import RECORD, TransferFolder
from safebo.experiments.transfer.studies import drawn, refuse, robot_study, simulation_study
from safebo.robots.evaluation.evaluator import LeggedEvaluator
from safebo.robots.identification.fit import Fit
from safebo.robots.identification.parameters import Family
from safebo.robots.simulation.disturbance import Disturbance
from safebo.storage.journal import Journal
from safebo.study.reading import load_study, parse_study, study_hash
from safebo.study.space import Space
from safebo.types import Measurement, Trial

RUN = CliRunner()


def fitted(error: float = 0.1, cost: float = 0.85) -> Fit:
    """An identification that was made up: every standard error is a share of the prior's spread."""
    family = Family.of()
    return Fit(
        family,
        family.mean,
        np.diag((error * family.spread) ** 2),
        np.ones(len(family)),
        1,
        {1: cost},
        cost,
        (),
        np.ones(38),
        80,
        6,
        2,
    )


def changed(name: str = "go1-trot", **changes: Any) -> Any:
    """A shipped study with some keys replaced, one level deep."""
    document = yaml.safe_load(load_study(name).text)
    for key, value in changes.items():
        document[key] = {**document[key], **value} if isinstance(document.get(key), dict) else value
    return parse_study(yaml.safe_dump(document, sort_keys=False), Path("robot.yaml"))


def test_the_estimate_and_draws_within_physical_ranges_are_conditions_of_the_evaluator() -> None:
    found, gap = fitted(error=1.0), Disturbance.from_dict("paper+pushed")
    robots = drawn(found, gap, 8, 0)
    assert list(robots) == ["estimate", *(f"draw-{i}" for i in range(1, 8))]
    assert robots == drawn(found, gap, 8, 0) != drawn(found, gap, 8, 1)
    evaluator = LeggedEvaluator({"robot": "go1", "disturbance": "paper+pushed"})
    masses = []
    for conditions in robots.values():
        world = evaluator.world(conditions, {}).disturbance
        # What is not identified of the robot is nominal; what is no robot's stays the study's.
        assert world.joint_impedance == (0.0, 0.0)
        assert (world.pushes, world.control_delay) == (gap.pushes, 1)
        masses.append(world.payload_mass)
    assert masses[0] == pytest.approx(0.75)
    assert min(masses) >= 0.0
    assert len(set(masses)) > 5


def test_the_simulated_study_keeps_all_contexts_and_the_robots_study_is_as_declared() -> None:
    file = load_study("go1-gaits")
    scenarios = drawn(fitted(), Disturbance.from_dict("paper"), 3, 0)
    simulation = simulation_study(file, scenarios, Path("simulation.yaml"), ["a line"]).study
    assert simulation.scenarios is not None
    assert (simulation.scenarios.objective, simulation.scenarios.margins) == ("mean", "worst")
    assert (simulation.context, simulation.seeds) == (file.study.context, file.study.seeds)
    robot = robot_study(file, {"tracking_error": [0.05] * 3}, {}, Path("robot.yaml"), [])
    assert study_hash(robot.study) == study_hash(file.study)


def test_tuned_gains_are_goals_after_the_studys_own_and_a_seed_is_none() -> None:
    file = load_study("go1-trot")
    seed = file.study.seeds[0]
    own, found = ({**seed.parameters, "joint.hip.kp": kp} for kp in (50.0, 20.0))
    wished = changed(goals=[{"context": "trot", "parameters": own}])
    at_seeds = {"tracking_error": [0.05] * 3}
    robot = robot_study(wished, at_seeds, {"trot": found}, Path("robot.yaml"), []).study
    assert [goal.parameters for goal in robot.goals] == [own, found]
    assert not robot_study(file, at_seeds, {"trot": seed.parameters}, Path("robot.yaml"), []).study.goals


@pytest.mark.parametrize(
    ("declared", "margins", "expected"),
    [
        (0.0, [0.05, 0.06, 0.07], 0.0),  # better than declared: nothing is raised
        (3.0, [0.05, 0.06, 0.07], float(np.log(0.1 / (0.1 - 0.051)))),
        (-1.0, [0.05, 0.06, 0.07], -1.0),
    ],
)
def test_a_prior_mean_is_lowered_to_the_quantile_over_robots_and_never_raised(
    declared: float, margins: list[float], expected: float
) -> None:
    document = yaml.safe_load(load_study("go1-trot").text)
    document["constraints"][0]["prior_mean"] = declared
    document["surrogate"]["prior_data"] = {"correlation": 0.9}
    file = parse_study(yaml.safe_dump(document), Path("robot.yaml"))
    robot = robot_study(file, {"tracking_error": margins}, {}, Path("robot.yaml"), []).study
    assert robot.constraints[0].prior_mean == pytest.approx(expected, abs=1e-3)
    assert robot.surrogate.prior_data is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"evaluator": {"name": "pendulum", "options": {}}}, "evaluator.name is 'pendulum'"),
        ({"scenarios": {"values": {"loaded": {"payload_mass": 2.0}}}}, "scenarios: a robot walks under one"),
        ({"horizon": 20.0}, "horizon: the simulated trials"),
        ({"surrogate": {"time": {"memory": 600.0}}}, r"surrogate\.time: "),
    ],
)
def test_a_study_that_nothing_can_be_transferred_to_is_refused_by_its_key(
    changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        refuse(changed(**changes))


def test_a_study_that_can_have_no_scenarios_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    study = tmp_path / "robot.yaml"
    study.write_text(changed(tuner={"method": "gosafeopt"}).text)
    said = RUN.invoke(app, [str(study), "--from", str(tmp_path / "run"), "--out", str(tmp_path / "out")])
    assert "tuner.method: gosafeopt watches global trials" in str(said.exception)
    assert not (tmp_path / "out").exists()


def test_a_folder_goes_on_with_what_it_was_begun_with_alone(tmp_path: Path) -> None:
    made_of = {"study": "a", "draws": 8}
    folder = TransferFolder.begun(tmp_path / "out", made_of)
    TransferFolder.begun(tmp_path / "out", made_of | {"draws": 3})  # nothing was made of it yet
    folder.write(folder.simulation, "")
    TransferFolder.begun(tmp_path / "out", made_of | {"draws": 3})
    with pytest.raises(InputError, match="holds the transfer of draws 3; choose another"):
        TransferFolder.begun(tmp_path / "out", made_of)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes").write_text("mine")
    with pytest.raises(InputError, match="is not empty and holds no transfer"):
        TransferFolder.begun(tmp_path / "other", made_of)
    with pytest.raises(InputError, match=r"--out .*notes.*(exists|directory)"):
        TransferFolder.begun(tmp_path / "other" / "notes" / "out", made_of)
    assert not (tmp_path / "other" / RECORD).exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "a mapping `gains` of the parameters' values is missing"),
        ("searched: 2", "a mapping `gains` of"),
        ("gains: {joint.hip.kp: 80}", "missing joint.hip.kd"),
        ("gains: {kneed: 1}", "unknown kneed"),
        ("gains: [", ""),
    ],
)
def test_tuned_gains_that_were_changed_by_hand_are_told_with_their_file(
    tmp_path: Path, text: str, words: str
) -> None:
    folder, study = TransferFolder(tmp_path), load_study("go1-trot").study
    gains = dict(study.seeds[0].parameters)
    folder.tuned("trot").write_text(yaml.safe_dump({"gains": gains}))
    assert folder.tuned_gains(study, "trot") == gains
    folder.tuned("trot").write_text(text)
    with pytest.raises(InputError, match=rf"(?s)tuned-trot\.yaml.*{words}"):
        folder.tuned_gains(study, "trot")


@pytest.fixture(scope="module")
def robot_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A study and its run of one recorded trial."""
    folder = tmp_path_factory.mktemp("robot")
    options = {"seconds": 1.2, "disturbance": {"payload_mass": 1.0}}
    document = yaml.safe_load(load_study("go1-trot").text)
    document["evaluator"]["options"] |= options
    path = folder / "robot.yaml"
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    study, run = load_study(path).study, folder / "run"
    evaluator = LeggedEvaluator(study.evaluator.options)
    evaluator.record_into(run / "trajectories", run)
    seed, context = study.seeds[0], study.context.values["trot"]
    run.mkdir()
    with Journal.create(
        run, study=study, declared=study, study_text=path.read_text(), study_hash=study_hash(study),
        source=str(path), seed=0, trials=1,
    ) as journal:  # fmt: skip
        trial = Trial(1, dict(seed.parameters), dict(context), "trot", "seed", seed=1, certified=True)
        journal.ask(trial, 1)
        journal.tell(1, evaluator.evaluate(trial))
    return path, run


def test_the_command_writes_what_tunes_the_robot_and_goes_on(
    robot_run: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, run = map(str, robot_run)
    out = tmp_path / "out"
    arguments = [study, "--from", run, "--out", str(out), "--draws", "2", "--trials", "2", "--search", "8"]
    monkeypatch.setattr("safebo.robots.identification.fit.fit", lambda *given, **named: fitted(cost=9.0))
    outside = RUN.invoke(app, arguments)
    assert isinstance(outside.exception, SafeboError)
    assert "not among the parameters" in str(outside.exception)
    monkeypatch.setattr("safebo.robots.identification.fit.fit", lambda *given, **named: fitted())
    said = RUN.invoke(app, arguments)
    assert said.exit_code == 0, said.output
    assert "seed: tracking worst" in said.output
    assert f"Next: safebo tune {out}/robot.yaml --prior {out}/simulated --out {out}/robot\n" in said.output
    monkeypatch.setattr("safebo.robots.identification.fit.fit", None)  # is not asked again
    (out / "robot.yaml").write_text((out / "robot.yaml").read_text() + "# mine\n")
    again = RUN.invoke(app, arguments)
    assert again.exit_code == 0, again.output
    assert "robot.yaml was changed since, and is left as it is" in again.output
    assert [line for line in again.output.splitlines() if line.startswith("  tuned: tracking worst")]
    with Journal.open(out / "simulated", read_only=True) as journal:
        records = journal.records()
    assert {tuple(r.trial.scenarios) for r in records} == {("estimate", "draw-1")}
    assert [r.trial.phase for r in records[:2]] == ["seed", "local"]
    entered = [dict(r.trial.parameters) for r in records[2:]]
    gains = yaml.safe_load((out / "tuned-trot.yaml").read_text())["gains"]
    simulation = load_study(out / "simulation.yaml").study
    way = between(simulation, simulation.seeds[0].parameters, gains)
    assert entered in (way, [gains, *way])  # all of them once; the best where the search found them
    assert f"{len(way)} gains between the seed and the tuned ones" in said.output
    assert "between the seed" not in again.output
    assert [goal.parameters for goal in load_study(out / "robot.yaml").study.goals] == [gains]
    from safebo.runs.prior_run import read_prior

    prior = read_prior(out / "simulated", load_study(out / "robot.yaml").study)
    assert len(prior.records) == len(records)


@given(st.lists(st.floats(0.0, 1.0), min_size=12, max_size=12))
@settings(max_examples=30, deadline=None)
def test_gains_between_two_lie_on_the_line_and_near_each_other(ends: list[float]) -> None:
    study = load_study("go1-trot").study
    space = Space.of_parameters(study)
    start, end = (space.named(row) for row in space.proposals(np.array(ends).reshape(2, 6)))
    way = between(study, start, end)
    points = space.to_unit([space.vector(gains) for gains in (start, *way, end)])
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    assert steps.max() <= APART * 1.01  # values are rounded as they are printed
    assert steps.sum() == pytest.approx(np.linalg.norm(points[-1] - points[0]), abs=1e-3)
    assert start not in way
    assert end not in way


def test_gains_between_keep_constraints_and_whole_numbers() -> None:
    document = yaml.safe_load(load_study("go1-trot").text)
    document["parameters"][0] = {"name": "joint.hip.kp", "bounds": [70, 73], "type": "integer"}
    document["parameter_constraints"] = ["joint.thigh.kd + joint.calf.kd <= 8"]
    study = parse_study(yaml.safe_dump(document), Path("robot.yaml")).study
    seed = study.seeds[0].parameters
    bent = {**seed, "joint.hip.kp": 73, "joint.thigh.kd": 2.0, "joint.calf.kd": 4.0}
    way = between(study, {**seed, "joint.thigh.kd": 5.0, "joint.calf.kd": 5.0}, bent)
    assert way
    assert all(g["joint.hip.kp"] in (70, 71, 72, 73) for g in way)
    assert all(g["joint.thigh.kd"] + g["joint.calf.kd"] <= 8.0 for g in way)
    assert between(study, seed, seed) == []


def test_trials_of_another_robot_are_refused_before_anything_is_written(
    robot_run: tuple[Path, Path], tmp_path: Path
) -> None:
    said = RUN.invoke(app, ["go2-trot", "--from", str(robot_run[1]), "--out", str(tmp_path / "out")])
    assert "its robot is go1, and" in str(said.exception)
    assert not (tmp_path / "out").exists()


def test_the_evidence_hides_the_robot_that_identification_draws_and_counts_shares() -> None:
    family = Family.of()
    study = parse_study(hidden_study("go1-trot", 4)).study
    told = Disturbance.from_dict(study.evaluator.options["disturbance"])
    assert told == replace(family.disturbance(hidden(family, 4)), control_delay=1)

    def row(before: float, at: list[float], unsafe: int) -> dict[str, Any]:
        counts = {"with": unsafe, "alone": 0, "walks": 0}
        return {
            "before": before,
            "shares": {"with": at, "alone": [0.0] * 6},
            "unsafe": counts,
            "falls": counts,
        }

    lines = table([row(0.7, [0.1] * 5 + [0.96], 1), row(0.9, [0.2] * 5 + [0.94], 1)], 6)
    assert lines[0] == "before the first trial: median 80% of the gap, least 70%; at least 80% in 1 of 2"
    assert "with  after  6: median 95%, least 94%; at least 95% in 1 of 2" in lines
    assert "with  trials with a negative true margin 2, falls 2" in lines


def test_the_best_of_a_search_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bowl about the middle of the box: the search comes nearer than its random half did."""
    study, seen = load_study("go1-trot").study, list[float]()

    def bowl(_: Any, context: str, gains: list[dict[str, float]], **asked: Any) -> list[Measurement]:
        found = [-sum((np.log(g["joint.hip.kp"] / 30) ** 2, (g["joint.hip.kd"] - 4) ** 2)) for g in gains]
        seen.extend(found)
        return [Measurement("completed", objective=v, margins={"tracking": 0.01}) for v in found]

    monkeypatch.setattr("safebo.experiments.transfer.search.truth", bowl)
    best = best_of(study, tmp_path / "best.json", 80, 0)
    assert bowl(None, "trot", [best])[0].objective == max(seen) > max(seen[:41])
    assert len(seen) == 82
    assert best_of(study, tmp_path / "best.json", 80, 0) == best
    assert len(seen) == 82
    for count in (0, 1):  # what it begins about, and at most one more
        seen.clear()
        best_of(study, tmp_path / f"{count}.json", count, 0)
        assert len(seen) == count + 1


def test_gains_are_worth_the_mean_of_their_true_objective_and_nothing_after_one_unsafe_walk(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def walked(_: Any, context: str, gains: list[dict[str, float]], seed: int) -> list[Measurement]:
        true = [g["at"] + seed % 2 for g in gains]
        margins = [{"tracking": -0.1 if g["at"] == 3.0 and seed == 1005 else 0.1} for g in gains]
        return [
            Measurement("completed", 9.0, m, true_objective=v, true_margins=m)
            for v, m in zip(true, margins, strict=True)
        ]

    monkeypatch.setattr("safebo.experiments.evidence.identified_transfer.truth", walked)
    assert worth(load_study("go1-trot").study, [{"at": 1.0}, {"at": 3.0}]) == [1.5, -np.inf]
