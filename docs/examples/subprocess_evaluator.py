"""A trial as a program of its own, in any language: it reads gains as JSON and writes what they showed as JSON.

Run it: `python docs/examples/subprocess_evaluator.py` (8 trials; SAFEBO_EXAMPLE_TRIALS=3 makes it short).

The program here is a shell script around awk. It is started once a trial; what it has to say goes to stderr; a
non-zero exit status is a failed trial, which teaches nothing. Everything a run needs lies in a temporary folder.
"""

import os
import tempfile
from pathlib import Path

import safebo

TRIALS = int(os.environ.get("SAFEBO_EXAMPLE_TRIALS", "8"))

PROGRAM = """\
#!/bin/sh
# stdin: {"id": 1, "parameters": {"valve": 0.3}, "context": {}, ...}
valve=$(sed 's/.*"valve": *\\([0-9.eE+-]*\\).*/\\1/')
awk -v v="$valve" 'BEGIN {
  flow = 12 * v * (2 - v); pressure = 2 + 5 * v * v
  printf "{\\"objective\\": %.6f, \\"margins\\": {\\"pressure\\": %.6f}}\\n", flow, 5 - pressure
}'
"""

STUDY = """\
name: valve
evaluator:
  name: subprocess
  options: {command: [./valve.sh], repeatable: true}
parameters:
  - {name: valve, bounds: [0, 1]}
objective: {name: flow, unit: l/s, prior_mean: 4, prior_std: 4, noise_std: 0.02}
constraints:
  - {name: pressure, unit: bar, warp: {scale: 2}, prior_std: 1, noise_std: 0.01}
seeds:
  - parameters: {valve: 0.2}
surrogate: {lengthscale: 0.5}
"""


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "valve.sh").write_text(PROGRAM)
        (folder / "valve.sh").chmod(0o755)
        (folder / "valve.yaml").write_text(STUDY)
        safebo.run(folder / "valve.yaml", folder / "run", trials=TRIALS)
        run = safebo.open_run(folder / "run")
        for record in run.records:
            valve, shown = record.trial.parameters["valve"], record.measurement
            print(f"valve {valve:.3f}: {shown.objective:.2f} l/s, {shown.margins['pressure']:+.2f} bar left")
        print("certified:", dict(run.best()["default"].gains))
