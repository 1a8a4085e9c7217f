"""A robot that changes while it is tuned: certificates that never expire against those that do.

    python -m safebo.experiments.evidence.drift --out drift-evidence

The robot is a simulated Go1 whose torque factors lose 1 % of what is left in every minute of operation while heat adds
damping to its joints; one trial a minute, 60 of them. Its gains are tuned for a quiet trunk (objective `walking`),
which soft joints give as long as the motors are fresh; the margin is the largest tracking error, with a limit of 0.045
rad^2. That limit, the undisturbed plant and the objective are chosen so that drift binds: with the shipped limit of
`go1-trot`, where better gains are safer ones too, tuned gains keep their margin for three quarters of an hour, and the
seed itself breaks the limit in the end. Here the stiff seed stays safe for the whole hour.

Two studies that differ in `surrogate.time` alone, priors taken as declared: `static` has none, `expiring` has a memory
of 100 min, the time in which 1 % a minute takes the motors to 1/e. A run violates when a trial's margin without sensor
noise is negative on the plant of its own time, or the robot fell. `step`: nothing drifts, and after 30 min the motors
lose 10 %: how soon the recommended gains, on the weaker plant, are again safe and worth nine tenths of what those from
before the step are, counted from the seed.

`functions`: drawn Gaussian processes over one gain and the time, on a grid, with the declared memory the true one.

Every finished run is a line of `OUT/runs.jsonl`; the same command goes on where it stopped.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from safebo.experiments.evidence.truth import random_gains
from safebo.robots.evaluation.evaluator import LeggedEvaluator
from safebo.study import Study, TimeSpec
from safebo.study.reading import load_study
from safebo.tuner import Tuner
from safebo.types import Measurement, Trial

MINUTE = 60.0
MEMORY = 100 * MINUTE
DRIFT = {"torque": "-1 %/min", "damping": "0.005 N m s/rad/min"}
STEP_AT = 30
STEP = {"steps": [{"at": f"{STEP_AT} min", "torque": "-10 %"}]}
LIMIT = 0.045
BETA = 3.0
SEED = {"kp": 140.0, "kd": 5.0}
REFERENCES = 100
WALK = 3.0
SEARCH = {"swarm_size": 64, "swarm_iterations": 25, "restarts": 4}
"""A quicker search than the study's, so that the evidence is made in an hour."""
RETUNED, RETUNED_IN = 0.9, 5
"""Share of the gap from the seed to what was recommended before a step, and in how many trials."""
CHECKED = 10
"""Trials after the step whose recommendation is looked at."""


def robot_study(timed: bool, drift: Mapping[str, Any]) -> Study:
    """The study of one arm."""
    study = load_study("go1-trot").study
    options = {
        **study.evaluator.options,
        "telemetry": False,
        "seconds": WALK,
        "disturbance": "nominal",
        "objective": "walking",
        "limits": {"tracking": LIMIT},
        "drift": dict(drift),
    }
    seed = {p.name: SEED[p.name.rsplit(".", 1)[1]] for p in study.parameters}
    objective = {"name": "walking", "quantity": "walking", "unit": "1", "prior_mean": -0.5, "prior_std": 1.0}
    objective |= {"noise_std": 0.05, "warp": {"kind": "log", "upper": 0.0, "scale": 2.0, "clip": 4.0}}
    constraint = study.constraints[0].model_dump() | {
        "warp": {"kind": "log", "upper": LIMIT, "scale": LIMIT, "clip": 4.0}
    }
    document = study.model_dump() | {
        "name": "go1-drift",
        "evaluator": {"name": "legged", "options": options},
        "objective": objective,
        "constraints": [constraint],
        "seeds": [{"context": "trot", "parameters": seed}],
    }
    document["tuner"] |= {"beta": BETA, "search": SEARCH}
    document["surrogate"] |= {"trust": "declared", "time": {"memory": MEMORY} if timed else None}
    return Study.model_validate(document)


