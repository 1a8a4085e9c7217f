"""The page of documentation about calibration: statistics of runs, and tables in markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from scipy.stats import binomtest

from safebo.experiments.tasks.gp_samples import BELIEFS

Safeguard = Literal[
    "posterior", "srinivas2010", "beta 2", "real beta", "lipschitz", "measured", "robust", "earned", "student"
]


class Cell(NamedTuple):
    """What runs have in common: the prior's error, the method, its safeguard, the number of inputs."""

    prior: str
    method: str
    safeguard: Safeguard
    inputs: int = 1


@dataclass(frozen=True)
class CalibrationRun:
    """What one run showed.

    Args:
        violating_trials: trials at which the true constraint was broken.
        depth: the worst true margin below the threshold, in prior standard deviations; 0 when none was.
        trials: trials made; fewer than asked for when nothing was certified any more.
        regret: of the certified recommendation after the last trial; NaN when nothing is certified.
        alarm: whether earned priors raised an alarm.
        refuted: whether they refuted the declared prior.
    """

    violating_trials: int
    depth: float
    trials: int
    regret: float
    alarm: bool = False
    refuted: bool = False


def summary(outcomes: Sequence[CalibrationRun]) -> dict[str, float]:
    """Rate of violating runs with its 95 % Clopper-Pearson interval, violating trials, worst depth, median regret."""
    violating = sum(o.violating_trials > 0 for o in outcomes)
    interval = binomtest(violating, len(outcomes)).proportion_ci(0.95)
    regret = [o.regret for o in outcomes if not np.isnan(o.regret)]
    return {
        "runs": len(outcomes),
        "violating": violating,
        "rate": violating / len(outcomes),
        "low": float(interval.low),
        "high": float(interval.high),
        "trials": sum(o.trials for o in outcomes),
        "broken": sum(o.violating_trials for o in outcomes),
        "trial_rate": sum(o.violating_trials for o in outcomes) / max(1, sum(o.trials for o in outcomes)),
        "depth": max(o.depth for o in outcomes),
        "regret": float(np.median(regret)) if regret else float("nan"),
        "stopped": sum(o.trials == 0 for o in outcomes),
        "alarms": sum(o.alarm for o in outcomes),
        "refuted": sum(o.refuted for o in outcomes),
    }


HEADING = (
    "| inputs | prior | method | safeguard | violating runs | % of runs (95 % interval) | % of trials | worst depth "
    "| median regret | nothing certified | alarms, refuted |\n|---|---|---|---|---|---|---|---|---|---|---|"
)


def line(cell: Cell, numbers: Mapping[str, float]) -> str:
    """One row of the table, in markdown."""
    said = (
        f"{int(numbers['alarms'])}, {int(numbers['refuted'])}"
        if cell.safeguard in ("earned", "student")
        else "-"
    )
    return (
        f"| {cell.inputs} | {cell.prior} | {cell.method} | {cell.safeguard} "
        f"| {int(numbers['violating'])}/{int(numbers['runs'])} "
        f"| {100 * numbers['rate']:.1f} ({100 * numbers['low']:.1f} to {100 * numbers['high']:.1f}) "
        f"| {100 * numbers['trial_rate']:.2f} | {numbers['depth']:.2f} | {numbers['regret']:.3f} "
        f"| {int(numbers['stopped'])} | {said} |"
    )


def pooled_lines(table: Mapping[Cell, Mapping[str, float]]) -> Iterator[str]:
    """`posterior` beside `earned`, pooled over the methods that both have, in markdown; none without both."""
    pairs = [
        (cell, table[cell], table[cell._replace(safeguard="earned")])
        for cell in table
        if cell.safeguard == "posterior" and cell._replace(safeguard="earned") in table
    ]
    if not pairs:
        return
    yield (
        "| inputs | prior | methods | declared: violating runs | % of trials | earned: violating runs | % of trials "
        "| trials broken, earned over declared | alarms | refuted | regret, median over methods: declared, earned |"
    )
    yield "|---" * 11 + "|"
    for inputs, prior in dict.fromkeys((cell.inputs, cell.prior) for cell, _, _ in pairs):
        own = [(d, e) for cell, d, e in pairs if (cell.inputs, cell.prior) == (inputs, prior)]
        total = [{key: sum(row[i][key] for row in own) for key in own[0][i]} for i in (0, 1)]
        rates = [
            f"{int(t['violating'])}/{int(t['runs'])} ({100 * t['violating'] / t['runs']:.1f} %) "
            f"| {100 * t['broken'] / max(1, t['trials']):.2f}"
            for t in total
        ]
        shares = [t["broken"] / max(1, t["trials"]) for t in total]
        ratio = f"{shares[1] / shares[0]:.2f}" if shares[0] else "-"
        regret = ", ".join(f"{np.nanmedian([row[i]['regret'] for row in own]):.3f}" for i in (0, 1))
        alarms, refuted = (f"{100 * total[1][key] / total[1]['runs']:.1f} %" for key in ("alarms", "refuted"))
        yield (
            f"| {inputs} | {prior} | {len(own)} | {rates[0]} | {rates[1]} | {ratio} | {alarms} | {refuted} | {regret} |"
        )


