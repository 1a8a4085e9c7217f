"""`safebo check` and `safebo init`: what a study's numbers mean, and a first study from names, bounds and a seed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from in_process import in_process

from safebo import Study, load_study
from safebo.runs.opened import open_run
from safebo.storage.journal import Journal
from safebo.study.findings import MeasuredSeed, declared_findings, measured_findings
from safebo.study.initial import Shown, beliefs, beta_for, step_length, stepped, with_scale
from safebo.study.reading import registered_studies
from safebo.study.space import Space, WarpMap

MINE = """\
import math
import numpy as np
def hop(parameters, context, seed=0, shift=0.0):
    noise = 0.001 * np.random.default_rng(seed).standard_normal(3)
    p, d = parameters["kp"], parameters["kd"]
    return {"objective": -math.log(p / 80) ** 2 - (d - 2) ** 2 / 4 + noise[0],
            "margins": {"torque": 0.33 - 0.2 * math.log(p / 60) ** 2 + noise[1] + shift,
                        "tilt": 0.2 - (p / 200) ** 2 + noise[2]}}
hop.repeatable = True
def rig(parameters, context):
    return hop(parameters, context)
def steep(parameters, context):
    return {"objective": 0.0, "margins": {"torque": 1.0 - 40 * abs(math.log(parameters["kp"] / 40)), "tilt": 0.2}}
def trips(parameters, context):
    if parameters["kd"] != 1:
        return {"outcome": "aborted", "fell": True, "margins": {"torque": 0.1, "tilt": -0.2}}
    return hop(parameters, context)
def dies(parameters, context):
    import os
    os._exit(3)
