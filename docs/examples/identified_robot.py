"""What is my robot like? Payload, motor strength and friction of a Go1, from two walks that it made.

Run it: `python docs/examples/identified_robot.py` (half a minute; SAFEBO_EXAMPLE_TRIALS=2 walks as often).

The robot here is simulated, and nobody is told what it is like: it carries 1.5 kg and its motors are weak. Two
certified trials are recorded, the walks are identified, and the seed's gains are walked in the simulation that was
found. Without Python: `safebo identify RUN` ([how](../how-to/identify.md)).
"""

import os
import tempfile
from pathlib import Path

import safebo
from safebo.experiments.identify.trials import read_trials
from safebo.robots.evaluation.evaluator import LeggedEvaluator
from safebo.robots.identification.fit import fit
from safebo.robots.identification.gap_file import section
from safebo.robots.identification.parameters import Family
from safebo.study.reading import load_study
from safebo.types import Trial

TRIALS = min(2, int(os.environ.get("SAFEBO_EXAMPLE_TRIALS", "2")))
HIDDEN = {"payload_mass": 1.5, "torque_factor": [0.88] * 4, "foot_friction": 0.65, "control_delay": 1}
TRUTH = {"payload_mass": 1.5, "torque_factor.FL": 0.88, "torque_factor.RR": 0.88, "foot_friction": 0.65}


def main() -> None:
    """Walk, identify, and compare with what was hidden."""
    study = load_study("go1-trot").study
    options = {**study.evaluator.options, "seconds": 3.0, "disturbance": HIDDEN}
    robot = study.model_copy(update={"evaluator": study.evaluator.model_copy(update={"options": options})})
    with tempfile.TemporaryDirectory() as folder:
        run = safebo.run(robot, Path(folder) / "robot", trials=TRIALS)
        print(f"{run.told} certified walks of the robot, {len(run.unsafe)} unsafe")
        read = read_trials([Path(folder) / "robot"], [])
    model = read.run.evaluator.robot
    found = fit(model, read.walks, Family.of(model.size))
    print(found.outside or "its gap is among the parameters that are looked for")
    known = zip(found.family.names, found.values, found.errors, strict=True)
    for name, value, error in (row for row in known if row[0] in TRUTH):
        print(f"  {name:16s} {value:.3f} +- {1.645 * error:.3f} (90 %), in truth {TRUTH[name]}")
    print(f"  {'control_delay':16s} {found.delay} ticks, in truth {HIDDEN['control_delay']}")
    context = study.context.values["trot"]
    seed = Trial(1, dict(study.seeds[0].parameters), context, "trot", "seed", seed=0, certified=True)
    for name, gap in {"the plain model": {}, "as identified": section(found), "the robot": HIDDEN}.items():
        plant = {**options, "telemetry": False, "disturbance": gap}
        print(f"tracking of the seed's gains, {name}: {LeggedEvaluator(plant).evaluate(seed).objective:.3f}")


if __name__ == "__main__":
    main()
