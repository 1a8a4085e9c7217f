"""The trials of a run as a pandas table: what was tried, predicted, measured, and how well predictions held.

Run it: `pip install pandas`, then `python docs/examples/pandas_export.py [RUN]` (without a run's folder it makes a
short run of the study `pendulum` in a temporary one).
"""

import os
import sys
import tempfile

import safebo

TRIALS = int(os.environ.get("SAFEBO_EXAMPLE_TRIALS", "12"))

if __name__ == "__main__":  # worker processes import this file again
    with tempfile.TemporaryDirectory() as folder:
        if len(sys.argv) > 1:
            path = sys.argv[1]
        else:
            path = os.path.join(folder, "pendulum")
            safebo.run("pendulum", path, trials=TRIALS)
        trials = safebo.open_run(path).to_pandas()
    measured = [name for name in trials if name.startswith(("objective.", "margins."))]
    gains = [name for name in trials if name.startswith("parameters.")]
    print(
        trials[["phase", "outcome", *gains, *measured]].to_string(float_format=lambda value: f"{value:.3g}")
    )
    proposed = trials[trials["phase"] == "local"]  # a seed is declared safe: nothing was predicted of it
    for column in measured:
        name = column.split(".", 1)[1]
        bounds = f"bounds.{name}"
        inside = proposed[column].between(proposed[f"{bounds}.lower"], proposed[f"{bounds}.upper"])
        print(f"{name}: {inside.sum()} of {len(inside)} measurements inside their bounds")
    trials.to_csv("trials.csv")
    print("trials.csv")
