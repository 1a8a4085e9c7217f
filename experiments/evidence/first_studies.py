"""What `safebo init` reaches from names, bounds and a seed alone, on problems that were not made for it.

    python -m safebo.experiments.evidence.first_studies --out runs/first-studies [--tunecontrol DIR] [--seeds 10]

Each run is what a user does: init measures the seed and small steps and writes a study, tune goes on with its trials,
25 in all. Told: the share of the gap between the seed's true objective and the best safe one known that the recommended
gains close, and trials whose true margin is negative. Problems: `cartpole` (three gains, noise 0.03, cliffs in the
margin), `pendulum` (its seed's own island), `go1` (the gains and the plant of go1-trot), and with the unpacked wheel of
the package `tunecontrol` 0.1.0 in DIR its cart-pole in two and four gains (margin: pole angle at most 0.33 rad) and its
tanks (second level at most 5.2). Runs that are done are kept in `--out` and not made again; the table so far is printed
after each.
"""

from __future__ import annotations

import importlib
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import numpy as np
import typer

from safebo.errors import SafeboError
from safebo.experiments.evidence.pendulum_landscape import brute_force
from safebo.experiments.tasks.cartpole import SEED, economy_and_margins
from safebo.runs.first_study import begin_study
from safebo.runs.opened import open_run
from safebo.runs.runner import run
from safebo.study.initial_file import Wishes

TRIALS = 25
LIMITS = {"angle": 0.33, "level": 5.2}
"""rad and cm, of the package's cart-pole and tanks."""

HERE = "safebo.experiments.evidence.first_studies"


@dataclass(frozen=True)
class FirstStudyProblem:
    """A problem as a user would name it, and the best safe objective known.

    Args:
        evaluator: the evaluator's name.
        options: its options.
        bounds: by parameter.
        seed: by parameter.
        objective: name.
        margins: names.
        best: objective of the best safe gains known; None: the pendulum's, by brute force.
        options: of the evaluator.
        quantities: what the evaluator calls a margin, where it has another name here.
    """

    evaluator: str
    bounds: Mapping[str, tuple[float, float]]
    seed: Mapping[str, float]
    objective: str
    margins: Sequence[str]
    best: float | None
    options: Mapping[str, Any] = field(default_factory=dict)
    quantities: Mapping[str, str] = field(default_factory=dict)


def cartpole(parameters: Mapping[str, float], context: Mapping[str, float], seed: int = 0) -> dict[str, Any]:
    """The task cartpole of this project as a function: three gains in [0, 1]."""
    shown = economy_and_margins(np.array([[parameters[name] for name in ("position", "angle", "rate")]]))[0]
    noisy = shown + 0.03 * np.random.default_rng(seed).standard_normal(3)
    return {
        "objective": float(noisy[0]),
        "margins": {"rail": float(noisy[1]), "tilt": float(noisy[2])},
        "true_objective": float(shown[0]),
        "true_margins": {"rail": float(shown[1]), "tilt": float(shown[2])},
    }


@lru_cache
def _task(folder: str, family: str, dimension: int) -> Any:
    sys.path.insert(0, folder)
    registry = importlib.import_module("tunecontrol.registry")
    return registry.make(family, {"dim": dimension} if family == "cartpole" else None)


def tunecontrol(
    parameters: Mapping[str, float], context: Mapping[str, float], folder: str, family: str
) -> dict[str, Any]:
    """A problem of the package: minus its cost, and a margin of our own."""
    import torch

    value, info = _task(folder, family, len(parameters)).evaluate(
        torch.tensor(list(parameters.values()), dtype=torch.float64)
    )
    states = info["trajectory"]["states"]
    name = "angle" if family == "cartpole" else "level"
    largest = float(states[:, 2].abs().max() if family == "cartpole" else states[:, 1].max())
    margins = {name: LIMITS[name] - largest}
    objective = -float(value)
    return {"objective": objective, "margins": margins, "true_objective": objective, "true_margins": margins}


setattr(cartpole, "repeatable", True)  # noqa: B010 - read by safebo, unknown to type checkers
setattr(tunecontrol, "repeatable", True)  # noqa: B010


