"""What a simulation is worth: tuning with and without its trials, when it deserves belief and when it does not.

    python -m safebo.experiments.evidence.simulation

Two gains, one objective, one constraint, drawn from the prior of the study below; the simulation's functions have a
true correlation with the robot's that the study may state wrongly: it declares 0.9, or nothing, and then it is earned.
50 simulated trials at random, then 15 on the robot from one safe point. Prints, per case and over all problems: mean
regret of the certified recommendation after 5, 10 and 15 robot trials (against the best safe point of the grid), how
many of the robot's trials were unsafe, in how many problems, and how often the simulation was dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import typer
from numpy.typing import NDArray

from safebo.experiments.evidence.truth import process_pool
from safebo.experiments.tasks.sampled import sample_functions
from safebo.study import Study
from safebo.tuner import Tuner
from safebo.types import Measurement, Trial

FloatArray = NDArray[np.float64]

LENGTHSCALE, NOISE = 0.25, 0.05
GRID, SIMULATED, TRIALS = 25, 50, 15
CHECKPOINTS = (5, 10, 15)
SEED_MARGIN = 1.0


@dataclass(frozen=True)
class TransferCase:
    """What is given to the tuner: a true correlation (None: no simulation), and what the study declares."""

    name: str
    correlation: float | None
    inflation: float | None = 1.5
    checked: int = 10
    declared: float | Literal["earned"] = 0.9
    lengthscale: float = 1.0  # told, over the true one
    trust: Literal["declared", "earned"] = "declared"


def earned(
    name: str, correlation: float, lengthscale: float = 1.0, trust: Literal["declared", "earned"] = "declared"
) -> TransferCase:
    """No correlation declared."""
    return TransferCase(name, correlation, None, 10, "earned", lengthscale, trust)


CASES = (
    TransferCase("no simulation", None),
    TransferCase("correlation 0.9 as declared", 0.9),
    TransferCase("correlation 0.9 as declared, beta not inflated", 0.9, inflation=1.0),
    TransferCase("correlation 0.5", 0.5),
    TransferCase("correlation 0.5, beta not inflated", 0.5, inflation=1.0),
    TransferCase("correlation 0.5, neither inflated nor dropped", 0.5, inflation=1.0, checked=0),
    TransferCase("correlation -0.9", -0.9),
    TransferCase("correlation -0.9, neither inflated nor dropped", -0.9, inflation=1.0, checked=0),
    earned("correlation 0.9, nothing declared", 0.9),
    earned("correlation 0.5, nothing declared", 0.5),
    earned("correlation -0.9, nothing declared", -0.9),
    earned("0.9, nothing declared, trust: earned", 0.9, trust="earned"),
    earned("0.9, nothing declared, lengthscale told x 2", 0.9, 2.0),
    earned("the same, trust: earned", 0.9, 2.0, "earned"),
    earned("-0.9, lengthscale told x 2, trust: earned", -0.9, 2.0, "earned"),
)


@dataclass(frozen=True)
class ProblemOutcome:
    """Of one problem: regret at the checkpoints, unsafe trials, and whether the simulation was dropped."""

    regret: tuple[float, ...]
    unsafe: int
    dropped: bool


def study(case: TransferCase, seed: tuple[float, float]) -> Study:
    """The study of one problem; without a check, no contradiction is ever large enough."""
    prior = {
        "correlation": case.declared,
        "inflation": case.inflation,
        "checked": max(case.checked, 1),
        "level": 0.01 if case.checked else 1e-30,
    }
    return Study.model_validate(
        {
            "name": "simulation-prior",
            "evaluator": {"name": "drawn"},
            "parameters": [{"name": "a", "bounds": [0.0, 1.0]}, {"name": "b", "bounds": [0.0, 1.0]}],
            "objective": {"name": "reward", "prior_mean": 0.0, "prior_std": 1.0, "noise_std": NOISE},
            "constraints": [{"name": "margin", "prior_mean": 0.0, "prior_std": 1.0, "noise_std": NOISE}],
            "seeds": [{"parameters": {"a": seed[0], "b": seed[1]}}],
            "surrogate": {
                "kernel": "rbf",
                "lengthscale": case.lengthscale * LENGTHSCALE,
                "prior_data": prior,
                "trust": case.trust,
            },
            "tuner": {
                "method": "safe_ucb",
                "beta": 3.0,
                "search": {"domain": "grid", "grid_points": GRID},
            },
        }
    )


def solve(case: TransferCase, number: int) -> ProblemOutcome:
    """One problem, whose robot is the same in every case."""
    rng = np.random.default_rng(number)
    functions = sample_functions(np.array([[0.0, 0.0], [1.0, 1.0]]), LENGTHSCALE, 1.0, 4, rng)

    def robot(x: FloatArray) -> FloatArray:
        return functions(x)[:, :2]

    def simulation(x: FloatArray) -> FloatArray:
        rho = case.correlation or 0.0
        return rho * functions(x)[:, :2] + np.sqrt(1.0 - rho * rho) * functions(x)[:, 2:]

    axis = np.linspace(0.0, 1.0, GRID)
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
    values = robot(grid)
    safe = values[:, 1] >= 0
    start = grid[rng.choice(np.flatnonzero(values[:, 1] >= min(SEED_MARGIN, values[:, 1].max())))]
    drawn = study(case, (float(start[0]), float(start[1])))
    simulated = rng.random((SIMULATED, 2))
    noise = NOISE * rng.standard_normal((SIMULATED + TRIALS, 2))
    records = (
        [] if case.correlation is None else _records(simulated, simulation(simulated) + noise[:SIMULATED])
    )
    tuner = Tuner(drawn, 0, prior=records)
    regret, unsafe = [], 0
    for i in range(TRIALS):
        trial = tuner.ask()
        truth = robot(np.array([[trial.parameters["a"], trial.parameters["b"]]]))[0]
        unsafe += bool(truth[1] < 0)
        seen = truth + noise[SIMULATED + i]
        tuner.tell(
            trial, Measurement("completed", objective=float(seen[0]), margins={"margin": float(seen[1])})
        )
        if i + 1 in CHECKPOINTS:
            best = tuner.best()
            at = start if best is None else np.array([best.parameters["a"], best.parameters["b"]])
            regret.append(float(values[safe, 0].max() - robot(at[None])[0, 0]))
    report = tuner.prior_report()
    return ProblemOutcome(tuple(regret), unsafe, report is not None and report.contradiction is not None)


def _records(x: FloatArray, y: FloatArray) -> list[tuple[Trial, Measurement | None]]:
    return [
        (
            Trial(i + 1, {"a": float(a), "b": float(b)}, {}, "default", "manual", 0, False),
            Measurement("completed", objective=float(y[i, 0]), margins={"margin": float(y[i, 1])}),
        )
        for i, (a, b) in enumerate(x)
    ]


def row(case: TransferCase, outcomes: Sequence[ProblemOutcome]) -> str:
    """One line of the table."""
    regret = np.mean([o.regret for o in outcomes], 0)
    unsafe, problems = sum(o.unsafe for o in outcomes), sum(o.unsafe > 0 for o in outcomes)
    dropped = sum(o.dropped for o in outcomes)
    numbers = "  ".join(f"{r:6.3f}" for r in regret)
    return f"{case.name:48} {numbers}  {unsafe:6d} {problems:8d} {dropped:7d}"


def main(
    problems: Annotated[int, typer.Option(min=1)] = 40, workers: Annotated[int, typer.Option(min=1)] = 2
) -> None:
    """Run every case on the same problems and print the table."""
    head = "  ".join(f"at {n:3d}" for n in CHECKPOINTS)
    print(
        f"{problems} problems, {TRIALS} robot trials each\n{'':48} {head}  unsafe problems dropped",
        flush=True,
    )
    with process_pool(workers) as pool:
        for case in CASES:
            print(row(case, list(pool.map(solve, [case] * problems, range(problems)))), flush=True)


if __name__ == "__main__":
    typer.run(main)
