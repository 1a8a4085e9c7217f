"""Many seeds of one study: does it stay safe, does nothing fall, how much of the possible gain is recovered?

    python -m safebo.experiments.evidence.tuning go1-trot --trials 50 --seeds 10 --checkpoints 20,40 --best -10.1

runs tuner and evaluator in process (no journal), one seed per worker, and prints per seed: trials with a
negative true margin by phase, falls, walks, and the noise-free objective of the certified recommendation at the
checkpoints as a share of the gap between the initial gains and `--best` (the best of the random gains of
`safebo.experiments.evidence.landscape`). `--method gp_ucb` shows the unsafe baseline, `--lengthscale` and `--trust`
what another declaration costs. With `--keep FOLDER` every finished seed is kept there: the same command goes on where
it was stopped, and `safebo.experiments.evidence.robust` walks what was recommended.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from pydantic import BaseModel, ConfigDict, Field

from safebo.errors import InputError
from safebo.evaluators.gate import evaluate_safely
from safebo.evaluators.source import EvaluatorSource
from safebo.experiments.evidence.truth import is_safe, process_pool, truth
from safebo.study import Study, SurrogateSpec
from safebo.study.evaluator_checks import with_defaults
from safebo.study.reading import load_study
from safebo.study.tuner_checks import with_trust
from safebo.types import Measurement, Trial


@dataclass
class SeedResult:
    """What one run showed; `recommended[n][context]` is the noise-free truth of the answer after n trials, `gains`
    likewise the answer itself.
    """

    seed: int
    records: list[tuple[Trial, Measurement]] = field(default_factory=list)
    gains: dict[int, dict[str, dict[str, Any] | None]] = field(default_factory=dict)
    recommended: dict[int, dict[str, Measurement | None]] = field(default_factory=dict)
    predicted: dict[str, Measurement] = field(default_factory=dict)


def run_seed(study_json: str, seed: int, trials: int, checkpoints: list[int]) -> SeedResult:
    """One run of a study, in process, with the truth of its recommendations at the checkpoints."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from safebo.tuner import Tuner

    study = Study.model_validate_json(study_json)
    evaluator = EvaluatorSource(study).make()
    study = with_defaults(study, evaluator.info())
    tuner = Tuner(study, seed)
    result = SeedResult(seed)
    tuned: list[str] = []
    for n in range(1, trials + 1):
        trial = tuner.ask()
        measurement = evaluate_safely(evaluator, trial, tuner.monitor(trial), study)
        tuner.tell(trial.id, measurement)
        result.records.append((trial, measurement))
        if trial.context_name not in tuned:
            tuned.append(trial.context_name)
        if n in checkpoints:
            result.recommended[n], result.gains[n] = {}, {}
            for context in tuned:
                best = tuner.best(context)
                result.gains[n][context] = None if best is None else dict(best.parameters)
                result.recommended[n][context] = (
                    None if best is None else truth(study, context, [best.parameters])[0]
                )
    for context in study.context.predict:
        result.predicted[context] = truth(study, context, [tuner.predict(context).parameters])[0]
    return result


def unsafe(trial_measurement: Measurement, study: Study) -> bool:
    """Whether any true margin that the study constrains was negative."""
    margins = trial_measurement.true_margins or trial_measurement.margins
    return any(margins.get(c.quantity or c.name, 0.0) < 0 for c in study.constraints)


