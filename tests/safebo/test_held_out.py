"""What a run measured and did not tune is watched: named where it gets worse as the objective rises, and only there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from safebo.report.clipped import clipped
from safebo.report.data import RunView
from safebo.report.held_out import sentences, worsened
from safebo.report.limits import limits
from safebo.study import Study
from safebo.study.reading import load_study, resolve_study
from safebo.types import Measurement, Trial, TrialRecord

STUDY = load_study(resolve_study("go1-trot")).study

Quantity = Callable[[float, np.random.Generator], float]


def run_of(walks: list[list[tuple[str, float, dict[str, float]]]]) -> RunView:
    """A run whose first trial is the seed's: walks by trial, each with scenario, objective and other quantities."""
    records = []
    for number, scenarios in enumerate(walks, 1):
        measured = {
            name: Measurement(
                "completed",
                objective=objective,
                margins={"tracking": 0.05, "torque": others.get("torque", 5.0)},
                extra={"objective.tracking": objective} | {f"watched.{n}": v for n, v in others.items()},
            )
            for name, objective, others in scenarios
        }
        whole = next(iter(measured.values()))
        if "" not in measured:
            whole = Measurement("completed", objective=whole.objective, scenarios=measured)
        trial = Trial(number, {}, {}, "trot", "seed" if number == 1 else "local", seed=0, certified=True)
        records.append(TrialRecord(trial, whole))
    return RunView(Path("run"), "go1-trot", STUDY, tuple(records), (), {"trot": None}, len(records))


def tuned(quantities: dict[str, Quantity], seed: int = 0, trials: int = 40) -> RunView:
    """A run whose objective climbs from -2 to -1 with noise."""
    rng = np.random.default_rng(seed)
    walks = []
    for n in range(trials):
        rise = n / (trials - 1)
        objective = -2.0 + rise + (0.05 * rng.standard_normal() if n else 0.0)
        walks.append([("", objective, {name: f(rise, rng) for name, f in quantities.items()})])
    return run_of(walks)


def falling(rise: float, rng: np.random.Generator) -> float:
    return -0.05 * (1.0 + 0.5 * rise) + 0.002 * rng.standard_normal()


def rising(rise: float, rng: np.random.Generator) -> float:
    return -0.05 * (1.0 - 0.5 * rise) + 0.002 * rng.standard_normal()


def test_what_falls_as_the_objective_rises_is_named_with_its_share():
    run = tuned({"body_velocity": falling, "body_height": rising, "torque": lambda r, g: 5.0 - 2.0 * r})
    found = {one.name: one for one in worsened(run, "trot")}
    assert set(found) == {"body_velocity", "torque", "margin torque"}  # one is an objective, one a margin
    quarter = np.linspace(0, 1, 40)[-10:]
    np.testing.assert_allclose(found["margin torque"].share, 0.4 * quarter.mean(), atol=0.02)
    assert found["body_velocity"].correlation < -0.9
    said = [one for one in limits(run) if one.kind == "held out"]
    assert len(said) == 1
    assert "Where tracking is best" in said[0].text
    assert "body_velocity" in said[0].text
    assert "constraint" in said[0].remedy


def test_what_is_tuned_is_not_held_out():
    run = tuned({})
    assert not list(sentences(run))
    assert {one.name for one in worsened(tuned({"tracking_sum": rising}), "trot")} == set()


def test_nothing_is_said_of_few_walks_or_of_an_objective_that_did_not_rise():
    assert worsened(tuned({"body_velocity": falling}, trials=12), "trot")
    assert not worsened(tuned({"body_velocity": falling}, trials=9), "trot")
    run = tuned({"body_velocity": falling})
    backwards = run_of(
        [[("", -1.0, {"body_velocity": -0.04})]]
        + [
            [("", e.measurement.objective, {"body_velocity": falling(n / 40, np.random.default_rng(n))})]
            for n, e in enumerate(run.records)
            if e.measurement is not None and e.measurement.objective is not None
        ]
    )
    assert not worsened(backwards, "trot")


def test_a_harder_scenario_is_no_worse_quantity():
    """Each walk is compared with the seed's in the same scenario, or which scenarios were walked late would decide."""
    rng = np.random.default_rng(0)
    easy = lambda: [("easy", -2.0 - 0.1 * rng.random(), {"body_velocity": -0.02 - 0.001 * rng.random()})]  # noqa: E731
    hard = lambda: [("hard", -1.0 - 0.1 * rng.random(), {"body_velocity": -0.20 - 0.001 * rng.random()})]  # noqa: E731
    run = run_of([easy() + hard()] + [easy() for _ in range(15)] + [hard() for _ in range(15)])
    assert not worsened(run, "trot")
    late = [("hard", -1.0 + 0.02 * n, {"body_velocity": -0.20 - 0.01 * n}) for n in range(15)]
    both = run_of([[*easy(), late[0]]] + [easy() for _ in range(15)] + [[walk] for walk in late])
    assert [one.name for one in worsened(both, "trot")] == ["body_velocity"]


def test_what_does_not_depend_on_the_objective_is_rarely_named():
    """A seed that happened to be good makes everything look worse; ranks say that it has nothing to do with it."""

    def lucky(rise: float, rng: np.random.Generator) -> float:
        return -0.05 if rise == 0.0 else -0.08 - 0.01 * rng.standard_normal()

    named = sum(
        bool(worsened(tuned({f"q{i}": lucky for i in range(8)}, seed), "trot")) for seed in range(100)
    )
    assert named <= 12  # 5 expected; over 12 in 1 of 1,000


@pytest.mark.parametrize("clip", [4.0, [-4.0, 4.0]])
@pytest.mark.parametrize(("cost", "words"), [(0.4, "or better"), (3e4, "or worse"), (5.0, "")])
def test_objectives_beyond_the_clip_of_their_warp_are_said_to_look_alike(
    cost: float, words: str, clip: float | list[float]
):
    document = STUDY.model_dump(mode="json", exclude_unset=True)
    document["objective"]["warp"]["clip"] = clip  # costs of 50 / e^4 = 0.916 to 50 e^4 = 2730 are told apart
    study = Study.model_validate(document)
    walks = [[("", -cost * (1 + 0.01 * i), dict[str, float]())] for i in range(4)] + [[("", -9.0, {})]]
    found = list(clipped(replace(run_of(walks), study=study)))
    assert len(found) == bool(words)
    if words:
        limit = "-0.916" if cost < 1 else "-2.73e+03"
        assert f"4 of 5 trials have tracking at {limit} rad^2 + rad^2/s^2 {words}" in found[0][0]
        assert f"(objective.warp.clip {'[-4, 4]' if isinstance(clip, list) else '4'})" in found[0][0]
    assert not list(clipped(run_of(walks[:2])))
