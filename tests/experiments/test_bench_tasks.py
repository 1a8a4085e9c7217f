"""Tasks of the suites: what the literature prints of them, that their dangers are real, and studies as tasks."""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from present import present
from scipy.optimize import minimize
from scipy.stats import qmc

from safebo.errors import InputError, UnknownNameError
from safebo.experiments.bench.contestants import contestant
from safebo.experiments.bench.external_study import ExternalTuner
from safebo.experiments.bench.function_problem import FunctionProblem, run_task
from safebo.experiments.bench.problem import BenchProblem
from safebo.experiments.bench.studies import STUDIES, shipped_problem
from safebo.experiments.bench.study_problem import StudyProblem, certified_risk, scheduled
from safebo.experiments.bench.tasks import SUITES, problem_named, suite
from safebo.experiments.evidence.tuning import run_seed
from safebo.experiments.tasks import task_named
from safebo.experiments.tasks.analytic import gaussian_hill, hartmann6, negated_camelback
from safebo.experiments.tasks.features import best_safe_value, feature_functions
from safebo.robots.benchmarks.pendulum.dynamics import Pendulum, landscape
from safebo.robots.benchmarks.pendulum.evaluator import SPEED_LIMIT
from safebo.study.reading import load_study
from safebo.tuner import Tuner
from safebo.types import Measurement

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).resolve().parents[2] / "docs/examples"


made = lru_cache(task_named)
"""Tasks of one function, each evaluated on its grid once."""


def ascended(function, start):
    """The local maximum above a start: where, and its value."""
    found = minimize(lambda x: -float(function(x[None])[0, 0]), start, method="Nelder-Mead", tol=1e-12)
    return found.x, -found.fun


# -- published figures -----------------------------------------------------------------------------------


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_camelback_has_its_two_published_maxima(sign):
    x, value = ascended(negated_camelback, sign * np.array([0.2, -0.6]))
    assert value == pytest.approx(1.0316, abs=5e-5)
    assert x == pytest.approx(sign * np.array([0.0898, -0.7126]), abs=1e-4)


def test_hartmann_has_its_published_maximum():
    published = np.array([0.20169, 0.15001, 0.476874, 0.275332, 0.311652, 0.6573])
    x, value = ascended(hartmann6, published + 0.01)
    assert value == pytest.approx(3.32237, abs=1e-5)
    assert x == pytest.approx(published, abs=1e-4)
    assert task_named("hartmann6").values(x[None])[0, 0] == pytest.approx(1.0, abs=1e-9)


def test_the_gaussian_hill_lies_in_the_space_of_its_kernel_with_norm_one():
    task = task_named("gaussian10")
    x = task.start(0)
    spec = task.kernels[0]
    at_zero = np.exp(-0.5 * (x**2).sum() / spec.lengthscale**2)
    assert gaussian_hill(x)[0, 0] == pytest.approx(spec.variance * at_zero)
    edge = np.full((1, 10), math.sqrt(-math.log(0.2) / 4.0 / 10.0))
    assert task.values(0.999 * edge)[0, 0] > task.thresholds[0] > task.values(1.001 * edge)[0, 0]


# -- dangers that are real -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "share", "gain"),
    [
        ("camelback", 0.19, 0.4),
        ("cartpole", 0.32, 1.5),
        ("furuta", 0.80, 12.0),
        ("motor", 0.624, 1.1),
        ("reactor", 0.323, 0.7),
        ("aircraft", 0.45, 1.4),
    ],
)
def test_grids_have_unsafe_parts_and_a_reachable_optimum_far_above_their_start(name, share, gain):
    task = made(name)
    assert task.safe.mean() == pytest.approx(share, abs=0.015)
    for seed in (0, 1):
        start = task.values(task.start(seed))
        assert not task.violated(start).any()
        assert task.optimum(seed) == task.optimum()
        assert task.optimum() - start[:, 0].max() > gain


@pytest.mark.parametrize(
    ("name", "best", "value", "margins"),
    [
        ("motor", [5 / 8, 1.0, 1.0, 1.0], 0.6390, [0.077, 0.981]),
        ("reactor", [2 / 3, 2 / 3], 2.9336, [1.0, 0.0247]),
        ("aircraft", [0.6, 19 / 30], 2.9296, [0.732, 0.005]),
    ],
)
def test_the_best_of_a_plant_by_trying_all_and_each_alone(name, best, value, margins):
    task = made(name)
    at = task.grid[np.where(task.safe, task.grid_values[:, 0], -np.inf).argmax()]
    assert at == pytest.approx(best)
    assert task.optimum() == pytest.approx(value, abs=1e-4)
    few = np.random.default_rng(0).choice(len(task.grid), 12, replace=False)
    alone = np.concatenate([task.values(task.grid[[row]]) for row in few])
    np.testing.assert_allclose(alone, task.grid_values[few], atol=1e-7)
    assert task.values(at)[0, 1:] == pytest.approx(margins, abs=1e-3)


