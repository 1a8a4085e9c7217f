"""Runs that went badly, and whether their reports say so in their first three sentences.

    python -m safebo.experiments.evidence.bad_runs --out bad-runs

A closed-form robot of two gains: its speed has a best place, and a margin of height falls off towards stiff gains. In
every run one thing is wrong: the lengthscale or the prior standard deviation is declared far from the truth, the best
gains lie beyond a bound, the noise is several times the declared one, the robot loses height with every trial, its
evaluator fails often, or the seed is too close to the limit to be certified. Every run is made by `safebo.run` in a
folder of its own, with its study beside it and its report in it; the sentences that its report begins with are printed.
A few seconds each.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
import yaml

from safebo.errors import SafeboError
from safebo.report import build_report
from safebo.report.data import Finding
from safebo.report.findings import findings, view_of
from safebo.runs.runner import run
from safebo.storage.journal import Journal
from safebo.types import EvaluatorInfo, Measurement, Monitor, ParameterInfo, QuantityInfo, Trial

NOISE = 0.01
"""Standard deviation of speed (m/s) and height (m) that the studies declare."""


class BadWalker:
    """A closed-form robot; options say what is wrong with it.

    Args:
        options: `noise`, m/s and m; `roughness`, m of ripple in the height; `drift`, m of height lost in a trial;
            `fails`, share of trials that fail; `best_kp`, N m/rad; `height` of the best seed, m.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._noise = float(options.get("noise", NOISE))
        self._roughness = float(options.get("roughness", 0.0))
        self._drift = float(options.get("drift", 0.0))
        self._fails = float(options.get("fails", 0.0))
        self._best = float(options.get("best_kp", 65.0))
        self._height = float(options.get("height", 0.4))

    def info(self) -> EvaluatorInfo:
        """Two gains, a speed and a height."""
        gains = (
            ParameterInfo("kp", "N m/rad", 30.0, 0.0, 1000.0),
            ParameterInfo("kd", "N m s/rad", 3.0, 0.0, 100.0),
        )
        quantities = (QuantityInfo("speed", "m/s"),), (QuantityInfo("height", "m"),)
        return EvaluatorInfo("bad walker", gains, *quantities, repeatable=True)

    def evaluate(self, trial: Trial, monitor: Monitor | None = None) -> Measurement:
        """Speed and height at the trial's gains; a trial fails by its own seed."""
        rng = np.random.default_rng(trial.seed)
        if trial.phase != "seed" and rng.random() < self._fails:
            raise RuntimeError("the motion capture lost the robot")
        kp, kd = trial.parameters["kp"], trial.parameters["kd"]
        speed = 1.0 - ((kp - self._best) / 60.0) ** 2 - ((kd - 5.0) / 8.0) ** 2
        ripple = self._roughness * math.sin(kp / 2.0) * math.sin(1.5 * kd)
        height = self._height - ((kp - 30.0) / 130.0) ** 2 + ripple - self._drift * trial.id
        noise = self._noise * rng.standard_normal(2)
        return Measurement("completed", speed + noise[0], {"height": height + noise[1]}, duration=5.0)


CASES: dict[str, dict[str, Any]] = {
    "lengthscale": {"options": {"roughness": 0.12}, "surrogate": {"kernel": "rbf", "lengthscale": 1.5}},
    "prior-std": {"constraint": {"prior_std": 0.03, "prior_mean": 0.1}},
    "bounds": {"options": {"best_kp": 140.0}, "trials": 24},
    "noise": {"options": {"noise": 8 * NOISE}},
    "drift": {"options": {"drift": 0.02}, "trials": 20},
    "failures": {"options": {"fails": 0.5}},
    "seed": {"options": {"height": 0.012}},
}
"""By name, what is wrong: options of the robot, or what its study declares."""


def study_text(name: str) -> str:
    """The study of a case, as a file."""
    case = CASES[name]
    document = {
        "name": f"badly-{name}",
        "description": "A run on purpose that goes badly.",
        "evaluator": {"name": f"{__name__}:BadWalker", "options": case.get("options", {})},
        "parameters": [
            {"name": "kp", "unit": "N m/rad", "bounds": [10.0, 80.0]},
            {"name": "kd", "unit": "N m s/rad", "bounds": [1.0, 9.0]},
        ],
        "objective": {"name": "speed", "unit": "m/s", "prior_std": 0.6, "noise_std": NOISE},
        "constraints": [
            {"name": "height", "unit": "m", "prior_std": 0.3, "noise_std": NOISE} | case.get("constraint", {})
        ],
        "seeds": [{"parameters": {"kp": 30.0, "kd": 3.0}}],
        "surrogate": {"kernel": "matern52", "lengthscale": 0.5, **case.get("surrogate", {})},
        "tuner": {"method": "safe_ucb", "search": {"domain": "grid", "grid_points": 15}},
        "trials": case.get("trials", 14),
    }
    return yaml.safe_dump(document, sort_keys=False)


def make(name: str, out: Path) -> Path:
    """Make the run of a case, in this process; what stops it is part of it. Returns the run's folder."""
    out.mkdir(parents=True, exist_ok=True)
    study, folder = out / f"{name}.yaml", out / name
    study.write_text(study_text(name), encoding="utf-8")
    with ThreadPoolExecutor(1) as executor:
        try:
            run(study, folder, executor=executor, max_failures=10)
        except SafeboError as error:
            if not Journal.exists(folder):
                raise
            print(f"{name} stopped: {error}")
    return folder


def said_of(folder: Path) -> tuple[Finding, ...]:
    """What the report of a run begins with."""
    with Journal.open(folder, read_only=True) as journal:
        return findings(view_of(folder, journal))


def main(
    out: Annotated[Path, typer.Option(metavar="DIR", help="New folder for the studies and runs.")] = Path(
        "bad-runs"
    ),
    only: Annotated[str | None, typer.Option(metavar="NAME", help="One of them.")] = None,
) -> None:
    """Make the runs and their reports, and print the first three sentences of each and the next command."""
    for name in CASES if only is None else (only,):
        folder = make(name, out)
        page = build_report(folder)
        said = said_of(folder)
        print(f"{name}: {page}")
        for one in [f for f in said if f.topic != "next"][:3]:
            print(f"  {one.text}")
        print(f"  {said[-1].text} {said[-1].command}")


if __name__ == "__main__":
    typer.run(main)
