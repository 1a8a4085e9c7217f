"""The declared kernel over the columns of the unit cube: lengthscales, periods and structure. Loads no torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from safebo.boundary.kernels import radial_kernel
from safebo.study import ContextVariable, Parameter, Study
from safebo.study.axis import Axis
from safebo.study.scenarios import modelled_features
from safebo.study.space import Space

Columns = tuple[int, ...]
Terms = tuple[tuple[Columns, ...], ...]
"""A sum (outer) of products (inner) of kernels over groups of columns, all terms with equal weights."""


@dataclass(frozen=True)
class PriorKernel:
    """The correlation that a study declares of all functions: gains first, then context variables, then the features of
    scenarios that are walked one by one.

    Args:
        kind: name of the radial kernel.
        lengthscale: of every column, in the unit cube.
        period: likewise, infinite where there is none.
        terms: structure over groups of columns; None for one kernel over all of them.
    """

    kind: str
    lengthscale: tuple[float, ...]
    period: tuple[float, ...]
    terms: Terms | None

    @classmethod
    def of_study(cls, study: Study) -> PriorKernel:
        """As the study declares it."""
        spec = study.surrogate
        axes: list[Parameter | ContextVariable] = [*study.parameters, *study.context.variables]
        default = [spec.lengthscale] * len(study.parameters)
        default += [spec.context_lengthscale] * len(study.context.variables)
        widths = [Axis.of_parameter(p).width for p in study.parameters] + [1] * len(study.context.variables)
        lengthscale, period = [], []
        for axis, declared, width in zip(axes, default, widths, strict=True):
            lengthscale += [axis.lengthscale or declared] * width
            period += [
                math.inf if axis.period is None else axis.period / (axis.bounds[1] - axis.bounds[0])
            ] * width
        for feature in modelled_features(study).values():
            lengthscale.append(feature.lengthscale or spec.context_lengthscale)
            period.append(math.inf)
        return cls(spec.kernel, tuple(lengthscale), tuple(period), kernel_terms(study))

    def scaled(self, factor: float) -> PriorKernel:
        """The same with all lengthscales times a factor."""
        return replace(self, lengthscale=tuple(scale * factor for scale in self.lengthscale))

    def correlation(self, difference: Sequence[float]) -> float:
        """Of one function at two points whose columns differ so; columns that are left out are equal.

        As `safebo.models.kernels.StationaryKernel` has it: a periodic column is a point on a circle.
        """
        scaled = [
            self._chord(d, p) / scale
            for d, p, scale in zip(difference, self.period, self.lengthscale, strict=False)
        ]
        terms = self.terms or ((tuple(range(len(scaled))),),)
        return sum(math.prod(self._radial(scaled, group) for group in groups) for groups in terms) / len(
            terms
        )

    def _radial(self, scaled: Sequence[float], group: Columns) -> float:
        distance = math.hypot(*(scaled[i] for i in group if i < len(scaled)))
        return float(radial_kernel(self.kind).correlation(distance, math))

    @staticmethod
    def _chord(difference: float, period: float) -> float:
        if math.isinf(period):
            return abs(difference)
        return period / math.pi * abs(math.sin(math.pi * difference / period))


def kernel_terms(study: Study) -> Terms | None:
    """The study's kernel structure over columns, gains first; None for one kernel over all of them."""
    spec = study.surrogate
    space = Space.of_parameters(study)
    columns = dict(zip(space.names, (range(c.start, c.stop) for c in space.columns), strict=True))
    gains = tuple(range(space.dimension))
    beside = len(study.context.variables) + len(modelled_features(study))
    context = tuple(range(len(gains), len(gains) + beside))
    if spec.structure == "product" and context:
        return ((gains, context),)
    if spec.structure == "sum" and context:
        return ((gains,), (context,))
    if spec.structure == "additive":
        named = spec.groups or [[name] for name in space.names]
        groups = [tuple(sorted(column for name in group for column in columns[name])) for group in named]
        return tuple((group, context) if context else (group,) for group in groups)
    return None
