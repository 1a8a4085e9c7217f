"""What a global trial that was safe by luck leads to: GoSafeOpt where the boundary condition sees nothing.

    python -m safebo.experiments.evidence.lucky_global [--seeds 200] [--trials 20] [--out runs/lucky-global.jsonl]

One gain, on a grid. Around the seed the margin is up to 0.5; beyond, all gains are slightly unsafe, -0.06, with noise
of 0.035, and no trial there is ended by the monitor. The first global trial, at k = 0.9, measured +0.017. Three
studies: with the right noise and beta 3, with beta 2, and with a third of the noise declared. Prints, for every study,
in how many runs the first trial's gains were certified after their second negative measurement (or at the end where
there was none) and how often they were tried again; then, over all gains, in how many runs some were certified after
any trial although their true margin is negative, recommended at the end, or kept as a backup. A finished run is a line
of `--out`; the command goes on where it was ended.

Whether the better island of a system that has one is still found is what
`python -m safebo.experiments.evidence.pendulum_islands` prints.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from safebo.experiments.evidence.truth import process_pool
from safebo.study import Study
from safebo.tuner import Tuner
from safebo.types import Measurement, Trial

NOISE = 0.035
LUCKY = 0.017
AT = 0.9
POINTS = 41
CASES = {"beta 3": (3.0, NOISE), "beta 2": (2.0, NOISE), "a third of the noise told": (3.0, NOISE / 3)}
"""Beta and the declared noise."""


@dataclass(frozen=True)
class LuckyRun:
    """One run.

    Args:
        case: name of the study.
        seed: of noise and tuner.
        repeats: trials at the lucky gains after the first.
        negative: how many of them measured a negative margin.
        certified: whether the lucky gains were certified after the second of those, or at the end if there was none.
        wrong: trials after which some gains were certified that are unsafe.
        recommended: whether such gains were recommended at the end.
        backup: whether such gains were a backup after any trial.
        unsafe: trials with a negative true margin, the monitor's blindness included.
    """

    case: str
    seed: int
    repeats: int
    negative: int
    certified: bool
    wrong: int
    recommended: bool
    backup: bool
    unsafe: int


def true_margin(k: float) -> float:
    """Of gains k."""
    return float(0.56 * np.exp(-(((k - 0.2) / 0.2) ** 2)) - 0.06)


def study(case: str) -> Study:
    """The study of a case."""
    beta, noise = CASES[case]
    return Study.model_validate(
        {
            "name": "lucky",
            "evaluator": {"name": "closed-form"},
            "parameters": [{"name": "k", "bounds": [0, 1]}],
            "objective": {"name": "reward", "prior_mean": -0.2, "prior_std": 0.3, "noise_std": 0.01},
            "constraints": [{"name": "margin", "prior_mean": -0.1, "prior_std": 0.4, "noise_std": noise}],
            "seeds": [{"parameters": {"k": 0.2}}],
            "surrogate": {"lengthscale": 0.1},
            "tuner": {
                "method": "gosafeopt",
                "beta": beta,
                "search": {"domain": "grid", "grid_points": POINTS},
                "exploration": {"local_steps": 5, "global_steps": 3, "patience": 3},
            },
        }
    )


def measured(k: float, rng: np.random.Generator, margin: float | None = None) -> Measurement:
    """A completed trial; the better gains lie on the unsafe side."""
    noise = rng.standard_normal(2)
    margin = true_margin(k) + NOISE * float(noise[1]) if margin is None else margin
    reward = -((k - AT) ** 2) + 0.01 * float(noise[0])
    return Measurement("completed", reward, {"margin": margin}, states=np.array([[0.5], [0.4]]))


def run(case: str, seed: int, trials: int) -> LuckyRun:
    """One run that begins with the seed and the lucky trial."""
    rng = np.random.default_rng(seed)
    tuner = Tuner(study(case), seed)
    given = [
        Trial(1, {"k": 0.2}, {}, "default", "seed", 0, True),
        Trial(2, {"k": AT}, {}, "default", "global", 0, False),
    ]
    told = [measured(0.2, rng), measured(AT, rng, LUCKY)]
    tuner.restore(list(zip(given, told, strict=True)))
    unsafe_gains = [{"k": float(k)} for k in np.linspace(0.0, 1.0, POINTS) if true_margin(float(k)) < 0]
    repeats, negative, wrong, unsafe, backup = 0, 0, 0, 0, False
    certified: bool | None = None
    for _ in range(trials - 2):
        trial = tuner.ask()
        k = trial.parameters["k"]
        m = measured(k, rng)
        tuner.tell(trial, m)
        unsafe += true_margin(k) < 0
        repeats += k == AT
        negative += k == AT and m.margins["margin"] < 0
        if certified is None and negative == 2:
            certified = tuner.certify({"k": AT}, "default").certified
        shown = tuner.bounds([[gains["k"]] for gains in unsafe_gains], "default")[:, 1, 0]
        wrong += bool((shown >= 0).any())
        if trial.phase == "global":
            monitor = tuner.monitor(trial)
            backup |= monitor is not None and any(true_margin(b["k"]) < 0 for b in monitor.backups)
    best = tuner.best()
    if certified is None:
        certified = tuner.certify({"k": AT}, "default").certified
    recommended = best is not None and true_margin(best.parameters["k"]) < 0
    return LuckyRun(
        case, seed, int(repeats), int(negative), certified, wrong, recommended, backup, int(unsafe)
    )


def finished(out: Path, trials: int) -> dict[tuple[str, int], LuckyRun]:
    """Runs of that many trials that the file has; half a line, as a command that was killed leaves it, is taken out."""
    *lines, rest = out.read_text().split("\n")
    if rest:
        out.write_text("".join(f"{line}\n" for line in lines))
    rows = [json.loads(line) for line in lines]
    return {(r["run"]["case"], r["run"]["seed"]): LuckyRun(**r["run"]) for r in rows if r["trials"] == trials}


def runs(seeds: int, trials: int, workers: int, out: Path | None) -> Iterator[LuckyRun]:
    """Every run of every case; finished ones are read from `out`, new ones are appended to it."""
    known = {} if out is None or not out.exists() else finished(out, trials)
    wanted = [(case, seed) for case in CASES for seed in range(seeds)]
    yield from (known[key] for key in wanted if key in known)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
    with process_pool(workers) as pool:
        jobs = [pool.submit(run, case, seed, trials) for case, seed in wanted if (case, seed) not in known]
        for job in as_completed(jobs):
            found = job.result()
            if out is not None:
                with out.open("a") as file:
                    file.write(json.dumps({"trials": trials, "run": asdict(found)}) + "\n")
            yield found


def summary(found: Sequence[LuckyRun]) -> str:
    """The runs of one case in a line."""
    n = len(found)
    certified, wrong = sum(r.certified for r in found), sum(r.wrong > 0 for r in found)
    recommended, backup = sum(r.recommended for r in found), sum(r.backup for r in found)
    repeats = [r.repeats for r in found]
    return (
        f"{n} runs: certified after the second negative measurement in {certified}; tried again {np.mean(repeats):.2f} "
        f"times, at most {max(repeats)}; unsafe gains certified after any trial in {wrong}, recommended in "
        f"{recommended}, a backup in {backup}; {sum(r.unsafe for r in found) / n:.1f} unsafe trials a run"
    )


def main(
    seeds: Annotated[int, typer.Option(help="runs per study")] = 200,
    trials: Annotated[int, typer.Option(help="trials per run, the seed and the lucky one included")] = 20,
    workers: Annotated[int, typer.Option(help="processes")] = 1,
    out: Annotated[Path | None, typer.Option(help="finished runs, one a line, read and appended to")] = None,
) -> None:
    """Print one line per study."""
    found = []
    for done in runs(seeds, trials, workers, out):
        found.append(done)
        if len(found) % 50 == 0:
            print(f"{len(found)} of {len(CASES) * seeds} runs", flush=True)
    for case in CASES:
        print(f"{case}: {summary([r for r in found if r.case == case])}")


if __name__ == "__main__":
    typer.run(main)
