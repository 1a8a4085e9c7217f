"""Speed of the optimizer side: one proposal, one look of the boundary condition."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from safebo.boundary.monitor import BoundaryMonitor
from safebo.experiments.speed.measure import SpeedCase
from safebo.study import BackupSpec, Study
from safebo.study.reading import load_study
from safebo.tuner import Tuner
from safebo.tuner.backups import trigger_rule
from safebo.types import Measurement, Trial


def _smooth_measurement(study: Study, unit: np.ndarray) -> Measurement:
    """A smooth stand-in for a walk, safe near the middle of the box; its values lie on the study's scale."""
    distance = float(((unit - 0.5) ** 2).sum())
    cost = 2.0 * float(np.exp(3.0 * ((unit - 0.6) ** 2).sum()))
    margin = study.constraints[0].warp.upper * (1.0 - float(np.exp(4.0 * distance - 1.5)))
    return Measurement("completed", objective=-cost, margins={study.constraints[0].quantity: margin})


def tuner_with(observations: int) -> Tuner:
    """A tuner of `go1-gaits` (6 gains, 5 context numbers, two functions) that was told random safe trials."""
    study = load_study("go1-gaits").study
    generator = np.random.default_rng(0)
    tuner = Tuner(study, 0)
    context = study.context.schedule[0].context
    records: list[tuple[Trial, Measurement | None]] = []
    low = np.array([p.bounds[0] for p in study.parameters])
    high = np.array([p.bounds[1] for p in study.parameters])
    seed = next(s for s in study.seeds if s.context == context)
    middle = np.array([seed.parameters[p.name] for p in study.parameters])
    for i in range(observations):
        spread = 0.0 if i == 0 else 0.25
        raw = np.clip(middle + spread * (high - low) * generator.uniform(-1, 1, len(low)), low, high)
        trial = Trial(
            id=i + 1,
            parameters={p.name: float(v) for p, v in zip(study.parameters, raw, strict=True)},
            context=study.context.values[context],
            context_name=context,
            phase="seed" if i == 0 else "local",
            seed=i,
            certified=True,
        )
        unit = (raw - middle) / (high - low) + 0.5
        records.append((trial, _smooth_measurement(study, unit)))
    tuner.restore(records)
    return tuner


def ask_100() -> Callable[[], Any]:
    """One `ask` after one `tell`, at 100 observations."""
    tuner = tuner_with(99)
    records = [(r.trial, r.measurement) for r in tuner.history]
    first = tuner.ask()
    told = [*records, (first, records[-1][1])]

    def one() -> Any:
        fresh = Tuner(tuner.study, 0)
        fresh.restore(told)
        return fresh.ask()

    return one


def boundary_20k(spec: BackupSpec) -> Callable[[], Any]:
    """A state against 20,000 stored ones of 33 numbers, the hard case: nothing covers it."""
    generator = np.random.default_rng(0)
    policies = 20
    phase = generator.uniform(0, 2 * np.pi, 20_000)
    mixing = generator.normal(size=(4, 33))
    curve = np.stack([np.cos(phase), np.sin(phase), np.cos(2 * phase), np.sin(2 * phase)], axis=1)
    states = curve @ mixing + 0.2 * generator.normal(size=(20_000, 33))
    monitor = BoundaryMonitor(
        states,
        generator.integers(0, policies, 20_000),
        generator.uniform(0.2, 0.6, policies),
        [{"gain": float(i)} for i in range(policies)],
        trigger_rule(spec),
        np.ones(33),
        generator.uniform(0.0, 0.2, 20_000),
    )
    asked = states[generator.integers(0, 20_000, 512)] + 0.4 * generator.normal(size=(512, 33))
    if any(monitor.covered(state) for state in asked):
        raise RuntimeError(f"{spec.rule}: a state is covered, so this is not the hard case")
    position = iter(range(10**9))
    return lambda: monitor.check(asked[next(position) % 512])


BOUNDARIES = {
    "boundary_20k": BackupSpec(rule="lipschitz", lipschitz=1.0),
    "boundary_20k_gaussian_tail": BackupSpec(rule="gaussian_tail", sigma=0.5, interior_lower_bound=0.4),
    "boundary_20k_kernel_covariance": BackupSpec(
        rule="kernel_covariance", state_lengthscale=6.0, interior_lower_bound=0.4
    ),
    "boundary_20k_cost_to_go": BackupSpec(rule="cost_to_go", pessimism=1.0),
}

CASES = (
    SpeedCase(
        "ask_100",
        "one ask at 100 observations, 6 gains, 5 context numbers, 2 functions (model built anew)",
        0.5,
        ask_100,
        15,
        1,
    ),
    *(
        SpeedCase(
            name,
            f"boundary condition {spec.rule} against 20,000 uncovering states",
            0.1e-3,
            partial(boundary_20k, spec),
            5000,
            50,
        )
        for name, spec in BOUNDARIES.items()
    ),
)
