import numpy as np
import pytest

from safebo.errors import InputError, UnknownNameError
from safebo.experiments.evidence.sweep import heading, mean_regret, row, run_named, violations
from safebo.experiments.tasks import Task, gp_sample, quadcopter, task_named
from safebo.experiments.tasks.runs import LineProposals, Variant, certifies, make_tuner, run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def safe_run():
    return run(gp_sample(1, 2), Variant.parse("safeopt"), seed=1, trials=12)


def test_a_run_is_what_asking_and_telling_by_hand_gives(safe_run):
    task = gp_sample(1, 2)
    tuner = make_tuner(task, Variant("safeopt"), task.grid, 1)
    tuner.tell(*task.initial(1))
    best_tried = task.values(task.start(1))[0, 0]
    for t in range(12):
        x = tuner.ask().x.numpy()
        np.testing.assert_array_equal(safe_run.tried[t], x)
        truth = task.values(x)
        assert safe_run.violated[t] == (truth[0, 1] < task.thresholds[1])
        tuner.tell(x, task.measure(x, 1, t + 1))
        best_tried = max(best_tried, truth[0, 0])
        assert safe_run.tried_regret[t] == pytest.approx(task.optimum() - best_tried)
        assert safe_run.regret[t] == pytest.approx(task.regret(tuner.best().x.numpy()))


def test_runs_are_the_same_in_every_process_and_learn_from_their_seed(safe_run):
    again = run_named("gp-1d-right-2", "safeopt", 1, 12)
    np.testing.assert_array_equal(again.tried, safe_run.tried)
    np.testing.assert_array_equal(again.regret, safe_run.regret)
    assert not np.array_equal(run_named("gp-1d-right-2", "safeopt", 2, 12).regret, safe_run.regret)


def test_an_unsafe_method_is_counted_by_the_truth():
    found = run(gp_sample(1, 2), Variant.parse("random"), seed=0, trials=20)
    task = gp_sample(1, 2)
    np.testing.assert_array_equal(found.violated, task.values(found.tried)[:, 1] < task.thresholds[1])
    assert found.violated.any()
    assert not certifies(Variant.parse("random"))
    assert certifies(Variant.parse("losbo"))


def test_lines_run_along_one_coordinate_and_the_answer_is_certified():
    task = quadcopter()
    found = run(task, Variant.parse("safe_ucb"), seed=0, trials=6)
    moves = np.diff(np.concatenate([task.start(0)[:1], found.tried]), axis=0)
    told = np.concatenate([task.start(0)[:1], found.tried])
    for t, move in enumerate(moves):
        back = (told[: t + 1] == found.tried[t]).all(1).any()  # an earlier input is a candidate too
        assert back or (move != 0).sum() <= 1
    assert not found.violated.any()
    assert np.isfinite(found.regret).all()


def test_lines_offer_what_was_recommended_before():
    task = quadcopter()
    proposals = LineProposals(task, Variant("safe_ucb"), 3)
    proposals.tell(*task.initial(3))
    lower = -np.inf
    for t in range(1, 6):
        x = proposals.ask(t)
        y = task.measure(x, 3, t)
        proposals.tell(x, y)
        exact = make_tuner(
            task, Variant("safe_ucb"), np.concatenate([proposals._x, proposals._recommended]), 0
        )
        exact.tell(proposals._x, proposals._y)
        lower = exact.best().lower
        assert proposals.best is not None
        there = make_tuner(task, Variant("safe_ucb"), proposals.best[None], 0)
        there.tell(proposals._x, proposals._y)
        assert there.best().lower == pytest.approx(lower)


def test_lipschitz_constants_by_origin():
    valley = task_named("valley")
    assert Variant.parse("safeopt:prior").settings(valley).lipschitz == (2.50495534,)
    assert Variant.parse("safeopt").settings(valley).lipschitz is None
    assert Variant.parse("mm-itl").name == "mm_itl"
    with pytest.raises(InputError, match="oracle, prior"):
        Variant.parse("safeopt:guess").settings(valley)
    with pytest.raises(UnknownNameError):
        Variant.parse("safest")


def test_rows_state_what_happened(safe_run):
    other = run(gp_sample(1, 2), Variant.parse("safeopt"), seed=5, trials=12)
    runs = [safe_run, other]
    assert mean_regret(runs, 12) == pytest.approx((safe_run.regret[11] + other.regret[11]) / 2)
    line = row(runs, [6, 12])
    assert len(line.split()) == len(heading([6, 12]).split())
    assert line.split()[0] == "safeopt"
    assert line.split()[1] == "0/24"
    assert f"{mean_regret(runs, 12):.3f}" in line
    assert violations(runs) == 0


def test_tasks_whose_functions_differ_in_beta_are_refused():
    task = gp_sample(1, 0)
    entries = {name: getattr(task, name) for name in Task.__dataclass_fields__}
    unequal = Task(**{**entries, "beta": (2.0, 3.0)})
    with pytest.raises(InputError, match="one beta"):
        make_tuner(unequal, Variant("safeopt"), unequal.grid, 0)
