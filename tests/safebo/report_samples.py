"""Runs made from closed forms, for the tests of the report: a bowl as objective, a wall as constraint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from safebo.report.data import Band, ContextReport, ReportData, functions
from safebo.report.slicing import make_slices
from safebo.runs.best_gains import BestGains
from safebo.study import Study
from safebo.types import Bounds, Measurement, Phase, Trial, TrialRecord

FloatArray = Any


def make_study(contexts: int = 1, parameters: int = 6, predict: bool = False, warp: str = "log") -> Study:
    names = [
        "joint.hip.kp",
        "joint.hip.kd",
        "joint.thigh.kp",
        "joint.thigh.kd",
        "joint.calf.kp",
        "joint.calf.kd",
    ]
    names = (names + [f"extra.gain_{i}" for i in range(20)])[:parameters]
    boxes = {name: ((0.2, 8.0) if name.endswith("kd") else (5.0, 150.0)) for name in names}
    seed = {name: (3.2 if name.endswith("kd") else 70.0) for name in names}
    values = {
        "trot": {"duty": 0.5, "stride": 0.5},
        "crawl": {"duty": 0.75, "stride": 0.9},
        "pronk": {"duty": 0.4, "stride": 0.4},
    }
    tuned = list(values)[:contexts]
    document: dict[str, Any] = {
        "name": "sample",
        "description": "A bowl and a wall.",
        "evaluator": {"name": "python"},
        "parameters": [
            {"name": n, "bounds": boxes[n], "unit": "N m s/rad" if n.endswith("kd") else "N m/rad"}
            for n in names
        ],
        "objective": {
            "name": "joint_tracking",
            "unit": "rad²",
            "noise_std": 0.05,
            "warp": {"kind": "log", "scale": 30.0, "upper": 0.0, "clip": 4.0} if warp == "log" else {},
        },
        "constraints": [
            {
                "name": "joint_error",
                "unit": "rad²",
                "warp": {"kind": "log", "scale": 0.1, "upper": 0.1, "clip": 4.0},
                "prior_mean": -1.0,
            },
            {"name": "attitude", "unit": "rad", "prior_mean": -0.1, "prior_std": 0.2, "noise_std": 0.01},
        ],
        "seeds": [{"context": c, "parameters": seed} for c in tuned],
        "trials": 40,
    }
    if contexts > 1 or predict:
        document["context"] = {
            "variables": [
                {"name": "duty", "bounds": [0.2, 0.9]},
                {"name": "stride", "bounds": [0.2, 1.2], "unit": "s"},
            ],
            "values": {name: values[name] for name in [*tuned, *(["pronk"] if predict else [])]},
            "schedule": [{"context": c, "trials": 20} for c in tuned],
            "predict": ["pronk"] if predict else [],
        }
    else:
        document["seeds"] = [{"context": "default", "parameters": seed}]
    return Study.model_validate(document)


def to_unit(study: Study, X: FloatArray) -> FloatArray:
    low = np.array([p.bounds[0] for p in study.parameters])
    high = np.array([p.bounds[1] for p in study.parameters])
    return (np.atleast_2d(X) - low) / (high - low)


def optimum(study: Study) -> FloatArray:
    return np.linspace(0.8, 0.25, len(study.parameters))


def truth(study: Study, X: FloatArray) -> dict[str, FloatArray]:
    """Cost bowl and two margins at rows of raw parameters."""
    U = to_unit(study, X)
    distance = np.sqrt(np.mean((U - optimum(study)) ** 2, axis=1))
    cost = 8.0 * np.exp(6.0 * distance)
    error = 0.012 * np.exp(5.0 * distance) + 0.05 * np.maximum(0, U[:, -1] - 0.6)
    return {"joint_tracking": -cost, "joint_error": 0.1 - error, "attitude": 0.3 - 0.6 * distance}


def bounds(study: Study, X: FloatArray) -> dict[str, Band]:
    """Closed-form confidence bounds: the truth with a width that grows away from the optimum."""
    U = to_unit(study, X)
    width = 0.05 + 0.8 * np.sqrt(np.mean((U - optimum(study)) ** 2, axis=1))
    out = {}
    for name, mean in truth(study, X).items():
        if name == "joint_tracking":
            out[name] = Band(mean * np.exp(width), mean, mean * np.exp(-width))
        elif name == "joint_error":
            error = 0.1 - mean
            out[name] = Band(0.1 - error * np.exp(width), mean, 0.1 - error * np.exp(-width))
        else:
            out[name] = Band(mean - 0.15 * width, mean, mean + 0.15 * width)
    return out


def parameters_of(study: Study, row: FloatArray) -> dict[str, float]:
    return {p.name: float(v) for p, v in zip(study.parameters, row, strict=True)}


def make_entries(study: Study, count: int = 40, seed: int = 0, accidents: bool = False) -> list[TrialRecord]:
    """A noisy walk from the seed to the optimum; accidents add a fall, a failure and backups."""
    rng = np.random.default_rng(seed)
    low = np.array([p.bounds[0] for p in study.parameters])
    high = np.array([p.bounds[1] for p in study.parameters])
    tuned = [s.context for s in study.seeds]
    entries = []
    per_context = int(np.ceil(count / len(tuned)))
    for i in range(count):
        context = tuned[i // per_context]
        k = i % per_context
        start = np.array([study.seeds[0].parameters[p.name] for p in study.parameters])
        goal = low + optimum(study) * (high - low)
        share = 1.0 - np.exp(-k / 6.0)
        spread = 0.0 if k == 0 else 0.06
        x = np.clip(
            start + share * (goal - start) + rng.normal(0, spread, len(low)) * (high - low), low, high
        )
        phase: Phase = "seed" if k == 0 else "local"
        if accidents and k > 10 and k % 4 == 0:
            phase = "global"
            x = np.clip(x + rng.uniform(-0.3, 0.3, len(low)) * (high - low), low, high)
        predicted = (
            {}
            if phase == "seed"
            else {
                name: Bounds(float(b.lower[0]), float(b.mean[0]), float(b.upper[0]))
                for name, b in bounds(study, x).items()
            }
        )
        values = {name: float(v[0]) for name, v in truth(study, x).items()}
        noise = np.exp(rng.normal(0, 0.05))
        extra: dict[str, Any] = {"outcome": "completed", "objective": values["joint_tracking"] * noise}
        extra["margins"] = {
            "joint_error": 0.1 - (0.1 - values["joint_error"]) * noise,
            "attitude": values["attitude"] + rng.normal(0, 0.01),
        }
        extra["duration"] = 5.0
        if accidents and i == 18:
            extra = {
                "outcome": "aborted",
                "fell": True,
                "margins": {"joint_error": -4.0, "attitude": -1.2},
                "duration": 0.7,
                "message": "the trunk touched the floor",
            }
        if accidents and i == 25:
            extra = {"outcome": "failed", "message": "the evaluator returned no number"}
        if accidents and i == 22:
            extra["objective"] = -9.0e5
        if accidents and phase == "global" and i % 8 == 0 and "objective" in extra:
            extra |= {
                "outcome": "backup",
                "backup_time": 1.234 + i / 100,
                "backup_state": np.array([0.1, -0.25, 0.27]),
            }
        measurement: Measurement | None = Measurement(**extra)
        if accidents and i == count - 1:
            measurement = None
        entries.append(
            TrialRecord(
                Trial(
                    id=i,
                    parameters=parameters_of(study, x),
                    context=study.context.values.get(context, {}),
                    context_name=context,
                    phase=phase,
                    seed=i,
                    certified=phase != "global",
                    predicted=predicted,
                    reason="closed form",
                    trigger_rule="lipschitz" if phase == "global" else None,
                    trigger_guarantee=phase == "global" and i % 16 == 0,
                ),
                measurement,
                unknown=measurement is None,
            )
        )
    return entries


class ClosedForm:
    """The closed-form bounds with the interface that the slices need."""

    def __init__(self, study: Study) -> None:
        self.study = study

    def __call__(self, X: FloatArray, context: str) -> Mapping[str, Band]:
        return bounds(self.study, X)


def make_data(
    contexts: int = 1,
    predict: bool = False,
    accidents: bool = False,
    count: int = 40,
    parameters: int = 6,
    certified: bool = True,
    warp: str = "log",
) -> ReportData:
    """A whole report's data without journal and tuner."""
    study = make_study(contexts, parameters, predict, warp)
    entries = tuple(make_entries(study, count, accidents=accidents))
    low = np.array([p.bounds[0] for p in study.parameters])
    high = np.array([p.bounds[1] for p in study.parameters])
    gains = parameters_of(study, low + optimum(study) * (high - low))
    at_best = {
        name: Bounds(float(b.lower[0]), float(b.mean[0]), float(b.upper[0]))
        for name, b in bounds(study, np.array(list(gains.values()))).items()
    }
    lengthscales = {
        f.name: {p.name: 0.2 + 0.1 * i for i, p in enumerate(study.parameters)}
        | {v.name: 0.5 for v in study.context.variables}
        for f in functions(study)
    }
    tuned = [s.context for s in study.seeds]
    reports = []
    for name in [*tuned, *study.context.predict]:
        tried = name in tuned
        seed = study.seeds[0].parameters if tried else None
        best = None
        if certified:
            margins = {c.name: at_best[c.name] for c in study.constraints}
            values = study.context.values[name]
            best = BestGains(
                name,
                gains,
                tried,
                at_best["joint_tracking"],
                margins,
                "sample",
                "joint_tracking",
                "rad²",
                values,
            )
        anchor = gains if certified else study.seeds[0].parameters
        kind = "best certified gains" if certified else "seed gains"
        predictor = ClosedForm(study)
        slices = make_slices(study, name, anchor, kind, predictor) if tried and count else None
        note = "" if certified else "No gains are certified safe in this context."
        reports.append(
            ContextReport(
                name, study.context.values[name], tried, seed, best, slices, notes=(note,) if note else ()
            )
        )
    return ReportData(
        study=study,
        entries=entries,
        contexts=tuple(reports),
        lengthscales=lengthscales if count else {},
        state_names=("roll", "pitch", "height"),
        provenance={"study hash": "abc"},
        created="2026-11-20 12:00 UTC",
        planned=count,
    )
