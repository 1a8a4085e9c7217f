"""What a stranger's evaluator shows and a study then says: limits, sizes, plateaus and steps of its own kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from in_process import in_process

from safebo import InputError, Study, StudyError, Tuner, load_study
from safebo.evaluators.unvarying import unvarying_margins
from safebo.storage.journal import Journal
from safebo.study.findings import MeasuredSeed, declared_findings, measured_findings
from safebo.study.initial import Shown, beliefs
from safebo.study.reading import check_study
from safebo.study.tuner_checks import with_trust
from safebo.types import Measurement

MINE = """\
def far(p, context):
    return {"objective": -1e9 * (p["x"] - 0.7) ** 2, "margins": {"m": 1e9 * (0.9 - p["x"])}}
def rises(p, context):
    return {"objective": p["x"], "margins": {"m": 0.9 - p["x"]}}
def bare(p, context):
    return {"objective": p["x"], "margins": {"m": 0.2 - p["x"]}}
def yes(p, context):
    return {"objective": p["x"], "margins": {"m": 1.0}}
for f in (far, rises, bare, yes):
    f.repeatable = True
"""
GIVEN = ("--parameter", "x=0:1", "--seed", "x=0.2", "--objective", "o", "--margin", "m")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "odd.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def study(**changes: Any) -> Study:
    base: dict[str, Any] = {
        "name": "odd",
        "evaluator": {"name": "odd:far"},
        "parameters": [{"name": "x", "bounds": [0, 1]}],
        "objective": {"name": "o"},
        "constraints": [{"name": "m", "prior_std": 0.4, "noise_std": 0.004}],
        "seeds": [{"parameters": {"x": 0.2}}],
        "surrogate": {"lengthscale": 0.3},
    }
    return Study.model_validate({**base, **changes})


def test_a_seed_on_its_limit_is_refused_in_a_sentence(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    done = in_process(capfd, "init", "s.yaml", "--evaluator", "odd:bare", *GIVEN)
    assert done.code == 1
    assert "the seed lies on its limit: it measured m = 0" in done.err
    assert not (here / "s.yaml").exists()


def test_a_large_objective_is_not_cut_off_by_the_study_that_init_writes(
    here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert in_process(capfd, "init", "s.yaml", "--evaluator", "odd:far", *GIVEN).code == 0
    warp = load_study("s.yaml").study.objective.warp
    assert warp.ends[1] > 1e9
    assert load_study("s.yaml").study.objective.prior_std > 1e8


def test_a_prior_mean_beyond_the_clip_is_refused_and_a_seed_there_is_told() -> None:
    with pytest.raises(StudyError, match=r"objective.prior_mean: -2e\+08 lies beyond what is modelled"):
        check_study(study(objective={"name": "o", "prior_mean": -2e8, "prior_std": 4e8}))
    clipped = study(objective={"name": "o", "prior_std": 1e6, "noise_std": 1e4})
    seed = MeasuredSeed(clipped.seeds[0], ((-1e6, 0.6),) * 3)
    found = [f.text for f in measured_findings(clipped, seed) if f.verdict == "look at"]
    assert any("the seed lies beyond, where all values look alike" in text for text in found)


def test_an_objective_that_no_step_changed_is_called_a_guess() -> None:
    def believed(objective: float) -> tuple[float, str]:
        seen = [Shown({"x": x}, objective, {"m": 0.6}) for x in (0.2, 0.2, 0.2, 0.22)]
        found = beliefs(study(), seen, {}).objective
        return found.std, found.why

    assert believed(0.0)[0] == 1.0
    assert believed(96.0)[0] == pytest.approx(0.096)
    assert all("a guess" in believed(value)[1] for value in (0.0, 96.0))


def test_a_margin_that_is_the_same_whatever_the_gains_is_told_once(
    here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert in_process(capfd, "init", "s.yaml", "--evaluator", "odd:yes", *GIVEN, "--trials", 7).code == 0
    done = in_process(capfd, "tune", "s.yaml", "--out", "runs/s", "--resume")
    said = "does not show how near its limit is"
    assert done.code == 0, done.err
    assert f"{done.out}{done.err}".count(f"a yes or no {said}") >= 1
    kept = [e.text for e in Journal.open("runs/s").events() if e.kind == "margin-unvarying"]
    assert len(kept) == 1
    assert "m is exactly 1 with 3 of 3 different gains" in kept[0]


def test_margins_that_different_gains_share_are_no_evidence_for_the_declared_prior() -> None:
    def earned(varies: float) -> float:
        tuner = Tuner(with_trust(study(seeds=[{"parameters": {"x": 0.3}}], trials=40)), 0)
        for _ in range(20):
            trial = tuner.ask()
            margin = 1.0 + varies * trial.parameters["x"]
            tuner.tell(
                trial, Measurement("completed", objective=trial.parameters["x"], margins={"m": margin})
            )
        evidence = tuner.ask().evidence
        return 0.0 if evidence is None else evidence["m"].log_evidence

    assert earned(1e-6) > 1.0  # a flat margin that is measured speaks for a long lengthscale
    assert earned(0.0) == pytest.approx(0.0)


def test_intervals_of_an_objective_far_above_its_prior_are_not_praised(
    here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    steep = {"name": "o", "prior_mean": 0.2, "prior_std": 0.005, "noise_std": 0.001}
    text = study(evaluator={"name": "odd:rises"}, objective=steep, trials=5).model_dump_json(
        exclude_unset=True
    )
    (here / "s.yaml").write_text(text)
    done = in_process(capfd, "tune", "s.yaml", "--out", "runs/s")
    assert done.code == 0, done.err
    assert "prior standard deviations above what is expected of it" in done.out
    assert "the intervals given for o are too narrow" in done.out


def test_margins_that_vary_or_repeat_the_same_gains_are_not_called_unvarying() -> None:
    def shown(*pairs: tuple[float, float]) -> dict[str, str]:
        taken = [({"x": x}, Measurement("completed", objective=x, margins={"m": m})) for x, m in pairs]
        return unvarying_margins(taken, study())

    assert shown((0.1, 1.0), (0.2, 1.0), (0.3, 1.0))
    assert not shown((0.1, 1.0), (0.1, 1.0), (0.1, 1.0), (0.2, 0.9))
    assert not shown((0.1, 1.0), (0.2, 1.0), (0.3, 1.0), *((0.4 + i / 100, 0.5 - i / 100) for i in range(4)))


def test_a_first_step_counts_whole_steps_and_names_what_it_does_not_change() -> None:
    mixed = study(
        parameters=[
            {"name": "x", "bounds": [0, 1]},
            {"name": "n", "type": "integer", "bounds": [1, 8]},
            {"name": "gait", "choices": ["trot", "walk"]},
        ],
        seeds=[{"parameters": {"x": 0.2, "n": 3, "gait": "trot"}}],
        surrogate={"lengthscale": 0.5},
    )
    found = {
        f.text.partition(": ")[0]: f for f in declared_findings(mixed) if f.topic == "first step, declared"
    }
    assert "n 3 .. 3 (0 %)" in found["with 1 prior_std"].text
    assert "no other value of n, gait is within a step" in found["with 1 prior_std"].text
    assert "n 2 .. 4" in found["with 2 prior_std"].text
    assert {f.verdict for f in found.values()} == {"look at"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"context": {"bat": 25}}, "unknown context"),
        ({"readings": {"bat": "x"}}, "bat reads 'x', not a finite number"),
        ({"readings": {"bat": True}}, "bat reads true"),
        ({"readings": [25]}, "readings are a mapping"),
        ({"readings": {"bat": 25}, "operating_time": "3"}, "operating_time must be a number"),
    ],
)
def test_what_an_ask_is_given_is_checked(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        Tuner(measured()).ask(**arguments)


def test_readings_of_numpy_are_kept_as_plain_numbers() -> None:
    trial = Tuner(measured()).ask(readings={"bat": np.array(25)}, operating_time=np.float32(3))  # type: ignore[dict-item,arg-type]
    assert [type(v) for v in (trial.context["bat"], trial.operating_time)] == [float, float]


def measured() -> Study:
    return study(
        context={
            "variables": [{"name": "bat", "bounds": [20, 26], "measured": True}],
            "values": {"d": {"bat": 25}},
        },
        seeds=[{"context": "d", "parameters": {"x": 0.2}}],
    )
