"""The models of a study's scenarios: the conditions under which the same gains are walked."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from safebo.study.aggregation import Aggregation
from safebo.study.model_parts import Strict


class ScenarioFeature(Strict):
    """A number that says how scenarios differ, so that what one showed says something of the others."""

    values: dict[str, float] = Field(default_factory=dict)
    """By scenario, in one unit; a scenario that is not here has the condition of the feature's name."""
    otherwise: float | None = None
    """Of scenarios that have neither: what `{}` means, as the friction of the evaluator's own floor."""
    lengthscale: float | None = Field(default=None, gt=0)
    """Of the range from the scenarios' smallest value, 0, to their largest, 1; `surrogate.context_lengthscale` when
    left out. Safety rests on it."""


class ScenariosSpec(Strict):
    """Conditions under which the same gains are walked: what is good and safe is so in all of them.

    With `walked: all` a trial walks every scenario, each with a seed of its own, and what is modelled is the objective
    and the margins aggregated. With `chosen` a trial walks few of them (seeds walk all): functions of gains and
    features are modelled, gains are certified where the aggregated lower bounds of all margins are >= 0, and next comes
    the scenario that is worst for the objective, or of which a margin is known least (StableOpt, Bogunovic et al.
    2018).
    """

    objective: Aggregation = "worst"
    """How the objectives of the scenarios become one: `worst`, `mean`, or `cvar(a)`, the mean of the worst `1 - a` of
    them, as in `cvar(0.75)`."""
    margins: Aggregation = "worst"
    """The same for every margin. With `worst` gains are safe where they are safe in each scenario; with another one a
    scenario may be unsafe where others make up for it."""
    walked: Literal["all", "chosen"] = "all"
    """Which scenarios a trial walks."""
    walks: int = Field(default=2, ge=1)
    """Most scenarios that a trial of `walked: chosen` walks."""
    values: dict[str, dict[str, Any]] = Field(min_length=1)
    """Scenarios by name, each with the conditions that differ in it, which are the evaluator's: it checks them before
    the run begins. `{}` changes nothing."""
    features: dict[str, ScenarioFeature] = Field(default_factory=dict)
    """What the model of `walked: chosen` knows scenarios by, by name. Left out, the conditions that are numbers, which
    every scenario then has to give. No two scenarios may have the same features."""