def violates(measurement: Measurement) -> bool:
    """Whether a trial fell or broke its limit, by what the plant knows without noise."""
    true = measurement.true_margins or {}
    return measurement.fell or not true or true["tracking"] < 0


def walk(evaluator: LeggedEvaluator, tuner: Tuner, minute: int) -> tuple[Trial, Measurement]:
    """One trial of a run at its minute."""
    trial = tuner.ask("trot", operating_time=MINUTE * minute)
    measurement = evaluator.evaluate(trial)
    tuner.tell(trial, measurement)
    return trial, measurement


def hour(timed: bool, seed: int, trials: int) -> dict[str, Any]:
    """One run on the drifting robot; it ends early where safebo stops it."""
    study = robot_study(timed, DRIFT)
    evaluator, tuner = LeggedEvaluator(study.evaluator.options), Tuner(study, seed)
    kept: list[dict[str, Any]] = []
    stopped = ""
    for minute in range(trials):
        try:
            trial, measurement = walk(evaluator, tuner, minute)
        except Exception as error:
            stopped = f"{type(error).__name__}: {error}"
            break
        kept.append(
            {
                "phase": trial.phase,
                "violates": violates(measurement),
                "margin": (measurement.true_margins or {}).get("tracking"),
                "objective": measurement.true_objective,
            }
        )
    return {"trials": kept, "stopped": stopped}


def at_minute(study: Study, gains: Mapping[str, float], minute: float, number: int = 0) -> Measurement:
    """Gains without sensor noise on the plant of a minute."""
    evaluator = LeggedEvaluator({**study.evaluator.options, "noise_free": True})
    context = study.context.values["trot"]
    trial = Trial(number, dict(gains), context, "trot", "manual", 0, False, operating_time=MINUTE * minute)
    return evaluator.evaluate(trial)


def step(seed: int) -> dict[str, Any]:
    """One run on a robot whose motors lose a tenth after half of the time."""
    study = robot_study(True, STEP)
    evaluator, tuner = LeggedEvaluator(study.evaluator.options), Tuner(study, seed)
    violating, after = 0, []
    for minute in range(STEP_AT + CHECKED):
        _, measurement = walk(evaluator, tuner, minute)
        violating += violates(measurement)
        if minute >= STEP_AT - 1:
            best = tuner.best("trot", operating_time=MINUTE * (minute + 1))
            m = None if best is None else at_minute(study, best.parameters, STEP_AT + 1)
            safe = m is not None and not violates(m)
            after.append(m.true_objective if m is not None and safe else None)
    return {"violating": violating, "after": after}


def references() -> dict[str, float]:
    """The seed and the best of reference gains that are safe after the step: true objectives."""
    study = robot_study(True, STEP)
    seed = at_minute(study, study.seeds[0].parameters, STEP_AT + 1)
    found = [at_minute(study, gains, STEP_AT + 1) for gains in random_gains(study, REFERENCES, 0)]
    safe = [m.true_objective for m in found if not violates(m) and m.true_objective is not None]
    return {"seed_objective": seed.true_objective or -math.inf, "best": max(safe)}


# -- drawn functions ---------------------------------------------------------------------------------------

POINTS, LENGTHSCALE, NOISE = 60, 0.2, 0.05
FUNCTION_MEMORY = 60 * MINUTE


