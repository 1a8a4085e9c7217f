"""What `safebo check` says of `surrogate.time`: how long a seed's certificate lasts, and what trials fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from in_process import in_process

from safebo.runs.time_findings import time_findings
from safebo.study import Study
from safebo.study.findings import Finding, MeasuredSeed
from safebo.study.first_step import FirstStep
from safebo.tuner import Tuner

HOP = """\
def hop(parameters, context, seed=0):
    return {"objective": -0.7, "margins": {"torque": 0.3}, "duration": 5.0}
hop.repeatable = True
"""


def study(time: dict[str, Any] | None, **changes: Any) -> Study:
    base: dict[str, Any] = {
        "name": "hop",
        "evaluator": {"name": "mine:hop"},
        "parameters": [{"name": "kp", "bounds": [10, 200], "scale": "log"}],
        "objective": {"name": "height", "prior_mean": -0.7},
        "constraints": [{"name": "torque", "prior_std": 0.2, "noise_std": 0.02}],
        "seeds": [{"parameters": {"kp": 40}}],
        "surrogate": {"lengthscale": 0.2, "trust": "declared", **({} if time is None else {"time": time})},
        "tuner": {"method": "safe_ucb", "beta": 3.0},
    }
    return Study.model_validate({**base, **changes})


def shown(case: Study, margin: float, duration: float | None = 5.0, own_clock: bool = False) -> MeasuredSeed:
    return MeasuredSeed(case.seeds[0], ((-0.7, margin),), duration, own_clock)


def told(found: list[Finding]) -> str:
    return "\n".join(f"{f.verdict}: {f.text}" for f in found)


@pytest.mark.parametrize("margin", [0.25, 0.4])
def test_the_seeds_certificate_lasts_as_long_as_the_tuner_says(margin: float) -> None:
    case = study({"memory": "40 min", "lead": 10})
    tuner = Tuner(case, 0)
    tuner.tell_manual(
        {"kp": 40.0}, "default", {"objective": -0.7, "margins": {"torque": margin}}, operating_time=0.0
    )
    until = tuner.certify({"kp": 40.0}, "default", operating_time=0.0).until
    assert until is not None
    found = list(time_findings(case, shown(case, margin)))
    assert f"certifies it for {until / 60:.3g} min with the measured margin" in found[0].text
    assert f"{int(until // 15)} trials fit between two measurements of the seed" in found[1].text
    assert "a trial of 5 s and surrogate.time.lead 10 s" in found[1].text
    assert {f.verdict for f in found} == {"fine", "look at"}  # the wall's clock in a simulation


def test_several_old_measurements_certify_as_the_tuner_says() -> None:
    case = study({"memory": "10 min", "lead": 10})
    step, here = FirstStep(case), np.zeros(1)
    at = [0.0, 30.0, 75.0]
    for count in (1, 2, 3):
        tuner = Tuner(case, 0)
        for t in at[:count]:
            row = {"objective": -0.7, "margins": {"torque": 0.22}}
            tuner.tell_manual({"kp": 40.0}, "default", row, operating_time=t)
        bound = tuner.certify({"kp": 40.0}, "default", operating_time=120.0).bounds["torque"].lower
        ages = [120.0 - t for t in at[:count]]
        needed = step.needed(0, here, ages=ages)
        assert (bound >= 0) == (needed <= 0.22)
        # The bound is linear in the measured value: at what is needed it is exactly the limit.
        exact = Tuner(case, 0)
        for t in at[:count]:
            row = {"objective": -0.7, "margins": {"torque": needed}}
            exact.tell_manual({"kp": 40.0}, "default", row, operating_time=t)
        lower = exact.certify({"kp": 40.0}, "default", operating_time=120.0).bounds["torque"].lower
        assert lower == pytest.approx(0.0, abs=1e-9)
    assert step.needed(0, here, count=3) == pytest.approx(step.needed(0, here, ages=[1e-9] * 3))


def test_without_time_nothing_is_said() -> None:
    assert not list(time_findings(study(None)))


def test_what_is_declared_is_told_for_usual_margins() -> None:
    found = list(time_findings(study({"memory": "40 min"})))
    assert "with 1 prior_std; " in found[0].text
    assert "with 3 prior_std" in found[0].text
    assert "how long a trial lasts, which comes on top, is not known here" in told(found)
    assert "right after a measurement, without surrogate.time" in found[-1].text


def test_a_certificate_that_is_gone_before_the_next_trial_is_warned_of() -> None:
    case = study({"memory": "10 min", "lead": 10})
    rough = study(
        {"memory": "10 min", "lead": 10},
        constraints=[{"name": "torque", "prior_std": 0.2, "noise_std": 0.1}],
    )
    # Needed 50 s later: 0.463 of one measurement, 0.385 of two, 0.368 of three.
    found = list(time_findings(rough, shown(rough, 0.375, duration=40.0, own_clock=True)))
    assert found[1].verdict == "look at"
    assert "is gone before the next trial begins, up to 50 s later" in found[1].text
    assert "it holds after 3 measurements of the seed in a row" in found[1].text
    # 0.07 holds at once, and never when a trial begins.
    found = list(time_findings(case, shown(case, 0.07, duration=40.0, own_clock=True)))
    assert found[1].verdict == "refused"
    assert "measured again, the seed would not be certified, and the run would stop" in found[1].text


def test_a_seed_that_is_never_certified_in_time_is_refused_with_any_margin() -> None:
    noisy = [{"name": "torque", "prior_std": 0.2, "noise_std": 0.15}]
    case = study({"memory": "10 min"}, constraints=noisy, tuner={"method": "safe_ucb", "beta": 6.0})
    found = list(time_findings(case))
    assert "not even at once with 1 prior_std" in found[0].text
    assert found[1].verdict == "refused"
    assert "with up to 3 prior_std" in found[1].text


def test_trials_so_long_that_only_seeds_would_be_tried_are_refused() -> None:
    case = study({"memory": "10 min", "lead": 10})
    found = list(time_findings(case, shown(case, 0.5, duration=55.0, own_clock=True)))
    assert ("refused", True) in [(f.verdict, "nothing but seeds would be tried" in f.text) for f in found]
    short = told(list(time_findings(case, shown(case, 0.5, duration=49.0, own_clock=True))))
    assert "refused" not in short


def test_keys_and_clocks_that_are_not_used_are_named() -> None:
    both = study({"memory": "40 min", "lead": 30, "interval": 60})
    text = told(list(time_findings(both, shown(both, 0.4))))
    assert "surrogate.time.lead is not used beside surrogate.time.interval" in text
    assert "clock on the wall" not in text
    assert "surrogate.time.interval 60 s" in text
    alone = study({"memory": "40 min"})
    assert "the clock on the wall goes on" in told(list(time_findings(alone, shown(alone, 0.4))))
    assert "the clock on the wall" not in told(list(time_findings(alone, shown(alone, 0.4, own_clock=True))))


def test_a_prior_that_certifies_by_itself_never_expires() -> None:
    sure = [{"name": "torque", "prior_mean": 1.0, "prior_std": 0.2, "noise_std": 0.02}]
    found = list(time_findings(study({"memory": "40 min"}, constraints=sure)))
    assert "certifies it for good with 1 prior_std" in found[0].text
    assert "any number of trials fit" in found[1].text


def test_check_says_it_with_the_simulations_own_duration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.py").write_text(HOP)
    (tmp_path / "hop.yaml").write_text(
        """\
name: hop
evaluator: {name: "mine:hop"}
parameters: [{name: kp, bounds: [10, 200], scale: log}]
objective: {name: height, prior_mean: -0.7}
constraints: [{name: torque, prior_std: 0.2, noise_std: 0.02}]
seeds: [{parameters: {kp: 40}}]
surrogate: {lengthscale: 0.2, time: {memory: 40 min, lead: 10}}
tuner: {method: safe_ucb, beta: 3.0}
"""
    )
    monkeypatch.chdir(tmp_path)
    done = in_process(capfd, "check", "hop.yaml")
    assert (
        "fine     time: what one measurement of the seed shows (memory 40 min) certifies it for " in done.out
    )
    assert "a trial of 5 s and surrogate.time.lead 10 s" in done.out
    bare = in_process(capfd, "check", "hop.yaml", "--no-run")
    assert "with 3 prior_std" in bare.out
    assert "is not known here" in bare.out
