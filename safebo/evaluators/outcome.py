"""What a measurement says of its trial: margins under the study's names, whether it was unsafe, and how it ended."""

from __future__ import annotations

from safebo.evaluators.scenarios import below_zero
from safebo.files.problems import listed
from safebo.study import FunctionSpec, Study, quantity_of
from safebo.types import Measurement


def margin_of(measurement: Measurement, constraint: FunctionSpec) -> float | None:
    """The margin of a constraint, under its own name or its quantity's; None where it was not measured."""
    for name in (constraint.name, quantity_of(constraint)):
        if name in measurement.margins:
            return measurement.margins[name]
    return None


def margins_of(study: Study, measurement: Measurement) -> dict[str, float]:
    """Measured margins of the study's constraints, by the constraints' names; missing ones left out."""
    margins = {c.name: margin_of(measurement, c) for c in study.constraints}
    return {name: margin for name, margin in margins.items() if margin is not None}


def negative_margins(measurement: Measurement, study: Study) -> list[tuple[str, float]]:
    """The study's constraints that were measured below 0, with their margins."""
    return [(name, margin) for name, margin in margins_of(study, measurement).items() if margin < 0]


def was_unsafe(measurement: Measurement, study: Study) -> bool:
    """Whether a trial fell or measured one of the study's constraints below 0."""
    return measurement.fell or (
        measurement.outcome in ("completed", "aborted") and bool(negative_margins(measurement, study))
    )


def ended_early(measurement: Measurement) -> bool:
    """Whether a fall or an abort ended the trial: it certifies nothing, whatever its margins were up to then."""
    return measurement.fell or measurement.outcome == "aborted"


def where_negative(measurement: Measurement, constraint: str, study: Study) -> str:
    """The scenarios in which a margin was below 0, in words; empty for a trial of one walk."""
    quantity = next(quantity_of(c) for c in study.constraints if c.name == constraint)
    found = below_zero(measurement, constraint, quantity)
    return f" in scenario {listed(found)}" if found else ""


def what_happened(measurement: Measurement) -> list[str]:
    """What a person should know of a trial beside its outcome: a fall, the backup, why it was not completed."""
    parts = ["FELL"] if measurement.fell else []
    if measurement.backup_time is not None:
        parts.append(f"backup at {measurement.backup_time:.2f} s")
    if measurement.ended:
        parts.append(f"ended after {measurement.duration:.3g} s: {measurement.ended}")
    if measurement.message and measurement.outcome != "completed":
        parts.append(measurement.message)
    return parts


def remarks_on(measurement: Measurement) -> list[str]:
    """What an evaluator says of a completed trial, or of such walks of it, each sentence once."""
    walks = list(measurement.scenarios.values()) or [measurement]
    return list(dict.fromkeys(m.message for m in walks if m.message and m.outcome == "completed"))
