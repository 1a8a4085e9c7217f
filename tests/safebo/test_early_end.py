"""Which trials may end early, and what is told of one that did."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from journals import create
from journals import trial as journal_trial
from test_horizon import DATA, record, study, walk

from safebo.evaluators.early_end import early_end
from safebo.evaluators.gate import evaluate_safely
from safebo.evaluators.outcome import what_happened
from safebo.storage.journal import Journal
from safebo.storage.prior_trials import PriorTrials, prior_rows
from safebo.study import Study
from safebo.study.reading import check_study
from safebo.tuner import Tuner
from safebo.tuner.encoding import StudyEncoding
from safebo.types import Bounds, EarlyEnd, EvaluatorInfo, Measurement, Monitor, Strides, Trial

TRIAL = Trial(
    2, {"kp": 0.5}, {}, "default", "local", 0, True, predicted={"speed": Bounds(-12.0, -10.0, -8.0)}
)
SETTLED: dict[str, Any] = {"early_end": ["settled"]}


def test_local_trials_end_once_a_margin_is_below_zero_and_no_others_do() -> None:
    named = study(constraints=[{**DATA["constraints"][0], "quantity": "trunk"}])
    assert early_end(TRIAL, named) == EarlyEnd(("trunk",))
    for phase in ("seed", "global", "manual"):
        assert early_end(replace(TRIAL, phase=phase), named) is None
    assert early_end(TRIAL, study(constraints=[], horizon=None)) is None


def test_a_trial_is_settled_once_its_mean_is_known_to_half_the_declared_noise() -> None:
    rule = early_end(TRIAL, study(**SETTLED))
    assert rule is not None
    assert rule == EarlyEnd(("height",), rule.settled, None, 6.0)
    assert rule.settled == pytest.approx(0.005)
    log = {"name": "speed", "noise_std": 0.1, "warp": {"kind": "log", "upper": 0.0, "scale": 50.0}}
    found = early_end(TRIAL, study(objective=log, **SETTLED))
    assert found is not None
    # On a logarithmic scale 0.05 is 5 % of the cost of 10 that is expected there.
    assert found.settled == pytest.approx(0.5, rel=1e-3)
    assert early_end(replace(TRIAL, predicted={}), study(**SETTLED)) == EarlyEnd(("height",))


def test_settled_needs_a_horizon() -> None:
    with pytest.raises(Exception, match="settled needs horizon"):
        check_study(study(horizon=None, **SETTLED))
    with pytest.raises(Exception, match="dominated needs horizon"):
        check_study(study(horizon=None, early_end=["dominated"]))
    with pytest.raises(Exception, match="early_end"):
        study(early_end=["bored"])


def test_a_trial_is_dominated_by_certified_gains_that_are_better_by_more_than_noise() -> None:
    declared = study(early_end=["dominated"])
    tuner = Tuner(declared)
    seed = tuner.ask()
    assert seed.dominated is None
    tuner.tell(seed, walk(0.5, 1))
    trial = tuner.ask()
    lower = tuner.certify({"kp": 0.5}, "default").bounds["speed"].lower
    assert trial.phase == "local"
    assert trial.dominated == pytest.approx(lower - 2 * 0.01)
    assert early_end(trial, declared) == EarlyEnd(("height",), None, trial.dominated, 6.0)
    both = early_end(trial, study(early_end=["settled", "dominated"]))
    assert both is not None
    assert both.settled == pytest.approx(0.005)
    assert replace(both, settled=None) == EarlyEnd(("height",), None, trial.dominated, 6.0)
    plain = Tuner(study())
    plain.tell(plain.ask(), walk(0.5, 1))
    assert plain.ask().dominated is None


def test_a_journal_gives_the_bound_back(tmp_path: Path) -> None:
    trials = [journal_trial(1, predicted=TRIAL.predicted, dominated=-3.25), journal_trial(2)]
    with create(tmp_path / "run") as journal:
        for trial in trials:
            journal.ask(trial, round=0)
    with Journal.open(tmp_path / "run", read_only=True) as journal:
        assert [r.trial for r in journal.records()] == trials


class Walker:
    """Remembers the rules that it was given."""

    def __init__(self) -> None:
        self.rules: list[EarlyEnd | None] = []

    def info(self) -> EvaluatorInfo:
        return EvaluatorInfo("walker", (), (), ())

    def evaluate(self, trial: Trial, monitor: Monitor | None = None) -> Measurement:
        self.rules.append(trial.early_end)
        return Measurement("completed", 1.0, {"height": 0.1})


class Watch:
    """A monitor that never fires."""

    backups = ()

    def check(self, state: Any) -> int:
        return -1


def test_an_evaluator_is_told_the_rule_unless_a_monitor_watches() -> None:
    walker = Walker()
    for trial, monitor in ((TRIAL, None), (replace(TRIAL, phase="seed"), None), (TRIAL, Watch())):
        evaluate_safely(walker, trial, monitor, study())
    assert walker.rules == [EarlyEnd(("height",)), None, None]


TWO = {"constraints": [*DATA["constraints"], {"name": "torque", "prior_std": 1.0, "noise_std": 0.1}]}
STRIDES = Strides(
    0.5, 1.0, (1.0, 1.2, 0.9, 1.1), {"height": (0.1, 0.0, -0.1, 0.1), "torque": (1.0, 2.0, 1.0, 1.5)}
)
ENDED = Measurement(
    "completed", 1.05, {"height": -0.1, "torque": 1.0}, duration=3.0, strides=STRIDES, ended="unsafe"
)


def observed(declared: Study, measurement: Measurement) -> Any:
    return StudyEncoding(declared).observations([record(2, measurement)])[0]


def test_of_a_trial_that_ended_unsafe_only_what_its_rest_cannot_mend_is_told() -> None:
    row = observed(study(horizon=None, **TWO), ENDED)
    assert row.values == (1.05, -0.1, None)
    whole = observed(study(horizon=None, **TWO), replace(ENDED, ended=""))
    assert whole.values == (1.05, -0.1, 1.0)
    assert whole.noise == ()


def test_a_shorter_trial_has_the_noise_of_its_strides_beside_the_declared() -> None:
    row = observed(study(horizon=None, **TWO), ENDED)
    assert row.noise[1:] == (0.0, 0.0)
    # The variance of the mean of four strides that are hardly correlated.
    assert row.noise[0] == pytest.approx(np.var(STRIDES.objective, ddof=1) / 4, rel=0.7)
    short = replace(ENDED, strides=replace(STRIDES, objective=(1.0, 1.2), margins={"height": (0.1, -0.1)}))
    assert observed(study(horizon=None, **TWO), short).noise[0] == 1.0  # the prior's
    assert observed(study(horizon=None, **TWO), replace(ENDED, strides=None)).noise[0] == 1.0


def test_margins_of_a_settled_trial_are_told_as_far_as_the_horizon() -> None:
    m = replace(walk(0.5, 2), ended="settled")
    row, plain = observed(study(**SETTLED), m), observed(study(), replace(m, ended=""))
    assert row.values == plain.values
    assert row.values[1] < m.margins["height"]


def test_it_is_said_that_a_trial_ended() -> None:
    assert what_happened(ENDED) == ["ended after 3 s: unsafe"]


def test_a_copy_of_a_trial_that_ended_early_still_says_so() -> None:
    """A simulation's trial that was cut short must not count for a robot as one that kept its other margins."""
    strides = Strides(0.5, 1.0, (-1.0, -1.1, -0.9), {"height": (0.1, 0.2, -0.1)})
    ended = Measurement(
        "completed", -1.0, {"height": -0.1}, strides=strides, ended="unsafe", extra={"rms": 2.0}
    )
    whole = Measurement("completed", -1.0, {"height": 0.1})
    rows = prior_rows([(TRIAL, ended), (replace(TRIAL, id=2), whole)])
    prior = PriorTrials("key", "runs/simulated", "walk", (), rows)
    (_, first), (_, second) = prior.records
    assert first is not None
    assert second is not None
    assert (first.ended, first.margins, first.strides) == ("unsafe", ended.margins, strides)
    assert (second.ended, second.margins) == ("", whole.margins)
    assert "ended" not in str(rows[1])
