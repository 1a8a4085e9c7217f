"""Points of global trials: what their own measurements certify, when they are repeated, and when they are given up."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from island_case import completed, island_study, trial_of
from torch import Tensor

from safebo.safety.measured_points import own_posterior
from safebo.study import GlobalSpec, Study
from safebo.tuner import Tuner
from safebo.tuner.encoding import StudyEncoding
from safebo.tuner.phases import MAX_REPEATS, progress
from safebo.types import Measurement, Phase, Trial, TrialRecord

NOISE, BETA, AT = 0.05, 3.0, {"k": 0.9, "d": 0.5}
SEED = (trial_of(1, "seed", 0.2), completed(-0.3, 0.45, [0.5, 0.4]))
FELL = Measurement("aborted", margins={"margin": 0.3}, fell=True)
STOPPED = Measurement("backup", margins={"margin": 0.1}, backup_state=np.array([0.95]))


@dataclass(frozen=True)
class Home:
    """A surrogate that certifies the seed's island and nothing else, whatever was measured there."""

    def margins(self, X: Tensor, lower: Tensor, thresholds: Tensor) -> Tensor:
        return (0.4 - X[..., :1]).expand(lower.shape)


def noisy_study() -> Study:
    """The islands with more noise."""
    study = island_study()
    margin = study.constraints[0].model_copy(update={"noise_std": NOISE})
    return study.model_copy(update={"constraints": (margin,)})


def restored(told: list[tuple[Trial, Measurement | None]], study: Study | None = None) -> Tuner:
    """A tuner of these trials, in whose second island measurements alone certify."""
    tuner = Tuner(study or noisy_study(), 0)
    vars(tuner._state)["_certificate"] = lambda name, ctx: Home()
    tuner.restore(told)
    return tuner


def tuner_of(*margins: float | Measurement, phases: tuple[Phase, ...] = ()) -> Tuner:
    """A tuner that was told these measurements at one point, by global trials where nothing else is said."""
    told = [m if isinstance(m, Measurement) else completed(-0.01, m, [0.5, 0.4]) for m in margins]
    kinds: list[Phase] = [*phases, *["global" for _ in told[len(phases) :]]]  # type: ignore[list-item]
    rows = zip(itertools.count(2), kinds, told, strict=False)
    return restored([SEED, *((trial_of(i, phase, 0.9), m) for i, phase, m in rows)])


def lower(margins: list[float]) -> float:
    """The oracle: mean - beta * noise / sqrt(n), with the scatter of the measurements for noise where it is larger."""
    n, mean = len(margins), sum(margins) / len(margins)
    scatter = math.sqrt(sum((y - mean) ** 2 for y in margins) / (n - 1)) if n > 1 else 0.0
    return mean - BETA * max(NOISE, scatter) / math.sqrt(n)


margins = st.lists(st.floats(-0.4, 0.5), min_size=1, max_size=8)


@given(st.lists(st.tuples(*[st.one_of(st.just(math.nan), st.floats(-5, 5))] * 2), max_size=6))
def test_the_posterior_of_a_point_is_that_of_the_mean_of_its_measurements(
    rows: list[tuple[float, float]],
) -> None:
    noise = (0.25, 0.015625)
    said = own_posterior(torch.tensor(rows, dtype=torch.float64).reshape(-1, 2), torch.tensor(noise).double())
    for column, s in enumerate(noise):
        seen = [row[column] for row in rows if not math.isnan(row[column])]
        mean, std = float(said.mean[0, column]), float(said.std[0, column])
        if not seen:
            assert (mean, std) == (-math.inf, math.inf)
            continue
        spread = max(s, float(np.std(seen, ddof=1)) if len(seen) > 1 else 0.0)
        assert mean == pytest.approx(np.mean(seen), abs=1e-12)
        assert std == pytest.approx(spread / math.sqrt(len(seen)), rel=1e-9)


@settings(max_examples=25)
@given(margins)
@example([0.017])
@example([0.2, 0.2])
@example([0.16, -1e-9])
def test_a_point_is_certified_only_as_all_its_measurements_allow(found: list[float]) -> None:
    tuner = tuner_of(*found)
    shown = tuner.certify(AT, "default")
    opened = any(y >= 0 for y in found)
    least = lower(found)
    assert shown.certified == (opened and least >= 0)
    bounds = shown.bounds["margin"]
    if shown.certified:
        assert bounds.lower == pytest.approx(least, abs=1e-12)
        assert bounds.mean == pytest.approx(sum(found) / len(found), abs=1e-12)
        assert bounds.upper == pytest.approx(2 * bounds.mean - bounds.lower, abs=1e-12)
    else:
        # What the certificate's rule says is shown, as nothing else speaks for the point.
        assert bounds.lower == pytest.approx(-0.5)
    # Backups follow the same rule.
    backed, bound = tuner._watching.backups("default")
    assert [b.trial for b in backed] == (
        [1] + [i for i, y in enumerate(found, 2) if y >= 0] if shown.certified else [1]
    )
    assert min(bound) >= 0
    if shown.certified:
        assert bound[1:] == pytest.approx([least] * (len(bound) - 1), abs=1e-12)
    assert not tuner.certify({"k": 0.9, "d": 0.51}, "default").certified


