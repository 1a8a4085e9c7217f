"""What heavy-tailed noise does to earned priors: declared as Student noise, and taken for Gaussian.

    python -m safebo.experiments.evidence.student

Problems are those of `safebo.experiments.evidence.calibration` in one input, with noise of a Student distribution of
the declared standard deviation. The declared prior is right, so that alarms and refutations are false, or its
lengthscale is twice too long, so that the cautious prior is the truth and every promotion is false: as often as delta /
2 = 2.5 % of runs are promised, up to what is approximated (`safebo.models.trust`).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Annotated

import numpy as np
import typer

from safebo.experiments.evidence.calibration import tuner_of
from safebo.experiments.evidence.calibration_page import Safeguard
from safebo.experiments.evidence.truth import process_pool
from safebo.experiments.tasks.gp_samples import Belief, gp_sample

DEGREES = (2.5, 3.0, float("inf"))
"""Of freedom of the true noise; `student` is told the same, and 4 where it is Gaussian."""

GUARDS: tuple[Safeguard, ...] = ("earned", "student")

TRUTHS = {"right": 1.0, "cautious": 2.0}
"""Told lengthscale over the true one."""


@dataclass(frozen=True)
class StudentCell:
    """What runs have in common."""

    truth: str
    degrees: float
    method: str
    guard: Safeguard


@dataclass(frozen=True)
class StudentRun:
    """What one run showed.

    Args:
        violated: whether the true constraint was broken at any trial after the seed.
        promoted: whether the declared prior ever certified.
        alarm: whether an alarm was raised.
        refuted: whether the declared prior was refuted.
        regret: of the certified recommendation after the last trial; NaN without one.
    """

    violated: bool
    promoted: bool
    alarm: bool
    refuted: bool
    regret: float


def run(cell: StudentCell, problem: int, trials: int) -> StudentRun:
    """One run; it ends where nothing is certified any more."""
    import torch

    from safebo.errors import EmptySafeSetError
    from safebo.models.prior_variants import DECLARED

    torch.set_num_threads(1)
    belief = Belief(f"{cell.truth}-{cell.degrees:g}", TRUTHS[cell.truth], degrees_of_freedom=cell.degrees)
    task = gp_sample(1, problem, belief, trials=trials)
    tuner = tuner_of(task, cell.method, cell.guard)
    tuner.tell(*task.initial(0))
    violated = promoted = False
    try:
        for trial in range(1, trials + 1):
            x = tuner.ask().x.numpy()
            violated |= bool(task.values_at(x, trial)[0, 1] < task.thresholds[1])
            tuner.tell(x, task.measure(x, 0, trial))
            promoted |= tuner.trust[0].certified_by == DECLARED
        truth = task.functions(np.concatenate([task.grid, tuner.best().x.numpy()[None]]))
        regret = float(truth[truth[:, 1] >= task.thresholds[1], 0].max() - truth[-1, 0])
    except EmptySafeSetError:
        regret = float("nan")
    found = tuner.trust[0]
    return StudentRun(violated, promoted, found.alarm is not None, found.refuted, regret)


def main(
    problems: Annotated[int, typer.Option(min=1, help="drawn problems of every row")] = 100,
    trials: Annotated[int, typer.Option(min=1, help="per run")] = 100,
    methods: Annotated[str, typer.Option(help="with commas")] = "safe_ucb,safeopt",
    workers: Annotated[int, typer.Option(min=1)] = 2,
) -> None:
    """Print one row for every truth, noise, method and safeguard."""
    print(
        "| prior | degrees | method | safeguard | violating runs | promoted | alarms | refuted | median regret |"
    )
    print("|---" * 9 + "|", flush=True)
    with process_pool(workers) as pool:
        for method, truth, degrees, guard in product(methods.split(","), TRUTHS, DEGREES, GUARDS):
            cell = StudentCell(truth, degrees, method.strip(), guard)
            jobs = [pool.submit(run, cell, problem, trials) for problem in range(problems)]
            found = [job.result() for job in jobs]
            counts = [
                sum(getattr(f, key) for f in found) for key in ("violated", "promoted", "alarm", "refuted")
            ]
            regret = float(np.nanmedian([f.regret for f in found]))
            print(
                f"| {truth} | {degrees:g} | {cell.method} | {guard} | "
                + " | ".join(f"{count}/{problems}" for count in counts)
                + f" | {regret:.3f} |",
                flush=True,
            )


if __name__ == "__main__":
    typer.run(main)