def drawn(seed: int, trials: int) -> np.ndarray:
    """Objective and constraint of a drawn problem, `2 x trials x POINTS`: Ornstein-Uhlenbeck in time, RBF over the
    gain; the seed, in the middle, keeps a margin of at least 0.5 all the time.
    """
    rng = np.random.default_rng([seed, 7])
    x = np.linspace(0.0, 1.0, POINTS)
    root = np.linalg.cholesky(np.exp(-0.5 * ((x[:, None] - x) / LENGTHSCALE) ** 2) + 1e-9 * np.eye(POINTS))
    keep = math.exp(-MINUTE / FUNCTION_MEMORY)
    while True:
        f = np.empty((2, trials, POINTS))
        f[:, 0] = rng.standard_normal((2, POINTS)) @ root.T
        for t in range(1, trials):
            f[:, t] = keep * f[:, t - 1] + math.sqrt(1 - keep**2) * rng.standard_normal((2, POINTS)) @ root.T
        if f[1, :, POINTS // 2].min() > 0.5 and f[1, 0, POINTS // 2] > 1.0:
            return f


def function_run(timed: bool, seed: int, trials: int) -> dict[str, Any]:
    """One run on a drawn problem."""
    f, rng = drawn(seed, trials), np.random.default_rng([seed, 8])
    surrogate = {"kernel": "rbf", "lengthscale": LENGTHSCALE, "trust": "declared"}
    study = Study.model_validate(
        {
            "name": "drawn",
            "evaluator": {"name": "none:none"},
            "parameters": [{"name": "x", "bounds": [0, POINTS - 1], "type": "integer"}],
            "objective": {"name": "f", "noise_std": NOISE},
            "constraints": [{"name": "g", "noise_std": NOISE}],
            "seeds": [{"parameters": {"x": POINTS // 2}}],
            "surrogate": surrogate,
            "tuner": {"beta": BETA, "search": {"domain": "grid", "grid_points": POINTS}},
        }
    )
    if timed:
        time_spec = TimeSpec(memory=FUNCTION_MEMORY)
        study = study.model_copy(update={"surrogate": study.surrogate.model_copy(update={"time": time_spec})})
    tuner = Tuner(study, seed)
    violating, regret, stopped = 0, [], ""
    for t in range(trials):
        try:
            trial = tuner.ask(operating_time=MINUTE * t)
        except Exception as error:
            stopped = f"{type(error).__name__}: {error}"
            break
        i = int(trial.parameters["x"])
        objective, margin = f[:, t, i]
        violating += trial.phase != "seed" and margin < 0
        regret.append(float(f[0, t][f[1, t] >= 0].max() - objective))
        noise = NOISE * rng.standard_normal(2)
        # A seed that noise alone takes below zero would stop the run.
        margin = max(margin + noise[1], 1e-6) if trial.phase == "seed" else margin + noise[1]
        tuner.tell(trial, {"objective": objective + noise[0], "margins": {"g": margin}})
    return {"violating": int(violating), "regret": float(np.mean(regret)), "stopped": stopped}


# -- runs that are kept ------------------------------------------------------------------------------------


def jobs(runs: int, trials: int, functions: int) -> Iterator[tuple[str, int, Any]]:
    """Name, seed and work of every run."""
    for seed in range(runs):
        for timed, name in ((False, "static"), (True, "expiring")):
            yield f"go1 {name}", seed, lambda timed=timed, seed=seed: hour(timed, seed, trials)
    yield "references", 0, references
    for seed in range(runs):
        yield "step", seed, lambda seed=seed: step(seed)
    for seed in range(functions):
        for timed, name in ((False, "static"), (True, "expiring")):
            yield f"functions {name}", seed, lambda timed=timed, seed=seed: function_run(timed, seed, trials)


def read(file: Path) -> dict[tuple[str, int], dict[str, Any]]:
    """Finished runs."""
    if not file.exists():
        return {}
    rows = [json.loads(line) for line in file.read_text().splitlines() if line.endswith("}")]
    return {(row["name"], row["seed"]): row for row in rows}


def table(found: Mapping[tuple[str, int], Mapping[str, Any]]) -> str:
    """What the finished runs say."""
    lines = []

    def rows(name: str) -> list[Mapping[str, Any]]:
        return [row for (n, _), row in sorted(found.items()) if n == name]

    lines.append(f"{'':20} {'runs':>4}  {'violating':>9}  {'their trials':>12}  stopped")
    for name in ("static", "expiring"):
        if drifting := rows(f"go1 {name}"):
            counts = [sum(t["violates"] for t in row["trials"]) for row in drifting]
            seeds = sum(t["violates"] and t["phase"] == "seed" for row in drifting for t in row["trials"])
            minutes = [f"{len(row['trials'])}" for row in drifting if row["stopped"]]
            lines.append(
                f"{'go1 ' + name:20} {len(drifting):4d}  {sum(c > 0 for c in counts):9d}  {sum(counts):12d}  "
                f"{', '.join(minutes) or '-'}" + (f"  ({seeds} of the trials seeds)" if seeds else "")
            )
            last = [
                t["objective"] for row in drifting for t in row["trials"][-10:] if t["objective"] is not None
            ]
            repeats = np.mean([sum(t["phase"] == "seed" for t in row["trials"]) for row in drifting])
            lines.append(
                f"{'':20}       mean true objective of the last ten trials {np.mean(last):.3f}, seeds {repeats:.1f}"
            )
    for name in ("static", "expiring"):
        if drawn_runs := rows(f"functions {name}"):
            counts = [row["violating"] for row in drawn_runs]
            lines.append(
                f"{'functions ' + name:20} {len(drawn_runs):4d}  {sum(c > 0 for c in counts):9d}  {sum(counts):12d}  "
                f"{sum(bool(row['stopped']) for row in drawn_runs)}  mean regret "
                f"{np.mean([row['regret'] for row in drawn_runs]):.3f}"
            )
    reference = found.get(("references", 0))
    if reference is not None and (stepped := rows("step")):
        lines += _step_lines(stepped, reference)
    return "\n".join(lines)


def _step_lines(stepped: Sequence[Mapping[str, Any]], reference: Mapping[str, Any]) -> list[str]:
    """What the runs with a step say: the recommendation before every trial after it, on the weaker plant."""
    seed, shares, first = reference["seed_objective"], [], []
    for row in stepped:
        level = row["after"][0]
        if level is None:  # what was recommended before the step is not safe after it
            level = max(value for value in row["after"] if value is not None)
        found = [None if v is None else (v - seed) / (level - seed) for v in row["after"]]
        shares.append("unsafe or none" if found[RETUNED_IN] is None else f"{found[RETUNED_IN]:.2f}")
        last = max((i for i, v in enumerate(found) if v is None or v < RETUNED), default=-1)
        first.append("-" if last == len(found) - 1 else str(last + 1))
    return [
        f"step of -10 %: seed {seed:.3f}, best of {REFERENCES} random gains safe after it "
        f"{reference['best']:.3f}; "
        f"violating runs {sum(row['violating'] > 0 for row in stepped)} of {len(stepped)}",
        f"  share of the gap held before, {RETUNED_IN} trials after the step: {', '.join(shares)}",
        f"  trials after the step from which on it is safe and at least {RETUNED:g} of it: {', '.join(first)}",
    ]


def main(
    out: Annotated[Path, typer.Option(help="folder of the finished runs")] = Path("drift-evidence"),
    runs: Annotated[int, typer.Option(min=1)] = 10,
    trials: Annotated[int, typer.Option(min=2)] = 60,
    functions: Annotated[int, typer.Option(min=0)] = 40,
) -> None:
    """Make the runs that are missing and print the table after every three."""
    out.mkdir(parents=True, exist_ok=True)
    file = out / "runs.jsonl"
    found = read(file)
    planned = list(jobs(runs, trials, functions))
    missing = [job for job in planned if job[:2] not in found]
    spent: dict[str, list[float]] = {}
    for done, (name, seed, work) in enumerate(missing, 1):
        begun = time.monotonic()
        row = {"name": name, "seed": seed, **work()}
        with file.open("a") as kept:
            kept.write(json.dumps(row) + "\n")
        found[name, seed] = row
        spent.setdefault(name, []).append(time.monotonic() - begun)
        if done % 3 == 0:
            left = sum(np.mean(spent.get(n, [60.0])) for n, _, _ in missing[done:])
            print(
                f"{done} of {len(missing)} runs; about {left / 3600:.2f} hours to go\n{table(found)}",
                flush=True,
            )
    print(table({key: row for key, row in found.items() if key in {job[:2] for job in planned}}))


if __name__ == "__main__":
    typer.run(main)
