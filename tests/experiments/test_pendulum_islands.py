import pytest
from present import present
from scipy import ndimage

from safebo.experiments.evidence.pendulum_islands import Rules, run, summary
from safebo.experiments.evidence.pendulum_landscape import (
    brute_force,
    load,
    main,
    measured_inter_sample,
    measured_lipschitz,
)
from safebo.experiments.evidence.regions import nearest

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def islands():
    return brute_force(61)


def test_two_islands_and_the_better_is_not_the_seeds(islands):
    assert len(islands.regions) == 2
    seed, best = islands.seed_region, islands.best_region
    assert not best.holds_seed
    assert best.best_objective > seed.best_objective + 2.0
    assert min(seed.share, best.share) > 0.25
    assert min(seed.best_margin, best.best_margin) > 1.0


def test_the_gap_is_wide_for_the_surrogate(islands):
    study, _ = load()
    narrowest = min(present(p.lengthscale) for p in study.parameters)
    assert islands.gap(1, 2) > 1.5 * narrowest


@pytest.mark.parametrize("shift", [-0.1, 0.1])
def test_the_facts_do_not_hang_on_the_limit(islands, shift):
    labels, count = ndimage.label(islands.margin + shift >= 0)
    assert count == 2
    seed = islands.seed_region.best_gains, islands.best_region.best_gains
    where = [nearest(islands.axes, islands.logs, gains) for gains in seed]
    assert labels[where[0]] != labels[where[1]]


def test_declared_constants_are_bounds():
    study, _ = load()
    assert measured_lipschitz(14, 17).max() <= study.tuner.backup.lipschitz
    assert measured_inter_sample(7) <= study.tuner.backup.inter_sample


def test_study_and_evaluator_speak_of_the_same(islands):
    study, evaluator = load()
    info = evaluator.info()
    assert [p.name for p in study.parameters] == [p.name for p in info.parameters]
    assert [p.unit for p in study.parameters] == [p.unit for p in info.parameters]
    assert study.objective.quantity == info.objectives[0].name
    assert study.constraints[0].quantity == info.margins[0].name
    assert list(study.tuner.backup.state_scale) == [s.name for s in info.states]


def test_gosafeopt_is_watched_and_breaks_nothing(islands):
    done = run("gosafeopt", 3, 18)
    found = summary(done, islands)
    assert found.violations == ()
    watched = [(t, m) for t, m in done.trials if t.phase == "global"]
    assert found.triggers > 0
    assert all(t.trigger_rule == "lipschitz" and t.trigger_guarantee for t, _ in watched)
    uncertified = [t.id for t, _ in done.trials if t.phase == "local" and not t.certified]
    assert uncertified == []


@pytest.mark.parametrize("exploration", ["widest_outside", "maximin_distance", "uncertainty_covariance"])
@pytest.mark.parametrize("backup", ["lipschitz", "gaussian_tail", "kernel_covariance", "cost_to_go"])
def test_every_boundary_condition_watches_every_global_rule(islands, backup, exploration):
    done = run("gosafeopt", 1, 5, Rules(backup, exploration, local_steps=1))
    assert [t.phase for t, _ in done.trials] == ["seed", "local", "global", "global", "global"]
    watched = done.trials[2:]
    assert all((t.trigger_rule, t.trigger_guarantee) == (backup, backup == "lipschitz") for t, _ in watched)
    assert all(t.reason.startswith(exploration) for t, _ in watched)
    found = summary(done, islands)
    assert found.violations == ()
    assert found.triggers > 0
    _, evaluator = load()
    alone = [
        present(evaluator.evaluate(t).true_margins)["speed"] for t, m in watched if m.outcome == "backup"
    ]
    # Into the gap between the islands, where only the monitor keeps the limit; maximin takes the corners first.
    assert exploration == "maximin_distance" or min(alone) < 0


def test_command_prints_the_islands_and_draws_them(tmp_path, capsys):
    main(points=31, out=tmp_path / "islands.png")
    shown = capsys.readouterr().out
    assert "holds the seed" in shown
    assert "gap between the two" in shown
    assert (tmp_path / "islands.png").stat().st_size > 10_000
