"""Backup states: where certified gains were seen to recover the robot, and the monitors made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from safebo.errors import MeasurementError, NoBackupError
from safebo.history import Record
from safebo.monitor import BoundaryMonitor, TriggerRule, thinned
from safebo.problem import Problem
from safebo.study import BackupSpec


def trigger_rule(spec: BackupSpec) -> TriggerRule:
    """The study's boundary condition."""
    return TriggerRule(
        name=spec.rule,
        lipschitz=spec.lipschitz,
        inter_sample=spec.inter_sample,
        sigma=spec.sigma,
        tau_interior=spec.tau_interior,
        tau_marginal=spec.tau_marginal,
        interior_lower_bound=spec.interior_lower_bound,
        marginal_lower_bound=spec.marginal_lower_bound,
    )


@dataclass(frozen=True)
class Backup:
    """Gains, and the states that they were seen to master (`n x k`, unscaled)."""

    trial: int
    parameters: Mapping[str, float]
    states: NDArray[np.float64]


def backup_of(record: Record, problem: Problem) -> Backup | None:
    """The backup that a trial gives: a completed one with recorded states and no negative margin; else None.

    Every state that a trial visited under one set of gains is a state from which those gains kept the
    constraints (the Markov property). Trials in which the monitor switched, that fell or failed, give none.

    Raises:
        MeasurementError: for states that are not finite or not `n x k`.
    """
    m = record.measurement
    if m is None or m.outcome != "completed" or m.fell or m.states is None or len(m.states) == 0:
        return None
    if problem.negative_margins(m):
        return None
    states = np.asarray(m.states, dtype=np.float64)
    if states.ndim != 2 or not np.isfinite(states).all():
        raise MeasurementError(
            f"trial {record.trial.id}: visited states must be finite and n x k, got shape {states.shape}"
        )
    return Backup(record.trial.id, record.trial.parameters, states)


def boundary_monitor(
    found: Sequence[Backup], lower: NDArray[np.float64], spec: BackupSpec
) -> BoundaryMonitor:
    """The monitor of those backups whose gains are certified now.

    Args:
        found: backups of one context.
        lower: present lower bound of every backup's smallest margin, warped; a negative one drops it.
        spec: rule, scales and capacity.

    Raises:
        NoBackupError: when none is certified.
        MeasurementError: when the states of two trials differ in width.
    """
    chosen = [i for i in range(len(found)) if lower[i] >= 0]
    if not chosen:
        raise NoBackupError(
            "no backup: no completed trial of this context has recorded states and gains that are certified "
            "now. The evaluator must return `states`, and a seed or local trial must come first"
        )
    widths = sorted({found[i].states.shape[1] for i in chosen})
    if len(widths) > 1:
        raise MeasurementError(f"visited states have different widths: {widths}")
    kept = thinned([len(found[i].states) for i in chosen], spec.capacity)
    parts: list[NDArray[np.float64]] = []
    policy: list[NDArray[np.int64]] = []
    bounds: list[float] = []
    gains: list[Mapping[str, float]] = []
    for i, rows in zip(chosen, kept, strict=True):
        if len(rows) == 0:
            continue
        parts.append(found[i].states[rows])
        policy.append(np.full(len(rows), len(gains)))
        bounds.append(float(lower[i]))
        gains.append(found[i].parameters)
    return BoundaryMonitor(
        np.concatenate(parts),
        np.concatenate(policy),
        np.array(bounds),
        gains,
        trigger_rule(spec),
        state_scale(spec, widths[0]),
    )


def state_scale(spec: BackupSpec, width: int) -> NDArray[np.float64]:
    """Scale of every state coordinate, in the order in which the study (or the evaluator) names them.

    Raises:
        MeasurementError: when scales are declared but not for every coordinate.
    """
    if not spec.state_scale:
        return np.ones(width)
    if len(spec.state_scale) != width:
        raise MeasurementError(
            f"tuner.backup.state_scale names {len(spec.state_scale)} coordinates, "
            f"but visited states have {width}"
        )
    return np.array(list(spec.state_scale.values()), dtype=np.float64)