def test_hartmann_is_mostly_unsafe_and_starts_low():
    task = task_named("hartmann6")
    points = qmc.Sobol(6, seed=1).random(8192)
    assert (~task.violated(task.values(points))).mean() == pytest.approx(0.05, abs=0.01)
    starts = np.concatenate([task.start(seed) for seed in range(5)])
    assert len(np.unique(starts, axis=0)) == 5
    values = task.values(starts)[:, 0]
    assert ((values >= 0.35) & (values <= 0.5)).all()


@pytest.mark.parametrize(
    ("name", "reckless"),
    [
        ("camelback", 3),
        ("hartmann6", 3),
        ("gaussian10", 3),
        ("cartpole", 3),
        ("furuta", 25),
        ("motor", 8),
        ("reactor", 3),
        ("aircraft", 5),
    ],
)
def test_a_safe_method_learns_there_without_a_violation_and_a_reckless_one_violates(name, reckless):
    task = made(name)
    rows = list(run_task(task, contestant("safe_ucb"), 1, 8))
    assert not any(row.violated for row in rows)
    assert math.isnan(rows[-1].safe_share) == (name == "gaussian10")
    assert rows[-1].tried_regret < rows[0].optimum - rows[0].start - 0.02
    assert any(row.violated for row in run_task(task, contestant("random"), 1, reckless))


# -- functions drawn in many inputs ----------------------------------------------------------------------


def test_random_features_have_the_covariance_of_the_kernel():
    rng = np.random.default_rng(3)
    x, lengthscale = rng.random((6, 10)), 0.7
    values = np.concatenate([feature_functions(10, lengthscale, 40, rng, 256)(x) for _ in range(60)], 1)
    squares = ((x[:, None] - x) ** 2).sum(-1)
    wanted = np.exp(-0.5 * squares / lengthscale**2)
    np.testing.assert_allclose(values @ values.T / values.shape[1], wanted, atol=0.09)
    assert abs(values.mean()) < 0.03


def test_gradients_of_drawn_functions_are_their_slopes():
    drawn = feature_functions(4, 0.4, 2, np.random.default_rng(0))
    x, step = np.full(4, 0.3), 1e-6
    for index in (0, 1):
        slopes = [
            (drawn((x + step * e)[None]) - drawn((x - step * e)[None]))[0, index] / (2 * step)
            for e in np.eye(4)
        ]
        np.testing.assert_allclose(drawn.gradient(x, index), slopes, rtol=1e-5)


def test_the_optimum_of_a_drawn_task_is_above_all_safe_points_and_near_the_best_of_many():
    drawn = feature_functions(3, 0.3, 2, np.random.default_rng(1), 256)
    best = best_safe_value(drawn, 3, 0.25, 1024)
    points = np.random.default_rng(2).random((20_000, 3))
    values = drawn(points)
    among = values[values[:, 1] >= 0.25, 0].max()
    assert among - 1e-9 <= best <= among + 0.1


def test_drawn_tasks_tell_what_their_name_says():
    dimension = 6
    right, long = (task_named(f"gp-{dimension}d-{belief}-4") for belief in ("right", "long"))
    assert long.kernels[0].lengthscale == 2.0 * right.kernels[0].lengthscale
    points = np.random.default_rng(0).random((500, dimension))
    np.testing.assert_array_equal(right.values(points), long.values(points))
    safe = ~right.violated(right.values(points))
    assert 0.2 < safe.mean() < 0.8
    assert right.values(points)[safe, 0].max() <= right.optimum()
    assert not right.violated(right.values(right.start(0))).any()


# -- suites and files ------------------------------------------------------------------------------------


def test_every_task_of_every_suite_exists_under_its_name():
    parts = ("synthetic", "control", "plants", "legged")
    assert set(SUITES["all"]) == {task for part in parts for task in SUITES[part]}
    for name in suite("all"):
        problem = problem_named(name)
        assert isinstance(problem, BenchProblem)
        assert problem.name == name
        assert problem.trials > 0
    with pytest.raises(UnknownNameError, match="go1-paper"):
        suite("no-such-suite")


