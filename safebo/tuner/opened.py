"""Points that safe global trials opened, and what all trials at such a point say of it.

One place for certificates, backups, recommendations, phases, and what people read of it; the statistics are in
`safebo.safety.measured_points`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from safebo.evaluators.outcome import ended_early, what_happened
from safebo.models.confidence import Prediction, confidence_bounds
from safebo.safety.measured_points import SAME_POINT, MeasuredPoints, own_posterior
from safebo.tuner.encoding import StudyEncoding
from safebo.types import Trial, TrialRecord


def succeeded(record: TrialRecord, encoding: StudyEncoding) -> bool:
    """Whether a global trial ran to its end without a trigger and with every margin at least 0."""
    m = record.measurement
    return (
        record.trial.phase == "global"
        and m is not None
        and m.outcome == "completed"
        and not m.fell
        and not encoding.negative_margins(m)
    )


def stopped(record: TrialRecord) -> bool:
    """Whether the gains of a trial did not carry it to its end: it fell, was aborted, or the monitor switched."""
    m = record.measurement
    return m is not None and (ended_early(m) or m.outcome == "backup")


def measured_margins(records: Sequence[TrialRecord], encoding: StudyEncoding) -> Prediction | None:
    """What the measurements of all trials at one point say of its margins, warped, `1 x c`.

    None where a trial was stopped, after which no measurement speaks for the point, and where nothing was measured.
    """
    rows = encoding.observations(records)
    if not rows or any(stopped(record) for record in records):
        return None
    nan = float("nan")
    values = [[nan if v is None else v for v in row.values[1:]] for row in rows]
    noise = torch.tensor([f.noise_std for f in encoding.functions[1:]], dtype=torch.float64)
    added = torch.tensor([row.noise[1:] or (0.0,) * len(noise) for row in rows], dtype=torch.float64)
    if bool(added.any()):
        # The mean of n values with variances s^2 + a_i has the variance (s^2 + mean of a_i) / n.
        noise = (noise.square() + added.mean(0)).sqrt()
    return own_posterior(torch.tensor(values, dtype=torch.float64).reshape(len(rows), -1), noise)


def speaks_for(records: Sequence[TrialRecord], encoding: StudyEncoding) -> bool:
    """Whether all trials at one point together say that it is rather safe than not: no margin's mean is negative."""
    said = measured_margins(records, encoding)
    return said is not None and bool((said.mean >= encoding.thresholds).all())


def at_point(trial: Trial, records: Sequence[TrialRecord], encoding: StudyEncoding) -> list[TrialRecord]:
    """Those of some records, of any phase, whose parameters and context are a trial's."""
    if not records:
        return []
    rows = torch.stack([encoding.row(r.trial) for r in records])
    same = ((rows - encoding.row(trial)).abs() <= SAME_POINT).all(-1)
    return [records[i] for i in torch.nonzero(same).flatten().tolist()]


def opened_points(name: str, records: Sequence[TrialRecord], encoding: StudyEncoding) -> MeasuredPoints:
    """Points that safe global trials of a context opened, with what all records at them say of their margins.

    A point where a trial was stopped is not among them.
    """
    opening = [r.trial for r in records if r.trial.context_name == name and succeeded(r, encoding)]
    points: list[Tensor] = []
    said: list[Prediction] = []
    for trial in {tuple(t.parameters.items()): t for t in opening}.values():
        margins = measured_margins(at_point(trial, records, encoding), encoding)
        if margins is not None:
            points.append(encoding.row(trial)[: encoding.space.dimension])
            said.append(margins)
    if not points:
        return MeasuredPoints()
    mean, std = (torch.cat([getattr(p, part) for p in said]) for part in ("mean", "std"))
    return MeasuredPoints(torch.stack(points), Prediction(mean, std))


def own_statement(
    trial: Trial, records: Sequence[TrialRecord], encoding: StudyEncoding, beta: Float[Tensor, " m"]
) -> str:
    """What all told records at a trial's point say of the margin that they show least safe, in words."""
    here = at_point(trial, records, encoding)
    for record in here:
        if record.measurement is not None and stopped(record):
            happened = [record.measurement.outcome, *what_happened(record.measurement)]
            return f"trial {record.trial.id}: {', '.join(happened)}"
    said = measured_margins(here, encoding)
    if said is None or not encoding.functions[1:]:
        return "nothing was measured there"
    lower = confidence_bounds(said, beta[1:]).lower
    worst = int((lower - encoding.thresholds)[0].argmin())
    spec, warp = encoding.functions[1 + worst], encoding.warps[1 + worst]
    mean, least = (
        f"{float(warp.inverse(float(v[0, worst]))):.3g} {spec.unit}".rstrip() for v in (said.mean, lower)
    )
    count = len(encoding.observations(here))
    trials = f"{count} trial{'s' if count > 1 else ''}"
    return f"margin {spec.name} is {mean} on average of {trials} there, at least {least}"