class SeedSummary(BaseModel):
    """What is kept of one run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    study: str
    """As JSON, as it ran."""
    seed: int
    trials: int
    unsafe: int
    """Trials with a negative true margin."""
    unsafe_local: int
    """Of those the ones that were certified, and seeds."""
    falls: int
    backups: int
    walks: int
    """Of all trials, one for every scenario."""
    objective: dict[int, dict[str, float | None]] = Field(default_factory=dict)
    """Noise-free, of the gains recommended after so many trials, by context."""
    safe: dict[int, dict[str, bool]] = Field(default_factory=dict)
    """Whether those gains are."""
    gains: dict[int, dict[str, dict[str, Any] | None]] = Field(default_factory=dict)
    """Those gains."""
    predicted: dict[str, float | None] = Field(default_factory=dict)
    """Noise-free objective of gains for contexts that were never tried."""


def summary(result: SeedResult, study: Study) -> SeedSummary:
    """What is kept of a run of a study."""
    bad = [(t, m) for t, m in result.records if unsafe(m, study)]
    measured = {n: {c: m for c, m in by.items() if m is not None} for n, by in result.recommended.items()}
    return SeedSummary(
        study=study.model_dump_json(),
        seed=result.seed,
        trials=len(result.records),
        unsafe=len(bad),
        unsafe_local=sum(t.phase in ("local", "seed") for t, _ in bad),
        falls=sum(m.fell for _, m in result.records),
        backups=sum(m.outcome == "backup" for _, m in result.records),
        walks=sum(max(1, len(m.scenarios)) for _, m in result.records),
        objective={
            n: {c: None if m is None else m.objective for c, m in by.items()}
            for n, by in result.recommended.items()
        },
        safe={n: {c: is_safe(study, m) for c, m in by.items()} for n, by in measured.items()},
        gains=result.gains,
        predicted={c: m.objective for c, m in result.predicted.items()},
    )


def _run_one(study_json: str, seed: int, trials: int, checkpoints: list[int]) -> SeedSummary:
    return summary(run_seed(study_json, seed, trials, checkpoints), Study.model_validate_json(study_json))


def kept_summary(path: Path, study: Study, trials: int) -> SeedSummary | None:
    """A finished seed, if it is kept.

    Raises:
        InputError: the file is of another study or of so many other trials.
    """
    if not path.exists():
        return None
    found = SeedSummary.model_validate_json(path.read_text())
    if (found.study, found.trials) != (study.model_dump_json(), trials):
        raise InputError(f"{path} is a run of another study or with other trials: give another --keep")
    return found


def summaries(
    study: Study,
    seeds: list[int],
    trials: int,
    checkpoints: list[int],
    workers: int,
    keep: Path | None = None,
) -> Iterator[SeedSummary]:
    """Summaries of runs as they finish, those that are kept first.

    Args:
        study: the study.
        seeds: one run each.
        trials: of every run.
        checkpoints: trials after which the recommendation is looked at.
        workers: processes; with 1 this one does it all.
        keep: folder of finished seeds; None keeps nothing.
    """
    text, missing = study.model_dump_json(), []

    def done(found: SeedSummary) -> SeedSummary:
        if keep is not None:
            keep.mkdir(parents=True, exist_ok=True)
            (keep / f"seed-{found.seed:04d}.json").write_text(found.model_dump_json())
        return found

    for seed in seeds:
        kept = None if keep is None else kept_summary(keep / f"seed-{seed:04d}.json", study, trials)
        if kept is None:
            missing.append(seed)
        else:
            yield kept
    if workers == 1:
        yield from (done(_run_one(text, seed, trials, checkpoints)) for seed in missing)
        return
    with process_pool(workers) as pool:
        jobs = [pool.submit(_run_one, text, seed, trials, checkpoints) for seed in missing]
        yield from (done(job.result()) for job in as_completed(jobs))


def run_seeds(
    study: Study, seeds: list[int], trials: int, checkpoints: list[int], workers: int
) -> list[SeedResult]:
    """`run_seed` for every seed, in worker processes."""
    text = study.model_dump_json()
    with process_pool(workers) as pool:
        jobs = [pool.submit(run_seed, text, seed, trials, checkpoints) for seed in seeds]
        return [job.result() for job in jobs]


def objective_of(measurement: Measurement | None) -> float:
    """The objective, or NaN where there is none (nothing certified, or a fall)."""
    return np.nan if measurement is None or measurement.objective is None else measurement.objective


def main(
    study: Annotated[str, typer.Argument(help="name or path of the study")],
    trials: int = 50,
    seeds: int = 10,
    first_seed: int = 0,
    checkpoints: str = "20,40",
    method: str | None = None,
    best: Annotated[float | None, typer.Option(help="objective that counts as the whole gap")] = None,
    workers: int = 2,
    lengthscale: Annotated[
        float | None, typer.Option(help="of the parameters, instead of the study's")
    ] = None,
    trust: Annotated[str | None, typer.Option(help="declared or earned, instead of the study's")] = None,
    keep: Annotated[Path | None, typer.Option(help="folder of finished seeds; goes on with it")] = None,
) -> None:
    """Run a study with many seeds and print safety and recovery."""
    loaded = load_study(study).study
    changed = {"lengthscale": lengthscale, "trust": trust}
    declared = loaded.surrogate.model_dump(exclude_unset=True)
    surrogate = declared | {key: value for key, value in changed.items() if value is not None}
    loaded = with_trust(loaded.model_copy(update={"surrogate": SurrogateSpec.model_validate(surrogate)}))
    if method:
        tuner = loaded.tuner.model_copy(update={"method": method})
        loaded = loaded.model_copy(update={"tuner": tuner})
    marks = [int(c) for c in checkpoints.split(",")]
    contexts = [p.context for p in loaded.context.schedule]
    initial = {}
    for context in [*contexts, *loaded.context.predict]:
        gains = next((s.parameters for s in loaded.seeds if s.context == context), loaded.seeds[0].parameters)
        initial[context] = objective_of(truth(loaded, context, [gains])[0])
        print(f"initial gains, {context}: noise-free objective {initial[context]:.4g}", flush=True)
    found, numbers = [], list(range(first_seed, first_seed + seeds))
    for each in summaries(loaded, numbers, trials, marks, workers, keep):
        found.append(each)
        print(_seed_line(each), flush=True)
    count, bad = sum(f.trials for f in found), sum(f.unsafe for f in found)
    print(
        f"{loaded.name} [{loaded.tuner.method}]: {count} trials, negative true margin {bad} ({bad / count:.1%}; in "
        f"local and seed phases {sum(f.unsafe_local for f in found)}), falls {sum(f.falls for f in found)}, backups "
        f"{sum(f.backups for f in found)}, {sum(f.walks for f in found) / count:.2f} walks a trial"
    )
    for n in marks:
        for context in dict.fromkeys(c for f in found for c in f.objective.get(n, {})):
            values = np.array([_number(f.objective[n].get(context)) for f in found])
            print(_context_line(f"{context} @{n}", values, initial[context], best))
    for context in loaded.context.predict:
        values = np.array([_number(f.predicted.get(context)) for f in found])
        print(_context_line(f"{context} predicted", values, initial[context], None))


def _number(value: float | None) -> float:
    return np.nan if value is None else value


def _seed_line(found: SeedSummary) -> str:
    line = f"seed {found.seed}: unsafe {found.unsafe} falls {found.falls}"
    line += f" walks {found.walks}" if found.walks > found.trials else ""
    for n, by_context in found.objective.items():
        for context, value in by_context.items():
            unsafe_answer = "" if found.safe[n].get(context, True) else " (UNSAFE)"
            line += f"  {context}@{n}: {_number(value):.4g}{unsafe_answer}"
    return line + "".join(f"  predicted {c}: {_number(value):.4g}" for c, value in found.predicted.items())


def _context_line(name: str, values: np.ndarray, start: float, best: float | None) -> str:
    """The medians of one context, with the share of the possible gap where the best is known."""
    median = float(np.nanmedian(values))
    line = f"  {name}: median {median:.4g} (initial {start:.4g}"
    line += f", cost cut {1 - median / start:.1%}" if start < 0 else ""
    if best is not None:
        shares = (values - start) / (best - start)
        line += f", recovered median {np.nanmedian(shares):.1%} worst {np.nanmin(shares):.1%}"
    return line + ")"


if __name__ == "__main__":
    typer.run(main)
