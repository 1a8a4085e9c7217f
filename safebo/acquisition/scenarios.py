"""Bounds over several scenarios at once, and which scenario comes next (`scenarios.walked: chosen`).

Functions are modelled over gains and a scenario's features, `q_i(theta, z)`. With an aggregation A over scenarios,
which rises with each of its values (`safebo.study.aggregation`),

    A_z l_i(theta, z) <= A_z q_i(theta, z) <= A_z u_i(theta, z)

wherever the bounds hold, so that gains are certified where `A_z l_i >= 0` for every margin: with `worst` the
intersection over the scenarios. StableOpt (Bogunovic, Scarlett, Jegelka, Cevher 2018) is `worst` of the objective:
`theta_n = argmax min_z u_0`, `z_n = argmin_z l_0(theta_n, z)`, recommendation `argmax min_z l_0`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from safebo.acquisition.base import AcquisitionContext, narrowed
from safebo.models.confidence import ConfidenceBounds, intersected_bounds
from safebo.models.surrogate import Surrogate
from safebo.safety.safe_set import PointBounds


@dataclass(frozen=True, kw_only=True)
class ScenarioContext(AcquisitionContext):
    """What an acquisition may look at where each function is an aggregate over scenarios.

    Args:
        scenarios: context and features of every scenario in the unit cube, `s x c`; `context` is the first of them.
        kept: for every function, the number of smallest values of which the aggregation is the mean.
        logarithmic: for every function, whether it is modelled on a logarithmic scale.
    """

    scenarios: Float[Tensor, "s c"]
    kept: tuple[int, ...]
    logarithmic: tuple[bool, ...]

    def stacked(self, X: Float[Tensor, "n d"]) -> Float[Tensor, "k D"]:
        """Inputs of every scenario at X, scenario by scenario, `s n x D`."""
        count, n = len(self.scenarios), len(X)
        gains = X.unsqueeze(0).expand(count, n, -1)
        places = self.scenarios.unsqueeze(1).expand(count, n, -1)
        return torch.cat([gains, places], -1).reshape(count * n, -1)

    def aggregated(self, values: Float[Tensor, "s n m"]) -> Float[Tensor, "n m"]:
        """One value of every function from those of the scenarios, on the modelled scale; averages are of the
        function's own unit.
        """
        columns = []
        for i, (count, log) in enumerate(zip(self.kept, self.logarithmic, strict=True)):
            smallest = torch.topk(values[..., i], count, dim=0, largest=False).values
            if count == 1:
                columns.append(smallest[0])
            elif log:  # y = upper - scale exp(-w), so that the mean of y is one of exp(-w)
                columns.append(-torch.log(torch.exp(-smallest).mean(0)))
            else:
                columns.append(smallest.mean(0))
        return torch.stack(columns, -1)

    def scenario_bounds(self, X: Float[Tensor, "n d"], surrogate: Surrogate) -> ConfidenceBounds:
        """Bounds of every function in every scenario at X, `s x n x m`."""
        inputs, shape = self.stacked(X), (len(self.scenarios), len(X), -1)
        if self.past_betas is not None and surrogate is self.surrogate:
            found = intersected_bounds(surrogate.posteriors, inputs, self.past_betas)
        else:
            found = surrogate.bounds(inputs, self.beta)
        return ConfidenceBounds(found.lower.reshape(shape), found.upper.reshape(shape))

    def certain_at(self, X: Float[Tensor, "n d"]) -> ConfidenceBounds:
        """Aggregated bounds of all functions at X from told data."""
        return self._aggregated_bounds(self.scenario_bounds(X, self.surrogate))

    def mean_at(self, X: Float[Tensor, "n d"]) -> Float[Tensor, "n m"]:
        """Aggregated means of all functions at X."""
        return self.aggregated(self.surrogate.mean(self.stacked(X)).reshape(len(self.scenarios), len(X), -1))

    def bounds_at(self, X: Float[Tensor, "n d"]) -> PointBounds:
        """Aggregated bounds of all functions at X, pending trials counted apart."""
        certain = self.certain_at(X)
        if self.fantasized is self.surrogate:
            return self.bounds_from(X, certain, certain)
        return self.bounds_from(X, certain, self._aggregated_bounds(self.fantasized_bounds(X)))

    def fantasized_bounds(self, X: Float[Tensor, "n d"]) -> ConfidenceBounds:
        """Bounds in every scenario with pending trials counted, `s x n x m`."""
        certain = self.scenario_bounds(X, self.surrogate)
        if self.fantasized is self.surrogate:
            return certain
        fantasized = self.scenario_bounds(X, self.fantasized)
        return fantasized if self.past_betas is None else narrowed(fantasized, certain)

    @cached_property
    def pool_bounds(self) -> PointBounds:
        """Aggregated bounds at the pool."""
        with torch.no_grad():
            return self.bounds_at(self.pool)

    def optimistic(self, bounds: PointBounds) -> Float[Tensor, " n"]:
        """The aggregate of the objective's means plus `optimism` standard deviations, pending trials counted."""
        if self.optimism is None:
            return bounds.fantasized.upper[..., 0]
        found = self.fantasized.predict(self.stacked(bounds.points))
        values = (found.mean + self.optimism * found.std).reshape(len(self.scenarios), len(bounds.points), -1)
        return self.aggregated(values)[..., 0]

    def _aggregated_bounds(self, bounds: ConfidenceBounds) -> ConfidenceBounds:
        return ConfidenceBounds(self.aggregated(bounds.lower), self.aggregated(bounds.upper))


