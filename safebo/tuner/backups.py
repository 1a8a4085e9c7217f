"""Backup states: where certified gains were seen to recover the robot, and the monitors made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from safebo.boundary.rules import (
    CostToGoRule,
    GaussianTailRule,
    KernelCovarianceRule,
    LipschitzRule,
    TriggerRule,
)
from safebo.errors import MeasurementError, NoBackupError
from safebo.evaluators.outcome import margin_of
from safebo.study import LEARNED_RULE, BackupSpec
from safebo.tuner.encoding import StudyEncoding
from safebo.tuner.thinning import thinned
from safebo.types import Measurement, TrialRecord

if TYPE_CHECKING:
    from safebo.boundary.monitor import BoundaryMonitor

TRIGGER_RULES: dict[str, type[TriggerRule]] = {
    rule.name: rule for rule in (LipschitzRule, GaussianTailRule, KernelCovarianceRule, CostToGoRule)
}
"""The boundary conditions on stored states by the names that studies use; beside them, `LEARNED_RULE` stores none."""


def trigger_rule(spec: BackupSpec) -> TriggerRule:
    """The study's boundary condition, with those of the study's numbers that it uses."""
    rule = TRIGGER_RULES[spec.rule]
    return rule(**{field.name: getattr(spec, field.name) for field in fields(rule)})


def guaranteed(spec: BackupSpec) -> bool:
    """Whether the study's rule promises something of every single trial; a learned one promises a share of them."""
    return spec.rule != LEARNED_RULE and trigger_rule(spec).guarantee


@dataclass(frozen=True)
class CertifiedBackup:
    """Gains that may take over in global trials of a context now.

    Args:
        parameters: the gains.
        lower: lower bound of their smallest margin, warped, above its threshold.
        trial: that showed states which they mastered.
        region: number of the region in which they lie; 0 is the seeds'.
    """

    parameters: Mapping[str, Any]
    lower: float
    trial: int
    region: int


@dataclass(frozen=True)
class Backup:
    """Gains, and the states that they were seen to master.

    Args:
        trial: in which.
        parameters: the gains.
        states: `n x k`, unscaled.
        gain: what the smallest margin still to come has gained at every state over that of the whole trial, `n`,
            warped, at least 0; None where the trial did not report margins to go.
    """

    trial: int
    parameters: Mapping[str, float]
    states: NDArray[np.float64]
    gain: NDArray[np.float64] | None = None


def backup_of(record: TrialRecord, encoding: StudyEncoding) -> Backup | None:
    """The backup that a trial gives: a completed one with recorded states and no negative margin; else None.

    Every state that a trial visited under one set of gains is a state from which those gains kept the
    constraints (the Markov property). Trials in which the monitor switched, that fell or failed, give none.

    Raises:
        MeasurementError: for states that are not finite or not `n x k`.
    """
    m = record.measurement
    if m is None or m.outcome != "completed" or m.fell or m.states is None or len(m.states) == 0:
        return None
    if encoding.negative_margins(m):
        return None
    states = np.asarray(m.states, dtype=np.float64)
    if states.ndim != 2 or not np.isfinite(states).all():
        raise MeasurementError(
            f"trial {record.trial.id}: visited states must be finite and n x k, got shape {states.shape}"
        )
    return Backup(record.trial.id, record.trial.parameters, states, _gain(record.trial.id, m, encoding))


def _gain(trial: int, m: Measurement, encoding: StudyEncoding) -> NDArray[np.float64] | None:
    """Smallest margin measured from every state on, minus the smallest of the whole trial, both warped."""
    if m.margins_to_go is None or m.states is None:
        return None
    to_go, whole = [], []
    for spec, warp in zip(encoding.functions[1:], encoding.warps[1:], strict=True):
        name = spec.name if spec.name in m.margins_to_go else spec.quantity
        values = np.asarray(m.margins_to_go.get(name, ()), dtype=np.float64)
        if values.shape != (len(m.states),) or not np.isfinite(values).all():
            raise MeasurementError(
                f"trial {trial}: margins_to_go of {spec.name!r} must be one finite number per visited state "
                f"({len(m.states)}), got shape {values.shape}"
            )
        threshold = warp.threshold()
        to_go.append(warp.forward(values) - threshold)
        whole.append(float(warp.forward(margin_of(m, spec) or 0.0)) - threshold)
    return np.maximum(np.min(to_go, axis=0) - min(whole), 0.0)


def boundary_monitor(
    found: Sequence[Backup],
    lower: NDArray[np.float64],
    spec: BackupSpec,
    visited: Sequence[NDArray[np.float64]] = (),
) -> BoundaryMonitor:
    """The monitor of some backups.

    Args:
        found: backups of one context whose gains are certified now.
        lower: present lower bound of every backup's smallest margin, warped, above its threshold.
        spec: rule, scales and capacity.
        visited: states of the context's trials without a certificate, `m x k` each, unscaled, in the order of time:
            beyond the capacity, they say which states to keep.

    Raises:
        NoBackupError: when there is none.
        MeasurementError: when the states of two trials differ in width, or when a trial lacks the margins to go
            that the rule needs.
    """
    if not found:
        raise NoBackupError(
            "no backup: no completed trial of this context has recorded states and gains that are certified "
            "now. The evaluator must return `states`, and a seed or local trial must come first"
        )
    # with numba, which only global trials need
    from safebo.boundary.monitor import BoundaryMonitor

    widths = sorted({backup.states.shape[1] for backup in found})
    if len(widths) > 1:
        raise MeasurementError(f"visited states have different widths: {widths}")
    rule = trigger_rule(spec)
    scale = state_scale(spec, widths[0])
    radii = [
        rule.radii(np.full(n, bound), np.zeros(n) if backup.gain is None else backup.gain, widths[0])
        for backup, bound in zip(found, lower, strict=True)
        for n in [len(backup.states)]
    ]
    seen = [path / scale for path in visited if path.ndim == 2 and path.shape[1] == widths[0]]
    kept = thinned([backup.states / scale for backup in found], spec.capacity, radii, seen)
    parts: list[NDArray[np.float64]] = []
    gained: list[NDArray[np.float64]] = []
    policy: list[NDArray[np.int64]] = []
    bounds: list[float] = []
    gains: list[Mapping[str, float]] = []
    for backup, bound, rows in zip(found, lower, kept, strict=True):
        if len(rows) == 0:
            continue
        if backup.gain is None and rule.needs_gain:
            raise MeasurementError(
                f"trial {backup.trial} reports no `margins_to_go`, which tuner.backup.rule {rule.name} needs: "
                "the evaluator must return them with `states`, or choose another rule"
            )
        parts.append(backup.states[rows])
        gained.append(np.zeros(len(rows)) if backup.gain is None else backup.gain[rows])
        policy.append(np.full(len(rows), len(gains)))
        bounds.append(float(bound))
        gains.append(backup.parameters)
    return BoundaryMonitor(
        np.concatenate(parts),
        np.concatenate(policy),
        np.array(bounds),
        gains,
        rule,
        scale,
        np.concatenate(gained),
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
