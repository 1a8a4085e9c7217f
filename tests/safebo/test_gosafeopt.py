"""GoSafeOpt: phases, regions, backups, the failed set, and whole runs on two islands."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from island_case import completed, growth, island_study, roll_out, trial_of

from safebo.boundary.monitor import BoundaryMonitor
from safebo.errors import MeasurementError, StudyError
from safebo.runs.run_checks import refuse_unwatched
from safebo.study import GlobalSpec, Study
from safebo.study.reading import study_in_python
from safebo.tuner import Tuner
from safebo.tuner.backups import backup_of
from safebo.tuner.encoding import StudyEncoding
from safebo.tuner.phases import progress
from safebo.tuner.proposer import Proposer
from safebo.types import EvaluatorInfo, Measurement, Phase, Trial, TrialRecord


def explore(tuner: Tuner, trials: int, noise_seed: int) -> list[tuple[Trial, Measurement, float]]:
    rng = np.random.default_rng(noise_seed)
    seen = []
    for _ in range(trials):
        trial = tuner.ask()
        m, margin = roll_out(trial, tuner.monitor(trial), rng)
        tuner.tell(trial, m)
        seen.append((trial, m, margin))
    return seen


def test_the_toy_has_two_islands_and_the_better_one_is_not_the_seeds() -> None:
    k = np.linspace(0, 1, 2001)
    safe = np.array([0.5 * (1 + max(growth(v), 0.0)) ** 20 <= 1.0 for v in k])
    edges = np.flatnonzero(np.diff(safe.astype(int)))
    assert len(edges) == 2
    assert safe[0]
    assert safe[-1]
    assert k[edges[0]] < 0.5 < k[edges[1]] < 0.8


@pytest.mark.slow
def test_gosafeopt_reaches_the_better_island_safely_where_safeopt_stays() -> None:
    seed = 0
    tuner = Tuner(island_study(), seed)
    seen = explore(tuner, 22, seed)
    assert min(margin for _, _, margin in seen) >= 0
    assert {trial.phase for trial, _, _ in seen} == {"seed", "local", "global"}
    best = tuner.best()
    assert best is not None
    assert best.certified
    assert best.parameters["k"] > 0.573
    for trial, m, _ in seen:
        assert (trial.trigger_rule == "lipschitz") == (trial.phase == "global")
        assert trial.trigger_guarantee == (trial.phase == "global")
        if m.outcome == "backup":
            assert trial.phase == "global"

    home = Tuner(island_study("safeopt"), seed)
    stayed = explore(home, 14, seed)
    assert all(trial.parameters["k"] < 0.427 for trial, _, _ in stayed)
    assert all(trial.phase in ("seed", "local") for trial, _, _ in stayed)


@pytest.mark.parametrize("rule", ["gaussian_tail", "kernel_covariance", "cost_to_go"])
def test_heuristics_carry_no_guarantee_and_say_so(rule: str) -> None:
    tuner = Tuner(island_study(rule=rule, exploration={"local_steps": 1}), 0)
    seen = [(trial, margin) for trial, _, margin in explore(tuner, 4, 0)]
    watched = [trial for trial, _ in seen if trial.phase == "global"]
    assert watched
    assert {(trial.trigger_rule, trial.trigger_guarantee) for trial in watched} == {(rule, False)}
    assert min(margin for _, margin in seen) >= 0


def test_two_tuners_in_one_process_share_nothing() -> None:
    alone = [t for t, _, _ in explore(Tuner(island_study(), 0), 9, 0)]
    a, b = Tuner(island_study(), 0), Tuner(island_study(), 1)
    rng = np.random.default_rng(0), np.random.default_rng(1)
    together = []
    for _ in range(9):
        for tuner, generator in zip((a, b), rng, strict=True):
            trial = tuner.ask()
            tuner.tell(trial, roll_out(trial, tuner.monitor(trial), generator)[0])
            if tuner is a:
                together.append(trial)
    assert alone == together


def test_restore_goes_on_exactly_through_all_phases() -> None:
    first = Tuner(island_study(), 2)
    seen = explore(first, 16, 2)
    for cut in (6, 7, 8, 15):
        again = Tuner(island_study(), 2)
        again.restore([(t, m) for t, m, _ in seen[:cut]])
        trial = again.ask()
        assert trial == seen[cut][0]
        theirs = again.monitor(trial)
        if trial.phase == "global":
            assert theirs is not None
            np.testing.assert_array_equal(theirs.check(np.array([0.7])), theirs.check(np.array([0.7])))


def test_the_failing_gains_are_avoided_until_their_state_is_covered() -> None:
    tuner = Tuner(island_study(), 0)
    stopped = Measurement("backup", margins={"margin": 0.1}, backup_state=np.array([0.95]))
    tuner.restore(
        [
            (trial_of(1, "seed", 0.2), completed(-0.3, 0.45, [0.5, 0.4, 0.3])),
            (trial_of(2, "global", 0.5), stopped),
        ]
    )
    surrogate = tuner.surrogate()
    # Nothing of the stopped trial is modelled: neither gains ran the whole rollout.
    assert surrogate.posteriors[1].count == 1
    assert [t.parameters["k"] for t in tuner._watching.failed_set("default")] == [0.5]
    tuner.tell_manual({"k": 0.25, "d": 0.5}, "default", completed(-0.2, 0.45, [0.95, 0.6, 0.5]))
    assert tuner._watching.failed_set("default") == []


def test_every_failed_trial_is_checked_again_at_once() -> None:
    tuner = Tuner(island_study(), 0)
    stops = [(2, 0.5, 0.95), (3, 0.55, 0.94), (4, 0.6, 3.0), (5, 0.65, 0.96)]
    tuner.restore(
        [
            (trial_of(1, "seed", 0.2), completed(-0.3, 0.45, [0.5, 0.4])),
            *(
                (
                    trial_of(i, "global", k),
                    Measurement("backup", margins={"margin": 0.1}, backup_state=np.array([s])),
                )
                for i, k, s in stops
            ),
        ]
    )
    assert [t.id for t in tuner._watching.failed_set("default")] == [2, 3, 4, 5]
    tuner.tell_manual({"k": 0.25, "d": 0.5}, "default", completed(-0.2, 0.45, [0.95, 0.6]))
    assert [t.id for t in tuner._watching.failed_set("default")] == [4]


def two_contexts(**tuner: Any) -> Tuner:
    study = island_study(**tuner).model_dump()
    study["context"] = {
        "variables": [{"name": "load", "bounds": [0.0, 1.0], "lengthscale": 5.0}],
        "values": {"light": {"load": 0.0}, "heavy": {"load": 1.0}},
    }
    study["seeds"] = [{"context": c, "parameters": {"k": 0.2, "d": 0.5}} for c in ("light", "heavy")]
    return Tuner(Study.model_validate(study), 0)


def test_contexts_share_the_surrogate_and_neither_backups_nor_failed_sets() -> None:
    tuner = two_contexts()
    stopped = Measurement("backup", margins={"margin": 0.1}, backup_state=np.array([0.95]))
    light, heavy = {"load": 0.0}, {"load": 1.0}
    rows = [
        (trial_of(1, "seed", 0.2, "light"), light, completed(-0.3, 0.45, [0.5, 0.4])),
        (trial_of(2, "global", 0.5, "light"), light, stopped),
        (trial_of(3, "seed", 0.2, "heavy"), heavy, completed(-0.3, 0.45, [0.95, 0.9])),
    ]
    tuner.restore([(replace(t, context=c), m) for t, c, m in rows])
    # The heavy seed masters the state of the failure, but under the other context.
    assert [t.id for t in tuner._watching.failed_set("light")] == [2]
    assert tuner._watching.failed_set("heavy") == []
    monitors = [tuner._watching.monitor(name) for name in ("light", "heavy")]
    assert [sorted(m.states.ravel()) for m in monitors] == [[0.4, 0.5], [0.9, 0.95]]
    assert len(tuner._state.told("heavy").visited) == 0
    assert tuner.surrogate().posteriors[1].count == 2


def test_local_phases_start_from_what_other_contexts_found_where_that_is_certified() -> None:
    tuner = two_contexts()
    light, heavy = {"load": 0.0}, {"load": 1.0}
    found: list[tuple[int, Phase, float]] = [(2, "global", 0.75)]
    found += [(i, "local", k) for i, k in enumerate((0.78, 0.8, 0.82, 0.77), 3)]
    rows = [(trial_of(1, "seed", 0.2, "light"), light)]
    rows += [(trial_of(i, phase, k, "light"), light) for i, phase, k in found]
    rows.append((trial_of(7, "seed", 0.2, "heavy"), heavy))
    tuner.restore(
        [(replace(t, context=c), completed(-((t.parameters["k"] - 0.8) ** 2), 0.45)) for t, c in rows]
    )
    # No path of certified points joins the better island to the seed: the other context's trials lead there.
    trial = tuner.ask("heavy")
    assert (trial.phase, trial.certified) == ("local", True)
    assert trial.parameters["k"] > 0.573


def test_a_global_step_searches_once(monkeypatch: pytest.MonkeyPatch) -> None:
    searched: list[str] = []
    search = Proposer.search

    def counting(self: Proposer, acquisition: Any, *arguments: Any) -> Any:
        if not acquisition.certified_only:
            searched.append(type(acquisition).__name__)
        return search(self, acquisition, *arguments)

    monkeypatch.setattr(Proposer, "search", counting)
    tuner = Tuner(island_study(exploration={"local_steps": 1}), 0)
    tuner.restore(
        [
            (trial_of(1, "seed", 0.2), completed(-0.3, 0.45, [0.5, 0.4])),
            (trial_of(2, "local", 0.21), completed(-0.3, 0.45, [0.5, 0.4])),
        ]
    )
    assert tuner.ask().phase == "global"
    assert searched == ["WidestOutside"]


def test_gains_of_the_margin_to_go_are_on_the_warped_scale_and_of_the_smallest_margin() -> None:
    study = island_study().model_dump()
    study["constraints"] = [
        {"name": "a", "quantity": "margin", "prior_mean": -0.1, "warp": {"kind": "identity", "scale": 2.0}},
        {"name": "b", "prior_mean": -0.1, "warp": {"kind": "log", "scale": 3.0, "upper": 3.0}},
    ]
    encoding = StudyEncoding(Study.model_validate(study))
    # Warped, a is 0.4, 0.4, 0.7, 0.8 and b is log 3 - log(3 - y) = 0.3, 0.6, 0.6, 1.0.
    a, b = [0.8, 0.8, 1.4, 1.6], [3.0 - 3.0 * np.exp(-v) for v in (0.3, 0.6, 0.6, 1.0)]
    told = Measurement(
        "completed",
        0.0,
        {"margin": a[0], "b": b[0]},
        states=np.zeros((4, 1)),
        margins_to_go={"margin": np.array(a), "b": np.array(b)},
    )
    found = backup_of(TrialRecord(trial_of(1, "seed", 0.2), told), encoding)
    assert found is not None
    assert found.gain == pytest.approx([0.0, 0.1, 0.3, 0.5])
    short = replace(told, margins_to_go={"margin": np.array(a), "b": np.array(b[:2])})
    with pytest.raises(MeasurementError, match="one finite number per visited state"):
        backup_of(TrialRecord(trial_of(1, "seed", 0.2), short), encoding)


def test_cost_to_go_without_margins_to_go_says_what_is_missing() -> None:
    tuner = Tuner(island_study(rule="cost_to_go"), 0)
    tuner.restore([(trial_of(1, "seed", 0.2), completed(-0.3, 0.45, [0.5, 0.4]))])
    with pytest.raises(MeasurementError, match="trial 1 reports no `margins_to_go`"):
        tuner.monitor(trial_of(2, "global", 0.9))
    info = EvaluatorInfo("robot", (), (), (), monitored=True)
    with pytest.raises(StudyError, match=r"tuner.backup.rule: 'cost_to_go' learns from margins to go"):
        refuse_unwatched(info, study_in_python(tuner.study))
    refuse_unwatched(replace(info, margins_to_go=True), study_in_python(tuner.study))
    refuse_unwatched(info, study_in_python(island_study()))


def test_backups_are_certified_completed_trials_only() -> None:
    tuner = Tuner(island_study(), 0)
    fall = Measurement("aborted", None, {"margin": -0.8}, fell=True, states=np.array([[0.5], [5.0]]))
    tuner.restore(
        [
            (trial_of(1, "seed", 0.2), completed(-0.3, 0.45, [0.5, 0.4])),
            (trial_of(2, "local", 0.22), fall),
            (trial_of(3, "local", 0.19), completed(-0.3, -0.05, [3.0, 3.0])),
            (trial_of(4, "local", 0.05), completed(-0.3, 0.44, [0.5, 0.2])),
        ]
    )
    monitor = tuner.monitor(trial_of(5, "global", 0.9))
    assert isinstance(monitor, BoundaryMonitor)
    assert set(np.round(monitor.states.ravel(), 6)) <= {0.5, 0.4, 0.2}
    assert all(backup["k"] in (0.2, 0.05) for backup in monitor.backups)
    assert tuner.monitor(trial_of(5, "local", 0.2)) is None


def test_beyond_the_capacity_states_are_kept_that_decided_in_earlier_global_trials() -> None:
    turn = np.arange(200.0)
    circle = 10.0 * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    study = island_study(backup={"rule": "lipschitz", "capacity": 20})
    seed = trial_of(1, "seed", 0.2), Measurement("completed", -0.3, {"margin": 0.45}, states=circle)

    def monitor(*more: tuple[Trial, Measurement]) -> BoundaryMonitor:
        tuner = Tuner(study, 0)
        tuner.restore([seed, *more])
        found = tuner.monitor(trial_of(9, "global", 0.9))
        assert isinstance(found, BoundaryMonitor)
        return found

    before = monitor().states
    left_out = next(row for row in circle if not (before == row).all(1).any())
    outward = left_out * np.linspace(1.0, 2.0, 500)[:, None]
    broken = Measurement("backup", -0.4, {"margin": 0.1}, states=outward)
    phases: tuple[tuple[Phase, bool], ...] = (("global", True), ("local", False))
    for phase, kept in phases:
        states = monitor((trial_of(2, phase, 0.9), broken)).states
        assert len(states) <= 20
        assert (states == left_out).all(1).any() == kept


def test_states_of_different_widths_are_refused() -> None:
    tuner = Tuner(island_study(), 0)
    wide = Measurement("completed", -0.3, {"margin": 0.45}, states=np.zeros((4, 2)))
    tuner.restore(
        [
            (trial_of(1, "seed", 0.2), completed(-0.3, 0.45, [0.5, 0.4])),
            (trial_of(2, "manual", 0.2), wide),
        ]
    )
    with pytest.raises(MeasurementError, match="different widths"):
        tuner.monitor(trial_of(3, "global", 0.9))


Row = tuple[Phase, float, Measurement | None]


def records(*rows: Row) -> list[TrialRecord]:
    return [TrialRecord(trial_of(i + 1, phase, k), m) for i, (phase, k, m) in enumerate(rows)]


SPEC = GlobalSpec(local_steps=2, global_steps=3, patience=2, tolerance=0.8)


def test_phases_alternate_and_a_safe_global_trial_opens_a_region() -> None:
    encoding = StudyEncoding(island_study())
    seed: Row = ("seed", 0.2, completed(-0.4))
    local: Row = ("local", 0.21, completed(-0.35))
    stopped: Row = ("global", 0.5, Measurement("backup", margins={"margin": 0.1}))
    unsafe: Row = ("global", 0.45, completed(-0.1, -0.01))
    opened: Row = ("global", 0.9, completed(-0.05))

    def at(*rows: Row) -> tuple[str, int, int]:
        p = progress(records(*rows), encoding, SPEC)
        return p.phase, p.steps, p.current

    assert at(seed) == ("local", 0, 0)
    assert at(seed, local) == ("local", 1, 0)
    assert at(seed, local, local) == ("global", 0, 0)
    assert at(seed, local, local, stopped) == ("global", 1, 0)
    assert at(seed, local, local, stopped, unsafe) == ("global", 2, 0)
    assert at(seed, local, local, stopped, unsafe, stopped) == ("local", 0, 0)
    assert at(seed, local, local, stopped, opened) == ("local", 0, 1)
    # A local phase that converged early was followed by a global trial: that is in the records.
    assert at(seed, local, stopped) == ("global", 1, 0)
    # The same point again is the same region.
    assert len(progress(records(seed, opened, opened), encoding, SPEC).regions) == 2


def test_a_clearly_worse_region_is_left_after_its_patience() -> None:
    encoding = StudyEncoding(island_study())
    spec = SPEC.model_copy(update={"local_steps": 5})
    seed: Row = ("seed", 0.2, completed(-0.4))
    home: Row = ("local", 0.21, completed(-0.1))
    opened: Row = ("global", 0.9, completed(-0.35))
    poor: Row = ("local", 0.91, completed(-0.33))
    good: Row = ("local", 0.92, completed(-0.12))
    rows = [seed, home, opened, poor]
    assert progress(records(*rows), encoding, spec).current == 1
    assert progress(records(*rows, poor), encoding, spec).current == 0
    assert progress(records(*rows, good), encoding, spec).current == 1
