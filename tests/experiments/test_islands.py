"""Islands of safe gains by brute force, and what runs are worth by them; those of the study go1-shaker."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from present import present
from typer.testing import CliRunner

import safebo.experiments.evidence.islands as command
from safebo.experiments import studies
from safebo.experiments.evidence.islands import as_rule, brute_force, smallest_margin, summary
from safebo.experiments.evidence.regions import axis_of, landscape_of
from safebo.experiments.evidence.truth import is_safe, truth, with_evaluator_options
from safebo.robots.evaluation.evaluator import LeggedEvaluator
from safebo.study import Parameter, Study
from safebo.study.reading import load_study
from safebo.types import Measurement, SwitchPlan, Trial, TrialRecord

SHAKER = str(studies.go1_shaker)
SOFT, BETWEEN, STIFF = 14.0, 90.0, 300.0


def two_islands():
    """Safe at both ends of a logarithmic axis, the far one better; the seed at the near end."""
    axes = np.geomspace(1.0, 100.0, 21), np.linspace(0.0, 1.0, 5)
    place = np.log10(axes[0])[:, None] + 0.0 * axes[1]
    return landscape_of(axes, (True, False), np.abs(place - 1.0) - 0.39, place, (2.0, 0.5))


def test_regions_are_told_apart_measured_and_found_again():
    found = two_islands()
    assert [r.label for r in found.regions] == [1, 2]
    assert (found.seed_region.label, found.best_region.label) == (1, 2)
    assert found.best_region.best_gains[0] == pytest.approx(100.0)
    # Safe are 0 to 0.6 and 1.4 to 2 decades: 7 of 21 columns each, 0.4 of the unit axis apart.
    assert [r.share for r in found.regions] == pytest.approx([1 / 3, 1 / 3])
    assert found.gap(1, 2) == pytest.approx(0.4)
    assert found.gap(2, 1) == pytest.approx(0.4)
    # 8 lies nearer to the edge in the logarithm than on the line.
    assert [found.region_of(k, 0.3) for k in (1.5, 3.9, 8.0, 40.0)] == [1, 1, 0, 2]


def test_an_axis_is_even_on_its_scale():
    log = Parameter(name="k", bounds=(1, 100), scale="log")
    assert axis_of(log, 3) == pytest.approx([1.0, 10.0, 100.0])
    assert axis_of(Parameter(name="k", bounds=(1, 100)), 3) == pytest.approx([1.0, 50.5, 100.0])


def record(number: int, phase: Any, kp: float, measurement: Measurement | None) -> TrialRecord:
    parameters = {"joint.calf.kp": kp, "joint.calf.kd": 0.35}
    return TrialRecord(Trial(number, parameters, {}, "default", phase, 0, phase != "global"), measurement)


def walked(margin: float, outcome: Any = "completed", fell: bool = False) -> Measurement:
    return Measurement(outcome, -0.5, {"heave": margin + 0.01}, true_margins={"heave": margin}, fell=fell)


def test_a_run_is_judged_by_the_landscape_and_by_true_margins(monkeypatch):
    study = load_study(SHAKER).study
    axes = np.geomspace(8.0, 400.0, 41), np.linspace(0.2, 0.5, 3)
    place = np.log(axes[0] / 8.0)[:, None] / np.log(50.0) + 0.0 * axes[1]
    land = landscape_of(axes, (True, False), np.abs(place - 0.6) - 0.15, place, (14.0, 0.35))
    monkeypatch.setattr(command, "truth", lambda *_: [walked(0.7)])
    records = [
        record(1, "seed", SOFT, walked(0.3)),
        record(2, "local", 16.0, walked(-0.005)),
        record(3, "global", BETWEEN, walked(0.1, "backup")),
        record(4, "global", 390.0, walked(0.2, "backup")),
        record(5, "global", BETWEEN, walked(-0.4, "aborted", fell=True)),
        record(6, "global", STIFF, walked(0.7)),
        record(7, "local", STIFF, None),
    ]
    found = summary(study, land, "lipschitz", 3, {"joint.calf.kp": STIFF, "joint.calf.kd": 0.3}, records)
    assert (found.better, found.objective) == (True, -0.5)
    assert (found.violations, found.uncertified, found.falls) == ((2, 5), (5,), 1)
    assert (found.global_trials, found.ended, found.in_vain, found.first) == (4, 2, 1, 6)
    line = command.rule_line("lipschitz", [found])
    assert "1 of 1 runs recommend gains of the better island, 0 without a violation" in line
    assert "4 global trials, 2 ended, 1 of safe gains" in line
    none = summary(study, land, "safeopt", 3, None, records[:1])
    assert (none.better, none.objective, none.first) == (False, None, None)
    assert "nothing certified" in command.run_line(none)


def test_a_fall_is_unsafe_whatever_its_margins_say():
    study = load_study(SHAKER).study
    assert smallest_margin(study, walked(0.3)) == pytest.approx(0.31)
    assert smallest_margin(study, walked(0.3, "aborted", fell=True)) < 0


def test_a_rule_changes_the_backups_alone_and_safeopt_the_method():
    study = load_study(SHAKER).study
    changed = as_rule(study, "lipschitz").tuner
    assert (changed.method, changed.backup.rule) == ("gosafeopt", "lipschitz")
    assert changed.backup.model_copy(update={"rule": "margin_to_go"}) == study.tuner.backup
    assert as_rule(study, "safeopt").tuner == study.tuner.model_copy(update={"method": "safeopt"})


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["go1-trot"], "two parameters and one context"),
        ([SHAKER, "--points", "60"], "two whole numbers over 1"),
        ([SHAKER, "--rules", "margin_to_stay"], "is none of safeopt, lipschitz"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(tmp_path: Path, arguments: list[str], words: str) -> None:
    import typer

    app = typer.Typer()
    app.command()(command.main)
    shown = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path)], env={"COLUMNS": "300"})
    assert shown.exit_code == 2
    assert words in " ".join(shown.output.split())


# -- go1-shaker ---------------------------------------------------------------------------------------------------


def walks(gains: list[tuple[float, float]]) -> tuple[Study, list[Measurement]]:
    study = load_study(SHAKER).study
    named = [{"joint.calf.kp": kp, "joint.calf.kd": kd} for kp, kd in gains]
    return study, truth(study, "default", named)


@pytest.mark.slow
@pytest.mark.parametrize("kd", [0.2, 0.5])
def test_soft_and_stiff_knees_are_safe_and_those_between_resonate_without_a_fall(kd: float) -> None:
    study, (soft, between, stiff) = walks([(SOFT, kd), (BETWEEN, kd), (STIFF, kd)])
    assert [is_safe(study, m) for m in (soft, between, stiff)] == [True, False, True]
    assert between.margins["heave"] < -0.25
    assert min(soft.margins["heave"], stiff.margins["heave"]) > 0.25
    assert not any(m.fell for m in (soft, between, stiff))
    assert present(stiff.objective) > 0.5 * present(soft.objective)  # half the cost, at least


@pytest.mark.slow
def test_with_damping_nothing_resonates() -> None:
    study, found = walks([(SOFT, 1.2), (BETWEEN, 1.2), (STIFF, 1.2)])
    assert all(is_safe(study, m) for m in found)


@pytest.mark.slow
def test_two_islands_on_a_coarse_grid_are_kept_and_read_again(tmp_path: Path, monkeypatch) -> None:
    study = load_study(SHAKER).study
    found = brute_force(study, (12, 2), tmp_path / "grid.parquet")
    assert len(found.regions) == 2
    assert not found.best_region.holds_seed
    assert found.best_region.best_objective > 0.5 * found.seed_region.best_objective
    assert min(found.best_region.share, found.seed_region.share) > 0.2
    lengthscale = present(study.parameters[0].lengthscale)
    assert found.gap(1, 2) > 1.5 * lengthscale
    told = command.island_lines(study, found)
    assert ["holds the seed" in line for line in told] == [True, False, False]
    monkeypatch.setattr(
        "safebo.experiments.evidence.landscape.truth", lambda *_, **__: pytest.fail("walked again")
    )
    again = brute_force(study, (12, 2), tmp_path / "grid.parquet")
    np.testing.assert_array_equal(again.margin, found.margin)


@pytest.mark.slow
def test_the_seeds_gains_save_a_resonating_robot_early_and_not_late() -> None:
    study = load_study(SHAKER).study
    evaluator = LeggedEvaluator(study.evaluator.options)
    ticks = [(tick, 0) for tick in (200, 250, 300, *range(1000, 1100, 20))]
    plan = SwitchPlan((study.seeds[0].parameters,), ("heave",), tuple(ticks), 0.5)
    gains = {"joint.calf.kp": BETWEEN, "joint.calf.kd": 0.2}
    shown = evaluator.try_switches(Trial(1, gains, {}, "default", "global", 0, False), plan)
    to_go = shown.to_go["heave"]
    assert min(to_go[:3]) > 0.0
    assert min(to_go[3:]) < -0.2


@pytest.mark.slow
def test_a_short_run_of_each_method_is_gone_on_with_and_stays_in_or_leaves_its_island(tmp_path: Path) -> None:
    study = with_evaluator_options(load_study(SHAKER).study, {"telemetry": False})
    land = brute_force(study, (12, 2))
    stayed = command.island_run(study, land, "safeopt", 0, 4, tmp_path / "safeopt-0")
    assert (stayed.better, stayed.first, stayed.violations, stayed.global_trials) == (False, None, (), 0)
    left = command.island_run(study, land, "cost_to_go", 0, 9, tmp_path / "cost_to_go-0")
    assert (left.violations, left.falls, left.global_trials > 0) == ((), 0, True)
    assert command.island_run(study, land, "cost_to_go", 0, 9, tmp_path / "cost_to_go-0") == left
