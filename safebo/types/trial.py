"""A trial: what is proposed, under which scenario, and when it may end."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from safebo.types.certificate import Bounds, Evidence

Phase = Literal["seed", "local", "global", "manual"]
PHASES: tuple[Phase, ...] = ("seed", "local", "global", "manual")


@dataclass(frozen=True)
class EarlyEnd:
    """When a running trial has shown enough; looked at once a stride, never before one whole stride.

    Args:
        margins: names of margins, one of which below 0 ends it (`ended: unsafe`): the trial's minimum is at most that.
        settled: half the width of the confidence sequence for the objective's mean over strides, in the objective's
            unit, from which on it ends (`ended: settled`); None: never.
        dominated: objective that a trial must still be able to reach, in its unit; one that could not, were the rest of
            it perfect, ends (`ended: dominated`); None: never.
        least: seconds of strides before it may be settled or dominated.
    """

    margins: tuple[str, ...]
    settled: float | None = None
    dominated: float | None = None
    least: float = 0.0


@dataclass(frozen=True)
class Scenario:
    """One of a study's scenarios, as an evaluator gets it.

    Args:
        name: of the scenario.
        conditions: what differs in it, as the study has it.

    Example:
        >>> Scenario("loaded", {"payload_mass": 2.0}).conditions["payload_mass"]
        2.0
    """

    name: str
    conditions: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Trial:
    """One proposal: which gains to try, in which context, and why.

    A parameter is a float, an int where the study says `type: integer`, or the name of a choice.

    `evidence` says for every constraint which prior certified it, where priors are earned (`surrogate.trust`).

    `operating_time` is the time of the robot's operation for which the trial was asked, in seconds, pauses included;
    None where nobody gave one. `certified_until` is the operating time at which its certificate expires, where what is
    known grows old (`surrogate.time`); None where it does not.

    `dominated`, where the study asks for it, is an objective that is certainly reached elsewhere, by more than noise.
    `early_end` says when it may end before its time; it follows from the study and the rest, and is set where a trial
    is evaluated.

    `scenarios` names those of the study's scenarios that the trial walks; empty for a study without any. An evaluator
    gets one of them at a time, as `scenario`, under a seed that follows from the trial's and the scenario's name.

    `seed` is the seed of everything random in the evaluation; it depends on the run's seed and the id only,
    so that a trial evaluated twice in simulation gives the same measurement.

    Example:
        >>> trial = Trial(1, {"kp": 40.0}, {}, "default", "seed", seed=7, certified=False)
        >>> trial.parameters["kp"]
        40.0
    """

    id: int
    parameters: Mapping[str, Any]
    context: Mapping[str, float]
    context_name: str
    phase: Phase
    seed: int
    certified: bool
    predicted: Mapping[str, Bounds] = field(default_factory=dict)
    reason: str = ""
    trigger_rule: str | None = None
    trigger_guarantee: bool = False
    evidence: Mapping[str, Evidence] = field(default_factory=dict)
    operating_time: float | None = field(default=None, compare=False)
    certified_until: float | None = None
    dominated: float | None = None
    early_end: EarlyEnd | None = None
    scenarios: tuple[str, ...] = ()
    scenario: Scenario | None = None


def trial_hash(trial: Trial) -> str:
    """What an approval is bound to: SHA-256 of id, gains and context, hexadecimal."""
    words = [trial.id, sorted(trial.parameters.items()), sorted(trial.context.items())]
    return hashlib.sha256(json.dumps(words).encode()).hexdigest()
