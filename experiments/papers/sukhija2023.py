"""GoSafeOpt against SafeOpt as in Sukhija et al., Artificial Intelligence 320, 2023, on systems that can be had.

    python -m safebo.experiments.papers.sukhija2023 --seeds 10 --workers 2 --out runs/papers/sukhija2023

The paper's arm and its simulation are not public as a whole, so its numbers are shown and not made again: what is
made again is its statement, on the shipped pendulum, whose safe gains form two islands, and on the paper's 1-D toy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from safebo.experiments.evidence.pendulum_landscape import Landscape, brute_force
from safebo.experiments.papers.claims import Claim, grid, listed
from safebo.experiments.papers.claims import table as claim_table
from safebo.experiments.papers.figures import Panel, draw
from safebo.experiments.papers.page import Asked, paper_command
from safebo.experiments.papers.runs import (
    RunRequest,
    command,
    count,
    last_known,
    make,
    mean_and_error,
    regrets,
    rows_of,
    series,
)

PENDULUM, TOY = "pendulum-islands", "gosafeopt-toy"
_TASKS = Path(__file__).resolve().parent / "tasks"
FILES = {PENDULUM: _TASKS / "pendulum_islands.py", TOY: _TASKS / "gosafeopt_toy.py"}
TRIALS = {PENDULUM: 150, TOY: 91}
METHODS = {"safeopt": "SafeOpt", "gosafeopt": "GoSafeOpt"}
TITLES = {PENDULUM: "pendulum", TOY: "1-D toy"}

PUBLISHED = (
    (
        "arm, 8-D simulation, 200 trials, 20 seeds: reward at the end",
        "0.39, flat (figure)",
        "0.42 to 2.07 (figure)",
    ),
    ("the same: safe trials", "100 %", "99.9 %"),
    ("arm, 11-D simulation: reward at the end", "-4.25 to -1.53 (figure)", "-4.25 to 1.66 (figure)"),
    ("the same: safe trials", "100 %", "100 %"),
    ("arm, hardware, 50 trials, 3 runs: reward", "0.45 to 0.585 (figure)", "0.46 to 0.83 (figure)"),
)
CHOSEN = (
    "The pendulum is our own study `pendulum` (experiments/studies/pendulum.yaml), not one of the paper's: limits, "
    "priors and the constants of the boundary condition are ours, the latter measured "
    "(`python -m safebo.experiments.evidence.pendulum_landscape --constants`).",
    "The boundary condition is the paper's with Lipschitz constant and inter-sample bound, which has the guarantee; "
    "the published code uses kernel correlations to the nearest interior point, which has none.",
    "The pendulum's global trials are proposed by the widest interval outside the safe set (equation 10), not by the "
    "published code's covariance rule; eight local and eight global trials alternate there (published: 30 and 10).",
    "The pendulum's regret counts from the best safe gains of a grid of 201 x 201.",
    "The 1-D toy has the published system, box, limit, seeds, phases and length "
    "(experiments/studies/gosafeopt-toy.yaml); the objective's lengthscale and noise, and the boundary "
    "condition with constants that bound the system, are ours.",
)
DIFFERENCES = (
    "The arm's controller, simulation and hardware are not made again: nothing here is a check of those numbers.",
)


@dataclass(frozen=True)
class Islands:
    """Where the pendulum's answers lie, told by their regret.

    Args:
        gap: regret of the best gains of the seed's island.
        landscape: tells the island of tried gains.
    """

    gap: float
    landscape: Landscape

    @classmethod
    def found(cls) -> Islands:
        """By brute force."""
        land = brute_force(201)
        return cls(land.best_region.best_objective - land.seed_region.best_objective, land)

    def first(self, rows: list[dict[str, Any]]) -> dict[int, int]:
        """By seed, the first trial that completed in the better island."""
        found: dict[int, int] = {}
        better = self.landscape.best_region.label
        for row in rows:
            seed, trial = row["seed"], row["trial"]
            if not row["backup"] and self.landscape.region_of(*row["x"]) == better:
                found[seed] = min(trial, found.get(seed, trial))
        return found


def pendulum_claims(table: pa.Table, trials: int, islands: Islands) -> list[Claim]:
    """What the paper says of SafeOpt and GoSafeOpt, on the pendulum."""
    crossed = {
        m: (regrets(table, PENDULUM, m, trials)[:, -1] < islands.gap - 1e-6)
        & (last_known(series(table, PENDULUM, m, "answer_safe", trials))[:, -1] == 1.0)
        for m in METHODS
    }
    safe = {m: count(table, PENDULUM, m, "violated") for m in METHODS}
    first = sorted(islands.first(rows_of(table, PENDULUM, "gosafeopt")).values())
    backups = count(table, PENDULUM, "gosafeopt", "backup")
    n = len(crossed["safeopt"])
    return [
        Claim(
            "SafeOpt stays in the region of its seed (pendulum)",
            "yes",
            f"{n - int(crossed['safeopt'].sum())} of {n} seeds",
            not crossed["safeopt"].any(),
        ),
        Claim(
            "GoSafeOpt finds the better region, which no safe path joins to the seed (pendulum)",
            "yes",
            f"{int(crossed['gosafeopt'].sum())} of {n} seeds"
            + (f", first trial there {first[0]} to {first[-1]}" if first else ""),
            bool(crossed["gosafeopt"].all()),
        ),
        Claim(
            "SafeOpt's trials are safe",
            "100 %",
            _share(safe["safeopt"]),
            safe["safeopt"][0] == 0,
        ),
        Claim(
            "GoSafeOpt's trials are safe, global ones included",
            "99.9 % to 100 %",
            f"{_share(safe['gosafeopt'])}; {backups[0]} trials ended on a backup",
            safe["gosafeopt"][0] == 0,
        ),
    ]


def toy_claims(table: pa.Table, trials: int) -> list[Claim]:
    """The same on the 1-D toy, whose global optimum lies in another region than the seed."""
    end = {m: regrets(table, TOY, m, trials)[:, -1] for m in METHODS}
    safe = {m: count(table, TOY, m, "violated") for m in METHODS}
    n = len(end["safeopt"])
    wins = int((end["gosafeopt"] < end["safeopt"] - 1e-9).sum())
    return [
        Claim(
            "GoSafeOpt ends better than SafeOpt (1-D toy)",
            "yes",
            f"{wins} of {n} seeds; mean regret {end['gosafeopt'].mean():.3g} against {end['safeopt'].mean():.3g}",
            wins == n,
        ),
        Claim(
            "Trials are safe (1-D toy)",
            "yes",
            ", ".join(f"{METHODS[m]} {_share(safe[m])}" for m in METHODS),
            not any(bad for bad, _ in safe.values()),
        ),
    ]


def _share(counted: tuple[int, int]) -> str:
    bad, total = counted
    return f"{100.0 * (1.0 - bad / max(1, total)):.1f} % ({bad} of {total} violated)"


def summary(table: pa.Table, lengths: Mapping[str, int], seeds: int, islands: Islands) -> str:
    """The page in Markdown."""
    found = [*pendulum_claims(table, lengths[PENDULUM], islands), *toy_claims(table, lengths[TOY])]
    rows = []
    for task, n in lengths.items():
        for method, name in METHODS.items():
            mean, error = mean_and_error(regrets(table, task, method, n))
            bad, total = count(table, task, method, "violated")
            backups = str(count(table, task, method, "backup")[0])
            end = f"{mean[-1]:.3g} ± {error[-1]:.2g}"
            rows.append([TITLES[task], name, end, f"{bad}/{total}", backups])
    parts = [
        "# Sukhija et al. 2023, GoSafeOpt",
        f"{seeds} seeds; {', '.join(f'{TITLES[t]} {n} trials' for t, n in lengths.items())}.",
        claim_table(found),
        "![regret](regret.png)",
        grid(["system", "method", "regret at the end", "violations", "backups"], rows),
        "## The paper's own numbers, on its robot arm (not made again)",
        grid(["what", "SafeOpt", "GoSafeOpt"], PUBLISHED),
        "## Unpublished, and chosen by us",
        listed(CHOSEN),
        "## Where ours and the paper differ, and why",
        listed(DIFFERENCES),
    ]
    return "\n\n".join(parts)


def build(asked: Asked) -> str:
    """The runs, the figure and the page."""
    lengths = {task: asked.trials or n for task, n in TRIALS.items()}
    requests = [RunRequest(str(FILES[task]), tuple(METHODS), n) for task, n in lengths.items()]
    table = make(requests, asked.seeds, asked.out, asked.workers)
    islands = Islands.found()
    panels = [
        Panel(
            TITLES[task],
            "simple regret",
            {name: regrets(table, task, m, n) for m, name in METHODS.items()},
            marks={"best of the seed's island": islands.gap} if task == PENDULUM else None,
        )
        for task, n in lengths.items()
    ]
    draw(asked.out / "regret.png", panels)
    return summary(table, lengths, asked.seeds, islands)


main = paper_command("sukhija2023", build)

if __name__ == "__main__":
    command(main)