def test_the_paper_protocol_is_500_trials_of_trot_then_250_of_crawl():
    problem = shipped_problem("go1-paper")
    assert [(p.context, p.trials) for p in problem.study.context.schedule] == [("trot", 500), ("crawl", 250)]
    assert problem.trials == 750
    shorter = scheduled(problem.study, 75)
    assert [p.trials for p in shorter.context.schedule] == [50, 25]
    heavy = shipped_problem("go1-trot-heavy").study
    assert heavy.evaluator.options["disturbance"] == "heavy_and_weak"


def test_the_example_of_ones_own_task_runs():
    (name,) = suite(str(EXAMPLES / "my_task.py"))
    problem = problem_named(name)
    assert isinstance(problem, FunctionProblem)
    assert problem.name == "my-task"
    rows = list(problem.run("safe_ucb", 0, 6))
    assert not any(row.violated for row in rows)
    assert rows[-1].regret < rows[0].regret


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('name="my-task"', 'name="valley"', "rename it"),
        ("[[0.2, 0.2]]", "[[0.9, 0.9]]", "must be safe"),
        ("import numpy as np", "import numpy as np\nraise SystemExit(3)", "SystemExit: 3"),
    ],
)
def test_a_task_of_ones_own_that_cannot_be_is_refused_before_a_run(old, new, words, tmp_path):
    text = (EXAMPLES / "my_task.py").read_text()
    assert old in text
    (tmp_path / "wrong.py").write_text(text.replace(old, new))
    with pytest.raises(InputError, match=words):
        problem_named(str(tmp_path / "wrong.py"))


# -- studies as tasks ------------------------------------------------------------------------------------

EVALUATOR = """
import numpy as np
from safebo.types import EvaluatorInfo, Measurement, ParameterInfo, QuantityInfo

class Slope:
    def __init__(self, options):
        pass

    def info(self):
        return EvaluatorInfo(
            "slope", (ParameterInfo("p", "", 0.2, 0.0, 1.0),), (QuantityInfo("height", ""),),
            (QuantityInfo("edge", ""),), (QuantityInfo("tilt", ""),), repeatable=True,
        )

    def evaluate(self, trial, monitor=None):
        p, tilt = trial.parameters["p"], trial.context["tilt"]
        noise = 0.01 * np.random.default_rng(trial.seed).standard_normal()
        edge = 0.8 - 0.2 * tilt - p
        if edge < -0.1:
            return Measurement("aborted", margins={"edge": edge}, true_margins={"edge": edge}, fell=True)
        return Measurement(
            "completed", p + noise, {"edge": edge + noise}, true_objective=p, true_margins={"edge": edge}
        )
"""

STUDY = """
name: slope
evaluator: {name: "slope_of_the_tests:Slope"}
parameters: [{name: p, bounds: [0.0, 1.0], lengthscale: 0.4}]
context:
  variables: [{name: tilt, bounds: [0.0, 1.0]}]
  values: {flat: {tilt: 0.0}, steep: {tilt: 1.0}}
  schedule: [{context: flat, trials: 4}, {context: steep, trials: 4}]
objective: {name: height, noise_std: 0.01}
constraints: [{name: edge, noise_std: 0.01}]
seeds:
  - {context: flat, parameters: {p: 0.2}}
  - {context: steep, parameters: {p: 0.2}}
tuner: {method: safe_ucb, beta: 3.0}
"""