def next_scenario(ctx: ScenarioContext, x: Float[Tensor, " d"]) -> tuple[int, int]:
    """The scenario to walk at chosen gains, and the function for whose sake.

    For the objective: of the scenarios that its aggregation looks at, those of the smallest lower bounds, the one whose
    interval is widest; with `worst` that is `argmin_z l_0` (StableOpt). It gives way to the scenario and margin of the
    widest interval in prior standard deviations among those that threaten certification, that is whose lower bound lies
    above the limit by less than its own interval is wide, where that is wider than the objective's.

    Returns:
        Index of the scenario; index of the function, 0 for the objective.
    """
    with torch.no_grad():
        bounds = ctx.fantasized_bounds(x.unsqueeze(0))
    lower, width = bounds.lower[:, 0], bounds.upper[:, 0] - bounds.lower[:, 0]
    scaled = width / ctx.surrogate.prior_std
    looked_at = torch.topk(lower[:, 0], ctx.kept[0], largest=False).indices
    worst = int(looked_at[torch.argmax(scaled[looked_at, 0])])
    margins, chosen = lower[:, ctx.constrained] - ctx.thresholds, ctx.constrained
    if not chosen:
        return worst, 0
    threatening = torch.where(margins < width[:, chosen], scaled[:, chosen], -torch.inf)
    place = int(torch.argmax(threatening))
    scenario, constraint = divmod(place, len(chosen))
    if float(threatening[scenario, constraint]) > float(scaled[worst, 0]):
        return scenario, chosen[constraint]
    return worst, 0


def next_scenarios(ctx: ScenarioContext, x: Float[Tensor, " d"], walks: int) -> list[tuple[int, int]]:
    """Scenarios to walk at chosen gains, each chosen as if those before it had shown the present means.

    They end before `walks` of them where one that is walked already would tell most.
    """
    found: list[tuple[int, int]] = []
    inputs = ctx.stacked(x.unsqueeze(0))
    while len(found) < walks:
        scenario, function = next_scenario(ctx, x)
        if any(scenario == known for known, _ in found):
            break
        found.append((scenario, function))
        ctx = replace(ctx, fantasized=ctx.fantasized.fantasized(inputs[scenario : scenario + 1]))
    return found


def scenario_contexts(
    context: Float[Tensor, " c"], features: Sequence[Float[Tensor, " f"]]
) -> Float[Tensor, "s C"]:
    """A context with the features of every scenario appended."""
    return torch.stack([torch.cat([context, each]) for each in features])
