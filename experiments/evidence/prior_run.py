"""What a simulated run is worth as prior of a robot's whose plant is another one, and what a lying one costs.

    python -m safebo.experiments.evidence.prior_run
    python -m safebo.experiments.evidence.prior_run --correlation 0.9

The first declares nothing, so that the correlation is earned. The robot is the Go1 of study go1-trot, simulated with
weak motors and unmodelled joint impedance. `simulation` has both and 2 kg on its back; over 34 random gains its
correlation with the robot is 0.90 (objective) and 0.97 (margin) on the scale on which they are modelled. `ideal
simulation` has neither; its objective is the same everywhere, its margin too good. 30 simulated trials, then 20 on the
robot, alone and with `safebo.run(prior=...)`. The lies are the simulated run with every objective and margin mirrored
between its own smallest and largest, with the objective's sign flipped, and with a fiftieth of the tracking error.
Prints, per case and over all seeds: the true objective of the best safe gains after 5, 10 and 20 robot trials, how many
trials it takes to reach what 10 and 20 trials reach alone, unsafe trials by true margins and falls, and at which trial
the prior was dropped.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from safebo.experiments.evidence.truth import process_pool, with_evaluator_options
from safebo.experiments.studies.cautious import cautious
from safebo.runs.prior_events import prior_state
from safebo.runs.runner import run
from safebo.storage.journal import Journal
from safebo.study import PriorDataSpec, Study
from safebo.study.reading import load_study, study_hash
from safebo.types import Measurement

FloatArray = NDArray[np.float64]

CHECKPOINTS = (5, 10, 20)
LEVELS = (10, 20)
CASES = ("alone", "simulation", "ideal simulation", "mirrored", "sign flipped", "margins raised")
PLANTS = {"simulation": "paper+payload", "ideal simulation": "nominal"}


@dataclass(frozen=True)
class RobotOutcome:
    """Of one robot run: its best true objective so far after every trial (safe ones), and what went wrong."""

    best: tuple[float, ...]
    unsafe: int
    falls: int
    dropped: int | None


def robot_study() -> Study:
    """Study go1-trot without telemetry, its cautious prior declared."""
    return with_evaluator_options(cautious(load_study("go1-trot").study), {"telemetry": False})


def mirrored(measured: Sequence[Measurement]) -> list[Measurement]:
    """What was best becomes worst."""
    objectives = [m.objective for m in measured if m.objective is not None]
    names = measured[0].margins
    ends = {name: [m.margins[name] for m in measured if name in m.margins] for name in names}
    return [
        replace(
            m,
            objective=None if m.objective is None else min(objectives) + max(objectives) - m.objective,
            margins={name: min(ends[name]) + max(ends[name]) - value for name, value in m.margins.items()},
        )
        for m in measured
    ]


def raised(measured: Sequence[Measurement]) -> list[Measurement]:
    """Every distance from a limit of 0.1 becomes a fiftieth of what it was."""
    return [replace(m, margins={n: 0.1 - (0.1 - v) / 50 for n, v in m.margins.items()}) for m in measured]


def flipped(measured: Sequence[Measurement]) -> list[Measurement]:
    """The objective changes its sign."""
    return [replace(m, objective=None if m.objective is None else -m.objective) for m in measured]


LIES: dict[str, Callable[[Sequence[Measurement]], list[Measurement]]] = {
    "mirrored": mirrored,
    "sign flipped": flipped,
    "margins raised": raised,
}


def falsify(folder: Path, out: Path, lie: Callable[[Sequence[Measurement]], list[Measurement]]) -> None:
    """The same run with other measurements, in a new folder."""
    out.mkdir()
    with Journal.open(folder, read_only=True) as source:
        info = source.run
        told = [(r.trial, r.measurement) for r in source.records() if r.measurement is not None]
    with Journal.create(
        out, study=info.study, declared=info.declared, study_text="", study_hash=study_hash(info.declared),
        source="falsified", seed=info.seed, trials=len(told),
    ) as journal:  # fmt: skip
        for (trial, _), measurement in zip(told, lie([m for _, m in told]), strict=True):
            journal.ask(trial, trial.id)
            journal.tell(trial.id, measurement)


def tune(study: Study, folder: Path, seed: int, trials: int, prior: Path | None = None) -> None:
    """One run, evaluated in this process."""
    with ThreadPoolExecutor(1) as executor:
        run(study, folder, seed=seed, trials=trials, executor=executor, prior=prior)


def outcome_of(folder: Path) -> RobotOutcome:
    """What a run shows, by what the evaluator knows without noise."""
    with Journal.open(folder, read_only=True) as journal:
        records, state = journal.records(states=False), prior_state(journal)
    best, unsafe, falls = [-np.inf], 0, 0
    for record in records:
        m = record.measurement
        if m is None:
            continue
        margins = m.true_margins if m.true_margins is not None else m.margins
        safe = m.outcome == "completed" and min(margins.values()) >= 0
        unsafe += not safe
        falls += m.fell
        value = m.true_objective if m.true_objective is not None else m.objective
        best.append(max(best[-1], value) if safe and value is not None else best[-1])
    dropped = None if state is None or state["dropped"] is None else int(state["dropped"]["trial"])
    return RobotOutcome(tuple(best[1:]), unsafe, falls, dropped)


def solve(seed: int, simulated: int, trials: int, believed: PriorDataSpec) -> dict[str, RobotOutcome]:
    """All cases of one seed."""
    surrogate = robot_study().surrogate.model_copy(update={"prior_data": believed})
    robot = robot_study().model_copy(update={"surrogate": surrogate})
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for name, plant in PLANTS.items():
            simulation = with_evaluator_options(robot_study(), {"disturbance": plant})
            tune(simulation, place / name, seed, simulated)
        for case in CASES:
            prior = None if case == "alone" else place / case
            if case in LIES:
                falsify(place / "simulation", place / case, LIES[case])
            tune(robot, place / f"robot {case}", seed + 100, trials, prior)
            found[case] = outcome_of(place / f"robot {case}")
    return found


def trials_to(level: float, outcome: RobotOutcome) -> int | None:
    """After how many trials a level is reached; None when it is not."""
    return next((i + 1 for i, value in enumerate(outcome.best) if value >= level), None)


def row(case: str, outcomes: Sequence[RobotOutcome], alone: Sequence[RobotOutcome]) -> str:
    """One line of the table."""
    best = "  ".join(f"{np.mean([o.best[n - 1] for o in outcomes]):7.3f}" for n in CHECKPOINTS)
    needed = []
    for n in LEVELS:
        found = [trials_to(a.best[n - 1], o) for a, o in zip(alone, outcomes, strict=True)]
        words = ",".join("-" if f is None else str(f) for f in found)
        needed.append(f"{words:>14}")
    dropped = ",".join("-" if o.dropped is None else str(o.dropped) for o in outcomes)
    unsafe, falls = sum(o.unsafe for o in outcomes), sum(o.falls for o in outcomes)
    return f"{case:16} {best}  {'  '.join(needed)}  {unsafe:6d} {falls:5d}  {dropped}"


def main(
    seeds: Annotated[int, typer.Option(min=1)] = 4,
    simulated: Annotated[int, typer.Option(min=1)] = 30,
    trials: Annotated[int, typer.Option(min=max(CHECKPOINTS))] = 20,
    correlation: Annotated[
        float | None, typer.Option(min=0.0, max=1.0, help="Declared. [default: none, it is earned]")
    ] = None,
    inflation: Annotated[float | None, typer.Option(min=1.0)] = None,
    workers: Annotated[int, typer.Option(min=1)] = 2,
) -> None:
    """Run every case with every seed and print the table."""
    believed = PriorDataSpec(correlation=correlation, inflation=inflation)
    with process_pool(workers) as pool:
        found = list(pool.map(solve, range(seeds), [simulated] * seeds, [trials] * seeds, [believed] * seeds))
    best = "  ".join(f"at {n:4d}" for n in CHECKPOINTS)
    levels = "  ".join(f"as alone in {n:2d}" for n in LEVELS)
    words = "nothing declared" if correlation is None else f"correlation {correlation:g} declared"
    print(f"{seeds} seeds, {simulated} simulated trials, {trials} robot trials each; {words}")
    print(f"{'':16} {best}  {levels}  unsafe falls  dropped at")
    alone = [outcomes["alone"] for outcomes in found]
    for case in CASES:
        print(row(case, [outcomes[case] for outcomes in found], alone))


if __name__ == "__main__":
    typer.run(main)
