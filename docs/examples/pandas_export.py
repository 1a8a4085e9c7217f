"""The trials of a run as a pandas table: what was tried, predicted, measured, and how well predictions held.

Run it: `pip install pandas`, then `python docs/examples/pandas_export.py [RUN]` (makes a short run of the study
`pendulum` in a temporary folder where none is named).
"""

import os
import sys
import tempfile

import pandas as pd

import safebo

TRIALS = int(os.environ.get("SAFEBO_EXAMPLE_TRIALS", "12"))


def table(run: safebo.Run) -> pd.DataFrame:
    """One row a told trial: gains, context, phase; measured, predicted and its bounds for every function."""
    rows = []
    for record in run.records:
        trial, shown = record.trial, record.measurement
        if shown is None:
            continue
        row = {
            "trial": trial.id,
            "phase": trial.phase,
            "context": trial.context_name,
            "outcome": shown.outcome,
        }
        row |= dict(trial.parameters)
        for name, value in {run.info.study.objective.name: shown.objective, **shown.margins}.items():
            row[name] = value
            if name in trial.predicted:
                expected = trial.predicted[name]
                row[f"{name} predicted"] = expected.mean
                row[f"{name} inside"] = value is not None and expected.lower <= value <= expected.upper
        rows.append(row)
    return pd.DataFrame(rows).set_index("trial")


if __name__ == "__main__":  # worker processes import this file again
    with tempfile.TemporaryDirectory() as folder:
        if len(sys.argv) > 1 and os.path.isdir(sys.argv[1]):
            path = sys.argv[1]
        else:
            path = os.path.join(folder, "pendulum")
            safebo.run("pendulum", path, trials=TRIALS)
        trials = table(safebo.open_run(path))
    print(trials.to_string(float_format=lambda value: f"{value:.3g}"))
    inside = [name for name in trials if name.endswith(" inside")]
    for name in inside:
        predicted = trials[name].dropna()
        print(
            f"{name.removesuffix(' inside')}: {predicted.sum()} of {len(predicted)} measurements inside their bounds"
        )
    trials.to_csv("trials.csv")
    print("trials.csv")