@pytest.fixture(scope="module")
def slope(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("slope")
    (folder / "slope_of_the_tests.py").write_text(EVALUATOR)
    path = folder / "slope.yaml"
    path.write_text(STUDY)
    return path


def test_a_study_file_is_a_task(slope):
    (name,) = suite(str(slope))
    problem = problem_named(name)
    assert isinstance(problem, StudyProblem)
    assert problem.name == "slope"
    assert problem.refuses("safe_ucb") == ""
    rows = list(problem.run("safe_ucb", 0, 8))
    assert [row.context for row in rows] == ["flat"] * 4 + ["steep"] * 4
    assert [row.phase for row in rows] == ["seed", *["local"] * 3] * 2
    assert all(math.isnan(row.regret) for row in rows)
    assert all(row.answer_safe for row in rows if row.answer_safe is not None)
    assert rows[0].risk == certified_risk(problem.study) == pytest.approx(0.00135, abs=1e-5)


def test_a_study_that_does_not_exist_or_does_not_hold_is_refused(tmp_path, slope):
    with pytest.raises(InputError, match=r"nothing\.yaml"):
        problem_named(str(tmp_path / "nothing.yaml"))
    broken = tmp_path / "broken.yaml"
    broken.write_text(STUDY.replace("beta: 3.0", "betta: 3.0"))
    with pytest.raises(InputError, match="betta"):
        problem_named(str(broken))


def test_answers_are_judged_by_the_truth_against_the_best_of_their_context(slope):
    study, folder = load_study(str(slope)).study, str(slope.parent)
    problem = StudyProblem("slope", study, 8, {"flat": 0.8, "steep": 0.6}, "by hand", folder)
    rows = list(problem.run("safe_ucb", 1, 8))
    assert [row.optimum for row in rows] == [0.8] * 4 + [0.6] * 4
    best: dict[str, float] = {}
    for row in rows:
        best[row.context] = max(best.get(row.context, -math.inf), row.true_objective)
        assert row.tried_regret == pytest.approx(row.optimum - best[row.context])
        assert row.start == 0.2
        assert row.true_margin == pytest.approx((0.8 if row.context == "flat" else 0.6) - row.x[0])
    assert rows[-1].regret == pytest.approx(0.6 - max(row.x[0] for row in rows[4:]), abs=0.15)
    assert "by hand" in problem.provenance()["optimum"]
    assert (
        problem.provenance()
        == StudyProblem(
            "slope", study.model_copy(update={"seed": 9}), 8, {"flat": 0.8, "steep": 0.6}, "by hand", folder
        ).provenance()
    )


def test_every_method_meets_the_same_noise_in_a_study(slope):
    problem = problem_named(str(slope))
    noise: dict[int, list[float]] = {}
    for method in ("safe_ucb", "random", "optuna_tpe"):
        for row in problem.run(method, 3, 6):
            if not math.isnan(row.objective):
                noise.setdefault(row.trial, []).append(row.objective - row.true_objective)
    assert max(len(values) for values in noise.values()) >= 2
    assert all(max(v) - min(v) < 1e-12 for v in noise.values())
    assert len({round(v[0], 12) for v in noise.values()}) == len(noise)


def test_falls_are_told_to_other_packages_as_the_worst_objective_seen(slope):
    study = load_study(str(slope)).study
    told = []

    class Recorder:
        best = None

        def tell(self, x, y):
            told.append((x.tolist(), y.tolist()))

        def ask(self, trial):
            return np.array([0.95])

    tuner = ExternalTuner(study, "optuna_tpe", 0)
    tuner._who["flat"] = Recorder()
    first = tuner.ask()
    assert (first.phase, first.seed) == ("seed", Tuner(study, 0).ask("flat").seed)
    tuner.tell(first.id, Measurement("completed", 0.2, {"edge": 0.6}))
    better = tuner.ask()
    tuner.tell(better.id, Measurement("completed", 0.4, {"edge": 0.4}))
    second = tuner.ask()
    assert second.parameters == {"p": 0.95}
    # A fall counts as one prior_std below the limit, or more.
    tuner.tell(second.id, Measurement("aborted", None, {"edge": -0.15}, fell=True))
    third = tuner.ask()
    tuner.tell(third.id, Measurement("failed"))
    assert told == [([0.2], [0.2, 0.6]), ([0.95], [0.4, 0.4]), ([0.95], [0.2, -1.0])]


def test_a_study_runs_as_the_tuner_alone_would_run_it():
    problem = shipped_problem("pendulum")
    study = problem.study.model_copy(
        update={"tuner": problem.study.tuner.model_copy(update={"method": "safeopt"})}
    )
    alone = run_seed(study.model_dump_json(), 2, 6, [])
    rows = list(problem.run("safeopt", 2, 6))
    assert [tuple(row.x) for row in rows] == [tuple(t.parameters.values()) for t, _ in alone.records]
    assert [row.true_margin for row in rows] == [present(m.true_margins)["speed"] for _, m in alone.records]
    assert [row.objective for row in rows] == [m.objective for _, m in alone.records]
    assert not any(row.violated for row in rows)


def test_what_does_not_fit_a_study_is_said():
    problem = problem_named("pendulum")
    assert "lipschitz" in problem.refuses("losbo")
    assert "lipschitz" in problem.refuses("safeopt:oracle")
    assert problem.refuses("gosafeopt") == ""


def test_the_declared_optimum_of_the_pendulum_is_that_of_its_landscape():
    plant = Pendulum()
    kp, kd = np.linspace(-7.0, -4.0, 61), np.array([4.9, 5.0])
    speed, cost = landscape(kp, kd, plant.start, plant.constants())
    best = -cost[speed <= SPEED_LIMIT].min()
    assert STUDIES["pendulum"].optimum["default"] == pytest.approx(best, abs=1e-3)


def test_shipped_studies_are_tasks_wherever_one_stands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    problem_named.cache_clear()
    problem = problem_named("gosafeopt-toy")
    assert isinstance(problem, StudyProblem)
    assert problem.study.name == "gosafeopt-toy"
