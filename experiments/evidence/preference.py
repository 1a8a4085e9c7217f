"""Preferences against a measured objective: what a simulated operator's answers find in as many walks.

    python -m safebo.experiments.evidence.preference [--seeds 10] [--trials 30] [--out runs/preference.jsonl]

The study is `go1-trot` with the quantity `--quantity` as what is good. The operator sees it, on the scale on which it
is modelled (a logarithm, as costs spread over two decades), in units of its standard deviation over the gains of the
box; judges every walk with a standard deviation of `--lam` of that, drawn anew for every question; and always decides.
Three arms, each under the same margins: `eubo` asks the operator about pairs that EUBO chose, `random` about drawn
certified walks beside drawn ones, `measured` is told the number itself and chooses as `go1-trot` does.

Prints for every arm, after each run: the gain over the seed, noise-free, of what is recommended, its median and range
over the seeds, its share of the measured arm's, walks with a negative true margin, questions, and the estimated lambda
over the true one. A finished run is a line of `--out`; the command goes on where it was ended.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from safebo.evaluators.gate import evaluate_safely
from safebo.evaluators.source import EvaluatorSource
from safebo.experiments.evidence.truth import process_pool, random_gains, truth, with_evaluator_options
from safebo.study import Study
from safebo.study.evaluator_checks import with_defaults
from safebo.study.priors import modelled
from safebo.study.reading import load_study
from safebo.study.tuner_checks import with_trust
from safebo.types import PreferenceQuestion, PreferenceWord, Trial

ARMS = ("eubo", "random", "measured")
CONTEXT = "trot"
SCALE = {"walking": 8.0, "tracking": 50.0}
"""Of the logarithm, in the quantity's unit."""


@dataclass(frozen=True)
class PreferenceRun:
    """One run.

    Args:
        arm: one of `ARMS`.
        seed: of tuner, walks and operator.
        gain: of the recommended gains over the seed, noise-free, in standard deviations over the box.
        objective: noise-free, of the recommended gains, in its own unit.
        unsafe: walks with a negative true margin.
        questions: that were answered.
        lam: estimated; 0 for the measured arm.
        walks: utility of every walk over that of the first, as it was seen, in their order; a fall is 4 below.
        seconds: of the run.
    """

    arm: str
    seed: int
    gain: float
    objective: float
    unsafe: int
    questions: int
    lam: float
    walks: tuple[float, ...]
    seconds: float


def studies(quantity: str, lam: float) -> Mapping[str, Study]:
    """The study of every arm."""
    shipped = with_trust(load_study("go1-trot").study)
    shipped = with_evaluator_options(shipped, {"objective": quantity, "telemetry": False})
    warp = {"kind": "log", "upper": 0.0, "scale": SCALE[quantity], "clip": 4.0}
    measured = {"name": quantity, "quantity": quantity, "warp": warp, "prior_std": 1.0, "noise_std": 0.1}
    prefers = {"name": "look", "kind": "preference", "prior_std": 1.0, "noise_std": lam, "indifference": 0.01}
    data = shipped.model_dump(mode="json")
    changes = {
        "eubo": {"objective": prefers, "tuner": data["tuner"] | {"method": "eubo"}},
        "random": {"objective": prefers, "tuner": data["tuner"] | {"method": "random_safe"}},
        "measured": {"objective": measured},
    }
    return {arm: Study.model_validate_json(json.dumps(data | changes[arm])) for arm in ARMS}


class Operator:
    """Somebody who sees the utility of a walk with an error of their own, drawn anew for every question.

    Args:
        lam: standard deviation of the error of one walk.
        seed: of the errors.
    """

    def __init__(self, lam: float, seed: int) -> None:
        self.lam, self._rng = lam, np.random.default_rng([seed, *b"operator"])
        self.utility: dict[int, float] = {}

    def prefer(self, question: PreferenceQuestion) -> PreferenceWord:
        """What is said of two walks."""
        noise = self.lam * self._rng.standard_normal(2)
        left, right = self.utility[question.left] + noise[0], self.utility[question.right] + noise[1]
        return "left" if left > right else "right"


