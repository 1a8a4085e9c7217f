"""The parts of a safe set: connected regions on a grid of two gains, what each is worth, how far they lie apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from safebo.study import Parameter
from safebo.types import FloatArray


@dataclass(frozen=True)
class SafeRegion:
    """One connected part of the safe set.

    Args:
        label: in the label image, from 1.
        share: of the box, by area of the unit square.
        best_objective: noise-free.
        best_gains: where it is, one number per axis.
        best_margin: largest margin.
        holds_seed: whether the seed lies in it.
    """

    label: int
    share: float
    best_objective: float
    best_gains: tuple[float, float]
    best_margin: float
    holds_seed: bool


@dataclass(frozen=True)
class Landscape:
    """Smallest margin, objective and region label on a grid, each `n x m`; label 0 is unsafe.

    Args:
        axes: values of the two gains, `n` and `m`, even on the gains' own scales.
        logs: whether those are logarithmic.
        margin: safe where at least 0.
        objective: NaN where there is none.
        labels: of the regions, neighbours share an edge.
        regions: by label.
    """

    axes: tuple[FloatArray, FloatArray]
    logs: tuple[bool, bool]
    margin: FloatArray
    objective: FloatArray
    labels: NDArray[np.int64]
    regions: tuple[SafeRegion, ...]

    def region_of(self, *gains: float) -> int:
        """Label of the grid point next to two gains."""
        return int(self.labels[nearest(self.axes, self.logs, gains)])

    @property
    def seed_region(self) -> SafeRegion:
        """The region that holds the seed."""
        return next(region for region in self.regions if region.holds_seed)

    @property
    def best_region(self) -> SafeRegion:
        """The region with the best objective."""
        return max(self.regions, key=lambda region: region.best_objective)

    def gap(self, first: int, second: int) -> float:
        """Smallest distance between two regions, in the unit square."""
        steps = np.array([len(axis) - 1.0 for axis in self.axes])
        distance = ndimage.distance_transform_edt(self.labels != first, sampling=1.0 / steps)
        return float(distance[self.labels == second].min())


def axis_of(parameter: Parameter, points: int) -> FloatArray:
    """Values of a gain over its bounds, even on its scale."""
    spaced = np.geomspace if parameter.scale == "log" else np.linspace
    return np.asarray(spaced(*parameter.bounds, points))


def nearest(
    axes: tuple[FloatArray, FloatArray], logs: tuple[bool, bool], gains: tuple[float, ...]
) -> tuple[int, int]:
    """Place on the grid next to two gains, by the distance on their scales."""
    first, second = (
        int(np.abs(np.log(axis / gain) if log else axis - gain).argmin())
        for axis, log, gain in zip(axes, logs, gains, strict=True)
    )
    return first, second


def landscape_of(
    axes: tuple[FloatArray, FloatArray],
    logs: tuple[bool, bool],
    margin: FloatArray,
    objective: FloatArray,
    seed: tuple[float, ...],
) -> Landscape:
    """The landscape of margins and objectives on a grid.

    Args:
        axes: values of the two gains, `n` and `m`.
        logs: whether their scales are logarithmic.
        margin: smallest margin, `n x m`.
        objective: the same.
        seed: two gains.
    """
    labels, count = ndimage.label(margin >= 0)
    at_seed = labels[nearest(axes, logs, seed)]
    regions = []
    for label in range(1, count + 1):
        inside = labels == label
        best = np.unravel_index(np.where(inside, objective, -np.inf).argmax(), objective.shape)
        regions.append(
            SafeRegion(
                label=label,
                share=float(inside.mean()),
                best_objective=float(objective[best]),
                best_gains=(float(axes[0][best[0]]), float(axes[1][best[1]])),
                best_margin=float(margin[inside].max()),
                holds_seed=bool(at_seed == label),
            )
        )
    return Landscape(axes, logs, margin, objective, labels, tuple(regions))