@settings(max_examples=10)
@given(margins, st.sampled_from([FELL, STOPPED, replace(FELL, fell=False), replace(FELL, outcome="failed")]))
def test_a_trial_that_was_stopped_at_a_point_revokes_whatever_was_measured(
    found: list[float], ended: Measurement
) -> None:
    orders: list[list[float | Measurement]] = [[*found, ended], [found[0], ended, *found[1:]]]
    for told in orders:
        assert not tuner_of(*told).certify(AT, "default").certified


@given(st.floats(0.0, 10.0), st.floats(-10.0, 0.0))
def test_one_negative_repeat_revokes_what_one_measurement_certified(good: float, bad: float) -> None:
    said = own_posterior(torch.tensor([[good], [bad]]).double(), torch.tensor([NOISE]).double())
    assert float(said.mean - 1.0 * said.std) <= 1e-12


@pytest.mark.parametrize("phase", ["seed", "local", "manual"])
def test_trials_of_every_phase_at_the_point_count(phase: Phase) -> None:
    assert tuner_of(0.3).certify(AT, "default").certified
    assert tuner_of(0.3, 0.3, phases=("global", phase)).certify(AT, "default").certified
    assert not tuner_of(0.3, -0.1, phases=("global", phase)).certify(AT, "default").certified
    # Trials of no global phase open nothing.
    assert not tuner_of(0.3, 0.3, phases=("manual", "manual")).certify(AT, "default").certified


def test_round_off_in_gains_does_not_make_another_point_of_it() -> None:
    tuner = tuner_of(0.3)
    tuner.tell_manual({"k": math.nextafter(0.9, 1.0), "d": 0.5}, "default", completed(-0.01, -0.1))
    assert not tuner.certify(AT, "default").certified


def test_points_belong_to_the_context_in_which_they_were_opened() -> None:
    study = noisy_study().model_dump()
    study["context"] = {
        "variables": [{"name": "load", "bounds": [0.0, 1.0], "lengthscale": 5.0}],
        "values": {"light": {"load": 0.0}, "heavy": {"load": 1.0}},
    }
    study["seeds"] = [{"context": c, "parameters": {"k": 0.2, "d": 0.5}} for c in ("light", "heavy")]
    light, heavy = {"load": 0.0}, {"load": 1.0}
    rows: list[tuple[Phase, str, dict[str, float], float, float]] = [
        ("seed", "light", light, 0.2, 0.45),
        ("seed", "heavy", heavy, 0.2, 0.45),
        ("global", "light", light, 0.9, 0.3),
        ("manual", "heavy", heavy, 0.9, -0.3),
    ]
    tuner = restored(
        [
            (Trial(i, {"k": k, "d": 0.5}, c, name, phase, 0, True), completed(-0.3, y, [0.5, 0.4]))
            for i, (phase, name, c, k, y) in enumerate(rows, 1)
        ],
        Study.model_validate(study),
    )
    assert tuner.certify(AT, "light").certified
    assert not tuner.certify(AT, "heavy").certified


def lucky(tuner: Tuner, rng: np.random.Generator, truth: float, trials: int) -> list[tuple[Trial, bool]]:
    """What is asked where the point's truth is `truth`, and whether the point is certified after every trial."""
    seen = []
    for _ in range(trials):
        trial = tuner.ask()
        at = trial.parameters == AT
        m = completed(-0.01, truth + NOISE * rng.standard_normal(), [0.5, 0.4]) if at else STOPPED
        if trial.phase != "global":
            m = completed(-0.3, 0.45, [0.5, 0.4])
        tuner.tell(trial, m)
        seen.append((trial, tuner.certify(AT, "default").certified))
    return seen


@pytest.mark.parametrize("seed", range(2))
def test_a_lucky_measurement_is_not_certified_and_its_point_left_after_few_repeats(seed: int) -> None:
    tuner = tuner_of(0.017)
    first = tuner.ask()
    assert (first.phase, first.parameters, first.certified) == ("global", AT, False)
    assert first.reason.startswith(
        "repeats trial 2, which is not certified yet: margin margin is 0.017 on average"
    )
    assert tuner.monitor(first) is not None
    again = tuner_of(0.017)
    seen = lucky(again, np.random.default_rng(seed), -0.06, 6)
    repeats = [trial for trial, _ in seen if trial.parameters == AT]
    assert 1 <= len(repeats) <= MAX_REPEATS
    assert not any(certified for _, certified in seen)
    assert sum("the gains of trial 2 are given up: margin margin is" in t.reason for t, _ in seen) == 1
    best = again.best()
    assert best is not None
    assert best.parameters != AT
    # A restored run goes on as this one would.
    for cut in (1, 4):
        assert (
            restored([(r.trial, r.measurement) for r in list(again.history)[: 2 + cut]]).ask() == seen[cut][0]
        )


