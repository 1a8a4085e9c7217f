"""The delay margin: how many ticks later the torques may come before gains break a limit.

A quadruped's joint law damps with speeds that are old by its delay. Gains that are tuned on one delay may shake on the
next: `delay_margin` walks with 0, 1, 2, ... ticks more than the study's plant has and says how far the limits hold. In
a study the same walks are scenarios, `{extra_delay: 1}` and `{extra_delay: 2}`, and gains are certified for both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from safebo.robots.evaluation.conditions import EXTRA_DELAY, extra_ticks
from safebo.robots.evaluation.evaluator import LeggedEvaluator
from safebo.types import Measurement, Scenario, Trial


@dataclass(frozen=True)
class DelayMargin:
    """How much more delay gains bear.

    Args:
        ticks: the most extra ticks up to which no walk fell and no margin was negative; -1 where a walk without any
            broke one already.
        walks: what was measured, by extra ticks from 0 on: up to the first that broke a margin.
        broke: what broke in the last walk, for people; empty where nothing did.
    """

    ticks: int
    walks: tuple[Measurement, ...]
    broke: str = ""

    @property
    def settled(self) -> bool:
        """Whether a limit was broken; otherwise `ticks` is the most that was tried."""
        return bool(self.broke)


def delay_margin(
    evaluator: LeggedEvaluator,
    parameters: Mapping[str, Any],
    context: Mapping[str, float],
    margins: Sequence[str],
    most: int = 3,
    conditions: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> DelayMargin:
    """Walk with more and more delay until a margin breaks.

    Args:
        evaluator: says what walks, and on which plant.
        parameters: gains by name.
        context: the gait.
        margins: names of the margins that count.
        most: extra ticks that are tried, at least 0.
        conditions: what else differs from the evaluator's plant; the ticks come on top of an `extra_delay` in them.
        seed: of the sensor noise.

    Raises:
        ValueError: the evaluator has no such margin; says which it has.
    """
    known = [info.name for info in evaluator.info().margins]
    unknown = [name for name in margins if name not in known]
    if unknown:
        raise ValueError(f"no margin {unknown[0]!r}: the evaluator has {', '.join(known)}")
    walks: list[Measurement] = []
    given = dict(conditions or {})
    start = extra_ticks(given.get(EXTRA_DELAY, 0))
    for extra in range(most + 1):
        scenario = Scenario(f"extra-delay-{extra}", {**given, EXTRA_DELAY: start + extra})
        trial = Trial(1, parameters, context, "", "manual", seed, False, scenario=scenario)
        shown = evaluator.evaluate(trial)
        walks.append(shown)
        seen = shown.true_margins or shown.margins
        below = [f"{name} {seen[name]:.3g}" for name in margins if seen.get(name, -1.0) < 0]
        if shown.fell or below or shown.outcome != "completed":
            broke = "fell" if shown.fell else ", ".join(below) or shown.message
            return DelayMargin(extra - 1, tuple(walks), broke)
    return DelayMargin(most, tuple(walks))
