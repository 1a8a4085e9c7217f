"""Many seeds of one study: does it stay safe, does nothing fall, how much of the possible gain is recovered?

    python -m safebo.experiments.evidence.tuning go1-trot --trials 50 --seeds 10 --checkpoints 20,40 --best -10.1

runs tuner and evaluator in process (no journal), one seed per worker, and prints per seed: trials with a
negative true margin by phase, falls, and the noise-free objective of the certified recommendation at the
checkpoints as a share of the gap between the initial gains and `--best` (the best of the random gains of
`safebo.experiments.evidence.landscape`). `--method gp_ucb` shows the unsafe baseline, `--lengthscale` and `--trust`
what another declaration costs.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Annotated

import numpy as np
import typer

from safebo.evaluators.gate import evaluate_safely
from safebo.evaluators.source import EvaluatorSource
from safebo.experiments.evidence.truth import process_pool, truth
from safebo.study import Study, SurrogateSpec
from safebo.study.checks import with_defaults
from safebo.study.reading import load_study
from safebo.study.tuner_checks import with_trust
from safebo.types import Measurement, Trial


@dataclass
class SeedResult:
    """What one run showed; `recommended[n][context]` is the noise-free truth of the answer after n trials."""

    seed: int
    records: list[tuple[Trial, Measurement]] = field(default_factory=list)
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
            result.recommended[n] = {}
            for context in tuned:
                best = tuner.best(context)
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
    results = run_seeds(loaded, list(range(first_seed, first_seed + seeds)), trials, marks, workers)
    contexts = [p.context for p in loaded.context.schedule]
    initial = {}
    for context in [*contexts, *loaded.context.predict]:
        gains = next((s.parameters for s in loaded.seeds if s.context == context), loaded.seeds[0].parameters)
        initial[context] = truth(loaded, context, [gains])[0]
        print(f"initial gains, {context}: noise-free objective {objective_of(initial[context]):.4g}")
    recovered: dict[tuple[int, str], list[float]] = {}
    totals = {"unsafe_local": 0, "unsafe": 0, "falls": 0, "trials": 0, "backups": 0}
    for result in results:
        bad = [(t, m) for t, m in result.records if unsafe(m, loaded)]
        falls = sum(m.fell for _, m in result.records)
        totals["unsafe"] += len(bad)
        totals["unsafe_local"] += sum(t.phase in ("local", "seed") for t, _ in bad)
        totals["falls"] += falls
        totals["trials"] += len(result.records)
        totals["backups"] += sum(m.outcome == "backup" for _, m in result.records)
        line = f"seed {result.seed}: unsafe {len(bad)} falls {falls}"
        for n, by_context in result.recommended.items():
            for context, measurement in by_context.items():
                value = objective_of(measurement)
                recovered.setdefault((n, context), []).append(value)
                line += f"  {context}@{n}: {value:.4g}"
        for context, measurement in result.predicted.items():
            recovered.setdefault((0, context), []).append(objective_of(measurement))
            line += f"  predicted {context}: {objective_of(measurement):.4g}"
        print(line)
    print(
        f"{loaded.name} [{loaded.tuner.method}]: {totals['trials']} trials, negative true margin "
        f"{totals['unsafe']} ({totals['unsafe'] / totals['trials']:.1%}; in local and seed phases "
        f"{totals['unsafe_local']}), falls {totals['falls']}, backups {totals['backups']}"
    )
    for (n, context), values in recovered.items():
        median = float(np.nanmedian(values))
        start = objective_of(initial[context])
        line = f"  {context} {'predicted' if n == 0 else f'@{n}'}: median {median:.4g} (initial {start:.4g}"
        line += f", cost cut {1 - median / start:.1%}" if start < 0 else ""
        if best is not None and n:
            shares = (np.array(values) - start) / (best - start)
            line += f", recovered median {np.nanmedian(shares):.1%} worst {np.nanmin(shares):.1%}"
        print(line + ")")


if __name__ == "__main__":
    typer.run(main)