def test_a_good_point_is_repeated_until_it_is_certified_by_the_surrogate_or_as_often_as_allowed() -> None:
    tuner = tuner_of(0.1)
    seen = lucky(tuner, np.random.default_rng(0), 0.3, MAX_REPEATS + 1)
    assert [trial.parameters == AT for trial, _ in seen] == [True] * MAX_REPEATS + [False]
    # Its own measurements certify it, although the surrogate, with its prior, never does: nothing is explored there.
    assert seen[-1][1]
    assert "the gains of trial 2 are given up" in seen[-1][0].reason
    best = tuner.best()
    assert best is not None
    assert best.parameters == AT
    found, _ = tuner._watching.backups("default")
    assert {b.trial for b in found} > {1, 2}


def test_a_certificate_that_lapses_is_said() -> None:
    tuner = tuner_of(0.3)
    assert tuner.certify(AT, "default").certified
    tuner.tell_manual(AT, "default", completed(-0.01, 0.01, [0.5, 0.4]))
    assert not tuner.certify(AT, "default").certified
    assert (
        "the gains of trial 2 are certified no longer: margin margin is 0.155 on average of 2"
        in tuner.ask().reason
    )


def records(*rows: tuple[Phase, float, Measurement | None]) -> list[TrialRecord]:
    return [TrialRecord(trial_of(i + 1, phase, k), m) for i, (phase, k, m) in enumerate(rows)]


Row = tuple[Phase, float, Measurement | None]
HOME: Row = ("seed", 0.2, completed(-0.4))
ISLAND: Row = ("global", 0.9, completed(-0.05, 0.017))
FAILED: Row = ("global", 0.9, Measurement("failed", message="radio"))


@pytest.mark.parametrize(
    ("repeats", "expected"),
    [
        ([], ("local", 0, 1, False)),
        ([("global", 0.9, completed(-0.05, 0.01))], ("local", 0, 1, False)),
        # A slightly negative repeat leaves the mean positive: it is tried again.
        ([("global", 0.9, completed(-0.05, -0.01))], ("local", 0, 1, False)),
        ([("global", 0.9, completed(-0.05, -0.02))], ("global", 1, 0, True)),
        ([("global", 0.9, FELL)], ("global", 1, 0, True)),
        ([("global", 0.9, STOPPED)], ("global", 1, 0, True)),
        ([("manual", 0.9, completed(-0.05, -0.2))], ("global", 1, 0, True)),
        ([FAILED] * 3, ("local", 0, 1, False)),
        # The next global trial elsewhere says that it was not certified by then.
        ([FAILED] * 3 + [("global", 0.5, STOPPED)], ("global", 2, 0, True)),
        ([FAILED] * 3 + [("local", 0.91, completed(-0.04))], ("local", 1, 1, False)),
        ([FAILED] * 2 + [("global", 0.5, STOPPED)], ("global", 1, 1, False)),
        # What was given up is not entered again, whatever another trial there shows.
        ([("global", 0.9, FELL), ISLAND], ("global", 2, 0, True)),
    ],
)
def test_repeats_are_counted_by_attempts(repeats: list[Row], expected: tuple[str, int, int, bool]) -> None:
    spec = GlobalSpec(local_steps=2, global_steps=4, patience=2, tolerance=0.8)
    encoding = StudyEncoding(noisy_study())
    p = progress(records(HOME, ISLAND, *repeats), encoding, spec)
    assert (p.phase, p.steps, p.current, p.regions[1].given_up) == expected
    # Later trials elsewhere do not change what was decided.
    later = progress(records(HOME, ISLAND, *repeats, ("local", 0.21, completed(-0.4))), encoding, spec)
    assert later.regions[1].given_up == expected[3]


def test_a_point_that_was_measured_unsafe_before_is_not_opened_by_luck() -> None:
    spec, encoding = GlobalSpec(), StudyEncoding(noisy_study())
    unsafe: Row = ("global", 0.9, completed(-0.05, -0.1))
    assert len(progress(records(HOME, unsafe, ISLAND), encoding, spec).regions) == 1
    assert not tuner_of(-0.1, 0.017).certify(AT, "default").certified


def test_repeats_that_are_not_told_yet_are_waited_for_elsewhere() -> None:
    tuner = tuner_of(0.017)
    asked = [tuner.ask() for _ in range(3)]
    assert [trial.parameters == AT for trial in asked] == [True, False, False]
