"""What trot teaches crawl: `go1-gaits` against crawl alone.

    python -m safebo.experiments.evidence.transfer --seeds 5

runs the study as it is (trot, then 25 trials of crawl) and crawl alone (50 trials), and prints the noise-free
objective of the certified crawl gains after each number of crawl trials, falls and unsafe trials, and how the gains
predicted for the gaits that were never tried compare with the initial gains.
"""

from __future__ import annotations

import numpy as np
import typer

from safebo.experiments.evidence.truth import truth
from safebo.experiments.evidence.tuning import SeedResult, objective_of, run_seeds, unsafe
from safebo.study import SchedulePhase, Study
from safebo.study.reading import load_study

COUNTS = (5, 10, 15, 20, 25, 30, 40, 50)


def only(study: Study, context: str, trials: int) -> Study:
    """The study in one context only."""
    schedule = [SchedulePhase(context=context, trials=trials)]
    changed = study.context.model_copy(update={"schedule": schedule, "predict": []})
    return study.model_copy(update={"context": changed, "trials": trials})


def medians(results: list[SeedResult], context: str, before: int) -> dict[int, float]:
    """Median objective of the recommendation after each number of trials in `context`."""
    return {
        n: float(np.nanmedian([objective_of(r.recommended[before + n][context]) for r in results]))
        for n in COUNTS
        if all(before + n in r.recommended for r in results)
    }


def main(seeds: int = 5, first_seed: int = 0, workers: int = 2, study: str = "go1-gaits") -> None:
    """Run and print."""
    loaded = load_study(study).study
    first, second = loaded.context.schedule[0], loaded.context.schedule[1]
    numbers = list(range(first_seed, first_seed + seeds))
    total = first.trials + second.trials
    after = run_seeds(loaded, numbers, total, [first.trials + n for n in COUNTS], workers)
    alone = run_seeds(only(loaded, second.context, 50), numbers, 50, list(COUNTS), workers)
    for name, results in (("after " + first.context, after), ("alone", alone)):
        records = [m for r in results for _, m in r.records]
        bad = sum(unsafe(m, loaded) for m in records)
        print(
            f"{second.context} {name}: {len(records)} trials, unsafe {bad}, falls {sum(m.fell for m in records)}"
        )
    for name, by_count in (
        ("after " + first.context, medians(after, second.context, first.trials)),
        ("alone", medians(alone, second.context, 0)),
    ):
        print(f"  {second.context} {name}:", "  ".join(f"@{n} {v:.4g}" for n, v in by_count.items()))
    gains = {s.context: s.parameters for s in loaded.seeds}
    initial = dict(gains[first.context])
    print(f"  initial {second.context}: {objective_of(truth(loaded, second.context, [initial])[0]):.4g}")
    for context in loaded.context.predict:
        start = truth(loaded, context, [initial])[0]
        measured = [r.predicted[context] for r in after]
        values = [objective_of(m) for m in measured]
        print(
            f"  {context}: initial {objective_of(start):.4g} (fell {start.fell}), predicted median "
            f"{np.nanmedian(values):.4g}, all {[round(v, 3) for v in values]}, falls {sum(m.fell for m in measured)}"
        )


if __name__ == "__main__":
    typer.run(main)
