"""Slices of the surrogate through one point, along every parameter and over pairs of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from safebo.report.data import Band, Line, Plane, Slices
from safebo.study import Study
from safebo.study.space import Space, WarpMap

FloatArray = NDArray[np.float64]

Predictor = Callable[[FloatArray, str], Mapping[str, Band]]
"""Confidence bounds by function name, in the functions' own units, at rows of raw parameters (`n x d`)."""

LINE_POINTS = 81
PLANE_POINTS = 41
COARSE_PLANE_POINTS = 31
"""Of many planes after more than `MANY` observations, where a bound takes `O(n^2)`."""
MANY = 1000
SINGLE_PLANE_POINTS = 101
"""A plane that fills the page shows its corners at fewer points."""
PLANE_PARAMETERS = 6
"""More would make pictures too small to read; with more parameters the most relevant ones are taken."""


def make_slices(
    study: Study,
    context: str,
    anchor: Mapping[str, Any],
    anchor_kind: str,
    predict: Predictor,
    relevance: Mapping[str, float] | None = None,
    observations: int = 0,
    planes: bool = True,
) -> Slices:
    """Evaluate the surrogate on slices through `anchor`.

    Args:
        study: the study, for bounds and scales.
        context: name of the context.
        anchor: the point that all slices pass through, every parameter in its own unit.
        anchor_kind: what the point is, for people.
        predict: the surrogate.
        relevance: weight of each parameter; decides which ones get planes when there are many.
        observations: how many the surrogate has; see `MANY`.
        planes: whether to make planes too, which take most of the time.
    """
    space = Space.of_parameters(study)
    centre = space.to_unit(space.vector(anchor, within=False))
    lines = tuple(_line(study, context, space, centre, i, predict) for i in _numbers(space))
    if not planes:
        return Slices(dict(anchor), anchor_kind, lines, (), ())
    chosen = _plane_axes(space, relevance or {})
    usual = PLANE_POINTS if observations <= MANY else COARSE_PLANE_POINTS
    count = usual if len(_numbers(space)) > 2 else SINGLE_PLANE_POINTS
    made = tuple(
        _plane(study, context, space, centre, i, j, predict, count) for i, j in combinations(chosen, 2)
    )
    return Slices(dict(anchor), anchor_kind, lines, made, tuple(space.names[i] for i in chosen))


def safety(study: Study, bands: Mapping[str, Band]) -> FloatArray:
    """Smallest lower bound over the constraints, each on its modelled scale from its zero; safe when >= 0.

    Units differ between constraints and the modelled scales are comparable; the sign is that of the smallest
    lower bound in the constraints' own units.
    """
    rows = [np.full(np.shape(bands[study.objective.name].mean), np.inf)]
    for c in study.constraints:
        warp = WarpMap(c.warp.model_copy(update={"clip": 1e6}), c.name)
        rows.append(warp.forward(bands[c.name].lower) - warp.threshold())
    return np.min(rows, axis=0)


def _line(
    study: Study, context: str, space: Space, centre: FloatArray, axis: int, predict: Predictor
) -> Line:
    unit = np.tile(centre, (LINE_POINTS, 1))
    unit[:, space.columns[axis].start] = np.linspace(0.0, 1.0, LINE_POINTS)
    X = space.from_unit(unit)
    bands = predict(X, context)
    return Line(space.names[axis], X[:, axis], dict(bands), safety(study, bands) >= 0)


def _plane(
    study: Study,
    context: str,
    space: Space,
    centre: FloatArray,
    i: int,
    j: int,
    predict: Predictor,
    count: int,
) -> Plane:
    side = np.linspace(0.0, 1.0, count)
    horizontal, vertical = np.meshgrid(side, side)
    unit = np.tile(centre, (count**2, 1))
    unit[:, space.columns[i].start], unit[:, space.columns[j].start] = horizontal.ravel(), vertical.ravel()
    X = space.from_unit(unit)
    bands = predict(X, context)
    shape = (count, count)
    return Plane(
        space.names[i],
        space.names[j],
        X[:count, i],
        X[::count, j],
        safety(study, bands).reshape(shape),
        np.asarray(bands[study.objective.name].mean, dtype=float).reshape(shape),
    )


def _numbers(space: Space) -> list[int]:
    """Axes along which there is a slice: a choice stays at the anchor's, as nothing lies between choices."""
    return [i for i, axis in enumerate(space.axes) if not axis.choices]


def _plane_axes(space: Space, relevance: Mapping[str, float]) -> list[int]:
    ranked = sorted(_numbers(space), key=lambda i: (-relevance.get(space.names[i], 1.0), i))
    return sorted(ranked[:PLANE_PARAMETERS])