def run(quantity: str, arm: str, seed: int, trials: int, lam: float, spread: float) -> PreferenceRun:
    """One run; `spread` is the utility's standard deviation over the box, on the modelled scale."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from safebo.tuner import Tuner

    began, every = time.monotonic(), studies(quantity, lam)
    scale, declared = every["measured"].objective, every[arm]
    evaluator = EvaluatorSource(declared).make()
    study = with_defaults(declared, evaluator.info())
    tuner, operator, unsafe = Tuner(study, seed), Operator(lam, seed), 0
    seed_gains: Mapping[str, float] | None = None
    for _ in range(trials):
        trial: Trial = tuner.ask()
        seed_gains = trial.parameters if seed_gains is None else seed_gains
        measurement = evaluate_safely(evaluator, trial, None, study)
        tuner.tell(trial, measurement)
        margins = measurement.true_margins or measurement.margins
        unsafe += measurement.fell or any(
            margins.get(c.quantity or c.name, 0.0) < 0 for c in study.constraints
        )
        seen = measurement.objective if arm == "measured" else measurement.extra.get("objective")
        operator.utility[trial.id] = (-4.0 if seen is None else modelled(scale, seen) or -4.0) / spread
        while (question := tuner.question()) is not None:
            tuner.tell_preference(question, operator.prefer(question))
    best, consistency = tuner.best(CONTEXT), tuner.consistency()
    assert seed_gains is not None
    found = seed_gains if best is None else best.parameters
    shown = [m.objective for m in truth(every["measured"], CONTEXT, [seed_gains, found])]
    values = [-4.0 if v is None else (modelled(scale, v) or -4.0) for v in shown]
    return PreferenceRun(
        arm,
        seed,
        (values[1] - values[0]) / spread,
        float("nan") if shown[1] is None else shown[1],
        int(unsafe),
        len(tuner.history.answers),
        0.0 if consistency is None else consistency.value,
        tuple(round(u - operator.utility[1], 4) for u in operator.utility.values()),
        time.monotonic() - began,
    )


def box_spread(quantity: str, lam: float, count: int) -> float:
    """Standard deviation of the utility over the gains of the box that walk to the end, on the modelled scale."""
    study = studies(quantity, lam)["measured"]
    shown = truth(study, CONTEXT, random_gains(study, count, seed=0))
    known = [modelled(study.objective, m.objective) for m in shown if m.objective is not None]
    return float(np.std([v for v in known if v is not None]))


def finished(out: Path, mark: str) -> tuple[float | None, dict[tuple[str, int], PreferenceRun]]:
    """The spread and the runs that a file has of such a command; a half line is left out."""
    spread, found = None, {}
    for line in out.read_text().splitlines() if out.exists() else ():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if row["mark"] == mark and "spread" in row:
            spread = row["spread"]
        elif row["mark"] == mark:
            found[row["run"]["arm"], row["run"]["seed"]] = PreferenceRun(**row["run"])
    return spread, found


def keep(out: Path, mark: str, **row: object) -> None:
    """Add a line to a file."""
    out.parent.mkdir(parents=True, exist_ok=True)
    text = out.read_text() if out.exists() else ""
    with out.open("a") as file:
        file.write(
            ("\n" if text and not text.endswith("\n") else "") + json.dumps({"mark": mark, **row}) + "\n"
        )


def table(found: Sequence[PreferenceRun], lam: float) -> Iterator[str]:
    """The arms side by side, over the seeds that all of them have; a line each."""
    common = set.intersection(*({r.seed for r in found if r.arm == arm} for arm in ARMS))
    if not common:
        return
    yield f"{'arm':10}{'seeds':>6}{'gain: median (range)':>26}{'of measured':>12}{'unsafe':>8}" + (
        f"{'questions':>11}{'lambda':>9}"
    )
    of = {
        arm: sorted((r for r in found if r.arm == arm and r.seed in common), key=lambda r: r.gain)
        for arm in ARMS
    }
    measured = float(np.median([r.gain for r in of["measured"]]))
    for arm, runs in of.items():
        gains = [r.gain for r in runs]
        middle = float(np.median(gains))
        spread = f"{middle:.3f} ({min(gains):.3f} to {max(gains):.3f})"
        ratio = "" if arm == "measured" else f"{np.median([r.lam for r in runs]) / lam:.2f}"
        asked = np.mean([r.questions for r in runs])
        yield (
            f"{arm:10}{len(runs):6}{spread:>26}{middle / measured:12.1%}{sum(r.unsafe for r in runs):8}"
            f"{asked:11.1f}{ratio:>9}"
        )


def main(
    seeds: Annotated[int, typer.Option(help="runs per arm")] = 10,
    trials: Annotated[int, typer.Option(help="walks per run, the seed included")] = 30,
    quantity: Annotated[str, typer.Option(help="walking or tracking")] = "walking",
    lam: Annotated[float, typer.Option(help="of the operator, in standard deviations over the box")] = 0.1,
    box: Annotated[int, typer.Option(help="gains of the box for that standard deviation")] = 60,
    workers: Annotated[int, typer.Option(help="processes")] = 1,
    out: Annotated[Path, typer.Option(help="finished runs, one a line, read and appended to")] = Path(
        "runs/preference.jsonl"
    ),
) -> None:
    """Print the arms side by side, after every run that ends."""
    mark = f"{quantity} {trials} walks, lambda {lam:g}, {box} gains of the box"
    spread, known = finished(out, mark)
    if spread is None:
        spread = box_spread(quantity, lam, box)
        keep(out, mark, spread=spread)
    print(f"{mark}; standard deviation of the utility there: {spread:.3f} on the modelled scale", flush=True)
    wanted = [(arm, seed) for seed in range(seeds) for arm in ARMS]
    found = [known[key] for key in wanted if key in known]
    with process_pool(workers) as pool:
        jobs = [
            pool.submit(run, quantity, a, s, trials, lam, spread) for a, s in wanted if (a, s) not in known
        ]
        for job in as_completed(jobs):
            found.append(job.result())
            keep(out, mark, run=asdict(found[-1]))
            left = sum(r.seconds for r in found) / len(found) * (len(wanted) - len(found)) / workers / 3600
            print(f"{len(found)} of {len(wanted)} runs, {left:.2f} h left", flush=True)
            print("\n".join(table(found, lam)), flush=True)
    print("\n".join(table(found, lam)))
    print(f"{sum(r.seconds for r in found) / 3600:.2f} hours of one process")


if __name__ == "__main__":
    typer.run(main)