"""

GIVEN = (
    "--parameter", "kp=10:200", "--parameter", "kd=0.1:5:linear", "--seed", "kp=40", "--seed", "kd=1",
    "--objective", "height", "--margin", "torque", "--margin", "tilt",
)  # fmt: skip


def study(**changes: Any) -> Study:
    base: dict[str, Any] = {
        "name": "hop",
        "evaluator": {"name": "mine:hop"},
        "parameters": [
            {"name": "kp", "bounds": [10, 200], "scale": "log"},
            {"name": "kd", "bounds": [0.1, 5]},
        ],
        "objective": {"name": "height", "prior_mean": -0.7},
        "constraints": [{"name": "torque", "prior_std": 0.2, "noise_std": 0.005}],
        "seeds": [{"parameters": {"kp": 40, "kd": 1}}],
        "tuner": {"method": "safe_ucb", "beta": 4.0},
        "trials": 40,
    }
    return Study.model_validate({**base, **changes})


def constraint(**keys: Any) -> list[dict[str, Any]]:
    return [{"name": "torque", "prior_std": 0.2, "noise_std": 0.005, **keys}]


def seen(case: Study, margin: float, objective: float = -0.7, spread: float = 0.001) -> MeasuredSeed:
    warp = WarpMap(case.constraints[0].warp)
    rows = [(objective + d, float(warp.forward(margin)) + d) for d in (-spread, 0.0, spread)]
    return MeasuredSeed(case.seeds[0], tuple(rows))


def verdicts(case: Study, measured: MeasuredSeed | None = None) -> dict[str, str]:
    found = [*declared_findings(case, measured), *(measured_findings(case, measured) if measured else ())]
    return {finding.topic: finding.verdict for finding in found}


PLAIN = study()
UNUSUAL: tuple[tuple[str, str, Study, MeasuredSeed | None], ...] = (
    ("limit of torque", "refused", study(constraints=constraint(noise_std=2.0)), None),
    ("limit of torque", "look at", study(constraints=constraint(noise_std=0.13)), None),
    ("limit of torque", "look at", study(constraints=constraint(prior_mean=0.3)), None),
    ("first step, declared", "look at", study(surrogate={"lengthscale": 0.01}), None),
    ("first step, declared", "refused", PLAIN, seen(PLAIN, 0.001)),
    ("trials", "look at", study(surrogate={"lengthscale": 0.03}), None),
    ("whole box", "look at", study(surrogate={"lengthscale": 4.0}), None),
    ("whole box", "refused", study(surrogate={"lengthscale": 1.0}), seen(PLAIN, 2.0)),
    ("beta", "look at", study(tuner={"method": "safe_ucb", "beta": 2.0}), None),
    ("method", "look at", study(tuner={"method": "ei"}), None),
    ("unit of torque", "look at", PLAIN, seen(PLAIN, 0.9)),
    ("unit of torque", "refused", PLAIN, seen(PLAIN, 290.0)),
    (
        "unit of height",
        "look at",
        PLAIN,
        seen(PLAIN, 0.3, objective=60.0),
    ),  # better than expected never stops
    ("noise of torque", "look at", PLAIN, seen(PLAIN, 0.3, spread=0.03)),
)


@pytest.mark.parametrize(("topic", "verdict", "case", "measured"), UNUSUAL)
def test_what_is_unusual_is_told(
    topic: str, verdict: str, case: Study, measured: MeasuredSeed | None
) -> None:
    assert verdicts(case, measured)[topic] == verdict


def test_what_is_ordinary_is_fine() -> None:
    for measured in (None, seen(PLAIN, 0.3)):
        assert set(verdicts(PLAIN, measured).values()) == {"fine"}


@pytest.mark.parametrize("name", registered_studies())
def test_no_shipped_study_is_refused(name: str) -> None:
    assert "refused" not in verdicts(load_study(name).study).values()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "mine.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_first_study_is_measured_written_checked_and_gone_on_with(
    here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    done = in_process(
        capfd, "init", "hop.yaml", "--evaluator", "mine:hop", *GIVEN, "--change", "torque=0.5", "--trials", 6
    )
    assert done.code == 0, done.err
    assert "Next: safebo tune hop.yaml --out runs/hop --resume" in done.out
    file = load_study(here / "hop.yaml")
    assert file.study.constraints[0].prior_std == pytest.approx(0.25)
    height = file.study.objective
    assert height.warp.ends == (pytest.approx(height.prior_mean - height.prior_std, rel=1e-3), 1e6)
    opened = open_run("runs/hop")
    assert [r.trial.phase for r in opened.records] == ["seed", *["manual"] * 4]
    assert file.study.trials == 6
    told = [r.measurement for r in opened.records if r.measurement is not None]
    rows = [[m.margins[c.name] for m in told] for c in file.study.constraints]
    for c, values in zip(file.study.constraints, rows, strict=True):
        assert all(abs(v - c.prior_mean) <= 2.0 * c.prior_std for v in values)
        assert c.noise_std >= np.std(values[:3], ddof=1)
    checked = in_process(capfd, "check", "hop.yaml", "--json")
    found = json.loads(checked.out)["findings"]
    assert checked.code == 0
    assert {f["verdict"] for f in found} <= {"fine", "look at"}
    assert any(f["topic"] == "seed 1 (default)" for f in found)
    text = (here / "hop.yaml").read_text()
    again = in_process(capfd, "init", "hop.yaml", "--evaluator", "mine:hop", *GIVEN)
    assert again.code == 2
    assert "is there already" in again.err
    assert (here / "hop.yaml").read_text() == text
    tuned = in_process(capfd, "tune", "hop.yaml", "--out", "runs/hop", "--resume")
    assert tuned.code == 0, tuned.err
    records = open_run("runs/hop").records
    assert [r.trial.phase for r in records[5:]] == ["local"]
    assert all(r.trial.certified for r in records[5:])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), ("--evaluator", "--parameter", "--seed", "--objective", "--margin")),
        (("--evaluator", "mine:hop", "--objective", "height"), ("--parameter", "--seed", "--margin")),
        (("--evaluator", "mine:hop", *GIVEN, "--parameter", "kx=1"), ("--parameter kx=1", "NAME=LOW:HIGH")),
        (("--evaluator", "mine:hop", *GIVEN, "--change", "tourque=5"), ("tourque", "torque, tilt")),
        (("--evaluator", "mine:hop", *GIVEN, "--change", "torque=-5"), ("torque=-5", "> 0")),
        (("--evaluator", "mine:hop", *GIVEN, "--seed", "kp=1000"), ("seeds[0].parameters.kp", "1000")),
        (("--evaluator", "mine:hopp", *GIVEN), ("what was given makes no study", "hopp")),
        (("--evaluator", "mine:hop", "--program", "true", *GIVEN), ("either",)),
        (
            ("--evaluator", "mine:hop", *GIVEN, "--margin", "height"),
            ("--margin height", "height_error=height"),
        ),
    ],
)
def test_what_is_missing_or_wrong_is_named_and_nothing_is_written(
    here: Path, capfd: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: tuple[str, ...]
) -> None:
    done = in_process(capfd, "init", "hop.yaml", *arguments)
    assert done.code == 2
    for text in said:
        assert text in done.err
    assert not (here / "hop.yaml").exists()
    assert not Journal.exists(here / "runs" / "hop")


@pytest.mark.parametrize(
    ("evaluator", "option", "said"),
    [("mine:hop", ("--option", "shift=-1.0"), "the seed is not safe"), ("mine:dies", (), "exit code 3")],
)
def test_a_seed_that_is_not_safe_or_dies_leaves_nothing(
    here: Path, capfd: pytest.CaptureFixture[str], evaluator: str, option: tuple[str, ...], said: str
) -> None:
    done = in_process(capfd, "init", "hop.yaml", "--evaluator", evaluator, *GIVEN, *option)
    assert done.code == 1
    assert said in done.err
    assert not (here / "hop.yaml").exists()


PROGRAM = """\
import json, sys
p = json.load(sys.stdin)["parameters"]
print(json.dumps({"objective": -p["kp"], "margins": {"torque": 1.0 - 0.001 * p["kp"], "tilt": 0.2}}))
"""


def test_what_is_missing_is_asked_for_at_a_terminal(
    here: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "walk.py").write_text(PROGRAM)
    answers = iter(["kp=10:200", "kd=0.1:5:linear", "", "40", "1", "height", "torque", "tilt", "", "0.5", ""])
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("safebo.cli.init.typer.prompt", lambda *args, **kwargs: next(answers))
    done = in_process(capfd, "init", "hop.yaml", "--program", f"{sys.executable} walk.py", "--repeats", 2)
    assert done.code == 0, done.err
    assert next(answers, None) is None
    study = load_study(here / "hop.yaml").study
    assert [p.scale for p in study.parameters] == ["log", "linear"]
    assert study.constraints[0].prior_std == pytest.approx(0.64)  # the seed's margin over 1.5, more than 0.25
    assert len(open_run("runs/hop").records) == 4


@pytest.mark.parametrize(
    ("given", "scale"),
    [
        ({"bounds": [5, 150.0]}, "log"),
        ({"bounds": [1.0, 9.9]}, None),
        ({"bounds": [0.0, 150.0]}, None),
        ({"bounds": [-150.0, -5.0]}, None),
        ({"bounds": [1, 100], "type": "integer"}, None),
        ({"bounds": [0.1, 6.3], "period": 6.2}, None),
        ({"bounds": [5.0, 150.0], "scale": "linear"}, "linear"),
        ({"bounds": ["low", 150.0]}, None),
        ({"choices": ["soft", "stiff"]}, None),
    ],
)
def test_bounds_a_decade_apart_are_searched_by_ratio(given: dict[str, Any], scale: str | None) -> None:
    assert with_scale({"name": "kp", **given}).get("scale") == scale


def test_steps_end_when_a_margin_has_halved(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    done = in_process(capfd, "init", "hop.yaml", "--evaluator", "mine:steep", *GIVEN)
    assert done.code == 0, done.err
    assert "No more steps: a step of kp took half of the margin of torque" in done.out
    assert len(open_run("runs/hop").records) == 4
    lengths = [p.lengthscale for p in load_study(here / "hop.yaml").study.parameters]
    assert lengths[0] == pytest.approx(0.1)
    assert lengths[1] == pytest.approx(0.1)  # nobody stepped along it: as short as the shortest


def test_a_step_that_falls_is_kept_and_ends_the_steps(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    done = in_process(capfd, "init", "hop.yaml", "--evaluator", "mine:trips", *GIVEN)
    assert done.code == 0, done.err
    assert "No more steps: a step of kd was not completed" in done.out
    records = open_run("runs/hop").records
    assert [r.measurement.outcome for r in records if r.measurement] == [*["completed"] * 4, "aborted"]
    assert load_study(here / "hop.yaml").study.parameters[1].lengthscale == pytest.approx(0.3)


def test_a_seed_is_looked_for_in_simulation_alone(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    text = (
        "name: hop\nevaluator: {name: 'mine:EVALUATOR'}\nparameters:\n"
        "  - {name: kp, bounds: [10, 200], scale: log}\n  - {name: kd, bounds: [0.1, 5]}\n"
        "objective: {name: height}\nconstraints: [{name: torque}, {name: tilt}]\n"
        "seeds: [{parameters: {kp: 190, kd: 1}}]\n"
    )
    (here / "a.yaml").write_text(text.replace("EVALUATOR", "hop"))
    found = in_process(capfd, "check", "a.yaml", "--find-seed")
    assert found.code == 0, found.err
    (here / "b.yaml").write_text(text.replace("EVALUATOR", "hop").split("seeds:")[0] + found.out)
    before, after = (in_process(capfd, "check", name) for name in ("a.yaml", "b.yaml"))
    assert (before.code, after.code) == (1, 0)
    assert "refused  seed 1 (default): is not safe: measured" in before.out
    (here / "c.yaml").write_text(text.replace("EVALUATOR", "rig"))
    refused = in_process(capfd, "check", "c.yaml", "--find-seed")
    assert refused.code == 1
    assert "simulation" in refused.err
    assert "not measured" in in_process(capfd, "check", "c.yaml").out


def test_an_evaluator_that_the_method_cannot_watch_is_refused_before_its_seed_is_measured(
    here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (here / "a.yaml").write_text(
        "name: hop\nevaluator: {name: 'mine:hop'}\nparameters:\n"
        "  - {name: kp, bounds: [10, 200], scale: log}\n  - {name: kd, bounds: [0.1, 5]}\n"
        "objective: {name: height}\nconstraints: [{name: torque}, {name: tilt}]\n"
        "seeds: [{parameters: {kp: 40, kd: 1}}]\ntuner: {method: gosafeopt}\n"
    )
    checked = in_process(capfd, "check", "a.yaml")
    assert checked.code == 2
    assert "tuner.method: 'gosafeopt' needs a monitor" in checked.err


def test_steps_are_short_and_inside_the_box() -> None:
    case = study(
        parameters=[
            {"name": "kp", "bounds": [10, 200], "scale": "log"},
            {"name": "n", "bounds": [1, 9], "type": "integer"},
            {"name": "m", "bounds": [0, 1000], "type": "integer"},
            {"name": "gait", "choices": ["trot", "crawl"]},
        ],
        seeds=[{"parameters": {"kp": 200, "n": 3, "m": 1000, "gait": "trot"}}],
    )
    space = Space.of_parameters(case)
    seed = space.vector(case.seeds[0].parameters)
    steps = [stepped(space, seed, i, 0.02) for i in range(4)]
    assert steps[1] is None  # one of eight levels is no small step
    assert steps[3] is None
    for index in (0, 2):
        there = space.vector(steps[index] or {})
        moved = np.abs(space.to_unit(there) - space.to_unit(seed))
        assert 0 < moved.max() <= 0.0202
    assert step_length({"torque": 0.2}, {"torque": 20.0}) == pytest.approx(0.005)
    assert step_length({"torque": 0.2}, {}) == 0.02


def test_scales_follow_the_unit_of_what_was_measured() -> None:
    case = study()
    trials = [Shown({"kp": 40.0, "kd": 1.0}, -0.7 + d, {"torque": 0.3 + d}) for d in (0.0, 0.001, -0.001)]
    trials.append(Shown({"kp": 42.0, "kd": 1.0}, -0.6, {"torque": 0.31}))
    small = beliefs(case, trials, {})
    large = beliefs(
        case,
        [Shown(t.parameters, 1e3 * t.objective, {"torque": 1e3 * t.margins["torque"]}) for t in trials],
        {},
    )
    for a, b in ((small.objective, large.objective), (small.margins["torque"], large.margins["torque"])):
        assert b.std == pytest.approx(1e3 * a.std)
        assert b.noise == pytest.approx(1e3 * a.noise)
    assert small.lengthscales == pytest.approx(large.lengthscales)
    assert beta_for(50, 4) * 1.0 > beta_for(25, 1) == 3.0