def page(table: Mapping[Cell, dict[str, float]], trials: int) -> str:
    """The page of the documentation, in markdown."""
    text = [PAGE_HEAD.format(trials=trials)]
    pooled = list(pooled_lines(table))
    if pooled:
        text += ["## Declared beside earned\n", POOLED, *pooled, ""]
    right = [cell for cell in table if cell.prior == "right"]
    if right:
        text += ["## The prior is right\n", HEADING]
        text += [line(cell, table[cell]) for cell in right]
    wrong = [prior for prior in BELIEFS if prior != "right" and any(cell.prior == prior for cell in table)]
    if wrong:
        counts = sorted({int(n["runs"]) for cell, n in table.items() if cell.prior in wrong})
        shown = " to ".join(map(str, dict.fromkeys((counts[0], counts[-1]))))
        text += [
            f"\n## The prior is wrong, {shown} problems each\n",
            "Percentage of violating runs with the upper end of its interval, percentage of trials, worst depth.\n",
            "| inputs | method | safeguard | " + " | ".join(wrong) + " |",
            "|---|---|---|" + "---|" * len(wrong),
        ]
        for row in dict.fromkeys(cell[1:] for cell in table if cell.prior in wrong):
            found = [table.get(Cell(prior, *row)) for prior in wrong]
            parts = [
                "-"
                if n is None
                else f"{100 * n['rate']:.1f} % (to {100 * n['high']:.0f}), "
                f"{100 * n['trial_rate']:.2f}, {n['depth']:.2f}"
                for n in found
            ]
            text.append(f"| {row[2]} | {row[0]} | {row[1]} | " + " | ".join(parts) + " |")
    return "\n".join(text) + "\n"


PAGE_HEAD = """# Calibration: how often safe methods break a constraint

Safe means safe under the declared model. This page shows what that is worth where the model is right, and what is left
of it where the model is wrong. Made by

    python -m safebo.experiments.evidence.calibration --out docs/calibration.csv --page PAGE

Every problem is an objective and a constraint drawn from a unit-variance squared-exponential prior on 150 points of the
unit interval (lengthscale 0.1, noise 0.1), with one safe seed; {trials} trials each. With two inputs they are 900
points of the square (lengthscale 0.2), with four and six 1,500 random points of the cube (0.35, 0.5). A run violates
when the true constraint is broken at any of its trials. Intervals are Clopper-Pearson, 95 %. Depths are in prior
standard deviations.

Wrong priors: `long` is told a lengthscale twice too long, `longer` 1.5 times, `short` half of the true one; `quiet`
noise three times too low; `scale` half of the true prior standard deviation; `tails` the true standard deviation of
noise that has a Student distribution of 2.5 degrees of freedom. The truth may also be what no prior here describes:
noise that differs ninefold over the interval (`uneven`), 3 % of measurements with ten times the noise (`outliers`), a
constraint that falls off a `cliff` of two standard deviations, or sinks by one during the run (`drift`).

The safeguards, from the promise alone to what helps when it fails:

- `posterior`, `srinivas2010`: beta by that schedule (`tuner.confidence`), delta 0.05
- `real beta`: the schedule fiedler2024 with every function's true norm, delta 0.05
- `lipschitz`: `srinivas2010`, certified only by lower bounds at tried points less the true Lipschitz constant
- `measured`: LoSBO's safe set, with the true Lipschitz constant and a noise bound taken from the told noise
- `robust`: `posterior`, told lengthscales times 0.6 and told noise times 2
- `earned`: `posterior` with half of delta; certified with half the told lengthscale until the told prior is earned
  (`surrogate.trust`), with the other half
- `student`: `earned`, told that the noise has a Student distribution (`noise_degrees`): of 2.5 degrees of freedom where
  it has, of 4 otherwise
- `beta 2`: the practical constant; it promises nothing

What to take from it: where the prior is right every promise of 5 % is kept with room to spare, and the constant 2
breaks constraints in every tenth run. A lengthscale declared twice too long voids the promise of every method alike:
about half of the runs break a constraint. Priors that have to be earned, which new runs have, keep it; so do a cautious
declaration, true Lipschitz constants, or a beta with the true norm. `measured` stands on the noise bound: told too
little noise, it fails like the others. All runs are in calibration.csv beside this page.
"""

POOLED = """`posterior` with declared priors and with earned ones, pooled over methods. Problems are numbered
alike, and some declared cells have fewer of them. An alarm says that neither the declared nor the cautious prior fits;
where the prior is right both it and a refutation are false.
"""
