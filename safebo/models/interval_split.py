"""An interval split into what more trials shrink, what longer trials shrink, what nothing does, and doubt of the prior.

A next measurement at x, on the modelled scale, varies by

    sigma(x)^2          what is not known yet under the declared prior: more trials at or near x shrink it
    doubt^2             by which the interval of the priors that certify is wider: evidence shrinks it
    s_b^2               from trial to trial: nothing shrinks it
    s_s^2 (1 + 2 sum rho_k) / n   from stride to stride within a trial: longer trials shrink it

and their sum, as all are independent. The interval of the mean, on which certificates rest, holds the first two alone;
repeated trials average the noise out of it. Shares are of variances on the modelled scale. Under a warp a standard
deviation in the function's own unit is half the length of the interval of one standard deviation to either side.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from safebo.evaluators.repeats import TrialNoise
from safebo.study.space import WarpMap
from safebo.types import Bounds, Evidence

Part = Literal["unknown", "doubt", "between", "within", "noise"]

PARTS: Mapping[Part, str] = {
    "unknown": "not known yet",
    "doubt": "doubt about the prior",
    "between": "noise between trials",
    "within": "noise within a trial",
    "noise": "noise, not told apart",
}
"""Of an interval, in the order in which they are shown, and what they are called."""

DIFFERENT = 2.0
"""Factor between the noise that was measured and the declared one from which it is said."""


@dataclass(frozen=True)
class IntervalSplit:
    """One function's interval at one point, by its parts.

    Args:
        function: its name.
        unit: its unit.
        warp: between its unit and the modelled scale.
        mean: of the prior that certifies, on the modelled scale.
        unknown: variance of the mean under the declared prior, on the modelled scale.
        doubt: variance by which the mean's interval is wider under the priors that certify.
        noise: of one measurement.
        declared_noise: its variance in the model.
        beta: multiplier of standard deviations.
        evidence: for the function's prior; None where it is taken as declared.
        needed: K, the evidence from which the declared prior certifies.
    """

    function: str
    unit: str
    warp: WarpMap
    mean: float
    unknown: float
    doubt: float
    noise: TrialNoise
    declared_noise: float
    beta: float
    evidence: Evidence | None = None
    needed: float = math.inf

    @property
    def variances(self) -> dict[Part, float]:
        """Of every part there is, on the modelled scale; a next measurement's is their sum."""
        mean: dict[Part, float] = {"unknown": self.unknown, "doubt": self.doubt}
        if self.noise.between is None or self.noise.within is None:
            return {**mean, "noise": self.noise.whole}
        return {**mean, "between": self.noise.between, "within": self.noise.within}

    @property
    def shares(self) -> dict[Part, float]:
        """Of the variance of a next measurement; they sum to 1, or are all 0 where it does not vary."""
        # Divided first: a sum of variances far apart may not be as large as its largest term over it.
        largest = max(self.variances.values())
        if largest <= 0.0:
            return dict.fromkeys(self.variances, 0.0)
        scaled = {part: variance / largest for part, variance in self.variances.items()}
        whole = sum(scaled.values())
        return {part: value / whole for part, value in scaled.items()}

    @property
    def deviations(self) -> dict[Part, float]:
        """The standard deviation of every part in the function's own unit."""
        return {part: self._half(math.sqrt(variance)) for part, variance in self.variances.items()}

    @property
    def of_mean(self) -> Bounds:
        """The interval of the mean: `beta` standard deviations, in the function's own unit."""
        return self._interval(self.unknown + self.doubt)

    @property
    def of_next(self) -> Bounds:
        """The interval of a next measurement: the same multiple of its standard deviation."""
        return self._interval(sum(self.variances.values()))

    @property
    def largest(self) -> Part:
        """The largest part."""
        return max(self.variances, key=lambda part: self.variances[part])

    @property
    def advice(self) -> str:
        """What to do about the largest part, in one sentence."""
        part, share = self.largest, self.shares[self.largest]
        if share == 0.0:
            return "Nothing varies here."
        of = (
            f"{100.0 * share:.0f} % of it is"
            if share >= 0.5
            else f"The largest part, {100.0 * share:.0f} %, is"
        )
        if part == "unknown":
            return f"{of} what is not known yet: more trials near these gains narrow it."
        if part == "doubt":
            return f"{of} doubt about the prior: {self._doubt_words()}."
        if part == "between":
            return (
                f"{of} noise between trials: repeating these gains narrows their mean, longer trials do not."
            )
        if part == "noise":
            return (
                f"{of} noise (between and within trials not told apart: {self.noise.why}): repeating these gains "
                "narrows their mean."
            )
        if not self.noise.averaged:
            return (
                f"{of} noise within a trial, and a margin is its least value: repeating these gains narrows their "
                "mean, longer trials only lower it."
            )
        now, then = self.noise.seconds(), self.noise.seconds(2.0)
        return (
            f"{of} noise within a trial: trials of {then:.3g} s instead of {now:.3g} s would halve that part."
        )

    @property
    def note(self) -> str:
        """That the noise which was measured is not the declared one, where it clearly is not; else empty."""
        if self.noise.between is None or min(self.noise.whole, self.declared_noise) <= 0.0:
            return ""
        if 1.0 / DIFFERENT**2 <= self.noise.whole / self.declared_noise <= DIFFERENT**2:
            return ""
        measured, declared = (self._half(math.sqrt(v)) for v in (self.noise.whole, self.declared_noise))
        return f"Repeated trials vary by {measured:.2g}, the model's noise is {declared:.2g}."

    def _doubt_words(self) -> str:
        found = self.evidence
        if found is None:
            return "another prior certifies as well"
        if found.refuted_by:
            return f"the declared one is refuted ({found.refuted_by} is likelier), so declare another"
        if found.alarm:
            return f"{found.alarm} is far likelier than the cautious one and certifies as well"
        if found.prior != "declared":
            ratio = math.exp(min(700.0, found.log_evidence))
            return f"evidence for the declared one is {ratio:.2g} of {self.needed:.3g}, and further trials decide"
        return f"{found.suspected or 'another prior'} is suspected and certifies as well while it is"

    def _half(self, std: float) -> float:
        low, high = self.warp.inverse(np.array([self.mean - std, self.mean + std]))
        return 0.5 * float(high - low)

    def _interval(self, variance: float) -> Bounds:
        reach = self.beta * math.sqrt(variance)
        return Bounds(*map(float, self.warp.inverse([self.mean - reach, self.mean, self.mean + reach])))


def headline(splits: Sequence[IntervalSplit]) -> str:
    """One sentence for a run: of the constraint whose certificate is held up most by doubt about its prior, else of the
    objective; empty without functions.

    Args:
        splits: of every function at the recommended point, the objective first.
    """
    if not splits:
        return ""
    doubted = [s for s in splits[1:] if s.largest == "doubt"]
    chosen = max(doubted, key=lambda s: s.shares["doubt"]) if doubted else splits[0]
    return f"Interval of {chosen.function}: {chosen.advice[0].lower()}{chosen.advice[1:]}"