def problems(folder: Path | None) -> dict[str, FirstStudyProblem]:
    """All problems, those of the package where its folder is given."""
    unit = (0.0, 1.0)
    found = {
        "cartpole": FirstStudyProblem(
            f"{HERE}:cartpole",
            dict.fromkeys(("position", "angle", "rate"), unit),
            dict(zip(("position", "angle", "rate"), SEED.tolist(), strict=True)),
            "economy",
            ("rail", "tilt"),
            0.98,
        ),
        "pendulum": FirstStudyProblem(
            "pendulum",
            {"kp": (-7.0, 6.0), "kd": (4.0, 5.0)},
            {"kp": 3.0, "kd": 4.8},
            "tracking",
            ("speed",),
            None,
        ),
    }
    gains = [f"joint.{joint}.{gain}" for joint in ("hip", "thigh", "calf") for gain in ("kp", "kd")]
    found["go1"] = FirstStudyProblem(
        "legged",
        {name: (5.0, 150.0) if name.endswith("kp") else (0.2, 8.0) for name in gains},
        {name: 70.0 if name.endswith("kp") else 3.2 for name in gains},
        "tracking",
        ("tracking_error",),
        -0.82,
        {"robot": "go1", "disturbance": "paper"},
        {"tracking_error": "tracking"},
    )
    if folder is None:
        return found
    two = {"k3": (-50.0, -30.0), "k4": (-10.0, -2.5)}
    four = {"k1": (-3.4, -2.0), "k2": (-8.0, -4.0), **two}
    tanks = {"kp": (0.9, 4.5), "ki": (0.01, 0.16)}
    others = (
        ("cart-pole, 2 gains", "cartpole", two, (-49.4, -4.375), "angle", -8.25),
        ("cart-pole, 4 gains", "cartpole", four, (-2.168, -7.76, -43.2, -8.875), "angle", -8.23),
        ("tanks", "cascaded_tank", tanks, (1.116, 0.016), "level", -15.9),
    )
    for name, family, bounds, seed, margin, best in others:
        options = {"folder": str(folder.resolve()), "family": family}
        values = dict(zip(bounds, seed, strict=True))
        found[name] = FirstStudyProblem(
            f"{HERE}:tunecontrol", bounds, values, "cost", (margin,), best, options
        )
    return found


def one_run(problem: FirstStudyProblem, random_seed: int, trials: int = TRIALS) -> dict[str, Any]:
    """Init and tune; the share of the gap and the unsafe trials."""
    wishes = Wishes(
        name="first",
        evaluator=problem.evaluator,
        options=problem.options,
        quantities=problem.quantities,
        parameters=[{"name": name, "bounds": list(bounds)} for name, bounds in problem.bounds.items()],
        seed=problem.seed,
        objective=problem.objective,
        margins=problem.margins,
        trials=trials,
        random_seed=random_seed,
    )
    best = brute_force().seed_region.best_objective if problem.best is None else problem.best
    with tempfile.TemporaryDirectory() as folder:
        made = begin_study(wishes, Path(folder) / "first.yaml", Path(folder) / "run")
        stopped = ""
        try:
            run(made.file, made.folder, resume=True)
        except SafeboError as error:
            stopped = str(error)
        opened = open_run(made.folder)
        told = [r.measurement for r in opened.records if r.measurement is not None]
        gains = opened.tuner().best("default")
    first = told[0].true_objective
    assert first is not None
    names = [problem.quantities.get(name, name) for name in problem.margins]
    reached = first if gains is None else _true(problem, gains.parameters)
    return {
        "share": (reached - first) / (best - first),
        "objective": reached,
        "seed": first,
        "unsafe": sum(any((m.true_margins or {}).get(n, 0.0) < 0 for n in names) for m in told),
        "trials": len(told),
        "stopped": stopped,
    }


def _true(problem: FirstStudyProblem, parameters: Mapping[str, float]) -> float:
    """The objective without noise."""
    if problem.evaluator in ("pendulum", "legged"):
        from safebo.robots.benchmarks.pendulum.evaluator import PendulumEvaluator
        from safebo.robots.evaluation.evaluator import LeggedEvaluator
        from safebo.types import Trial

        trial = Trial(1, dict(parameters), {}, "default", "manual", 0, certified=False)
        pendulum = problem.evaluator == "pendulum"
        evaluator = PendulumEvaluator() if pendulum else LeggedEvaluator(problem.options)
        value = evaluator.evaluate(trial).true_objective
        return float("nan") if value is None else value
    function = cartpole if problem.evaluator.endswith(":cartpole") else tunecontrol
    return float(function(parameters, {}, **problem.options)["true_objective"])


def table(rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """One line a problem."""
    lines = [
        "problem              runs   share of the gap: median (least)   unsafe trials   seed      reached (median)"
    ]
    for name, runs in rows.items():
        shares = [r["share"] for r in runs]
        unsafe, trials = sum(r["unsafe"] for r in runs), sum(r["trials"] for r in runs)
        lines.append(
            f"{name:20} {len(runs):4}   {100 * median(shares):5.0f} % ({100 * min(shares):.0f} %)"
            f"{'':20}{unsafe:4} of {trials:<6} {runs[0]['seed']:8.3f}  {median(r['objective'] for r in runs):8.3f}"
        )
    return lines


def main(
    out: Annotated[Path, typer.Option(help="folder that keeps runs that are done")] = Path(
        "runs/first-studies"
    ),
    tunecontrol: Annotated[Path | None, typer.Option(help="folder with the unpacked wheel")] = None,
    seeds: Annotated[int, typer.Option(min=1)] = 10,
    only: Annotated[str | None, typer.Option(help="one problem")] = None,
) -> None:
    """Make the runs that are missing, and print the table after each."""
    out.mkdir(parents=True, exist_ok=True)
    chosen = {n: p for n, p in problems(tunecontrol).items() if only in (None, n)}
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in chosen}
    for seed in range(seeds):
        for name, problem in chosen.items():
            kept = out / f"{name.replace(', ', '-').replace(' ', '-')}-{seed}.json"
            if not kept.exists():
                kept.write_text(json.dumps(one_run(problem, seed)))
            rows[name].append(json.loads(kept.read_text()))
            print("\n".join(table({n: r for n, r in rows.items() if r})), flush=True)


if __name__ == "__main__":
    typer.run(main)
