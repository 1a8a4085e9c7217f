"""Whether a task can be what it says: its numbers, its start, and its functions where they are looked at."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import chain
from numbers import Integral
from typing import Any

import numpy as np

from safebo.errors import InputError
from safebo.experiments.tasks.task import KERNEL_KINDS, FloatArray, Task

PROBES = 64
"""Points of the box at which the functions are looked at."""
MAX_GRID = 1_000_000
"""Points of a grid: a sweep holds the truth and the bounds of all of them."""


def checked(task: Task, seed: int) -> Task:
    """The task, if a run with that seed can begin.

    Raises:
        InputError: with the entry, its value and what is allowed.
    """
    for why in chain(_wrong_numbers(task), _wrong_functions(task, seed)):
        raise InputError(f"task {task.name}: {why}")
    return task


def _wrong_numbers(task: Task) -> Iterator[str]:
    """What is wrong with the entries themselves, in an order in which the next one may rest on the last."""
    box = task.bounds
    if not isinstance(box, np.ndarray) or box.ndim != 2 or len(box) != 2 or not box.size:
        yield f"`bounds` is an array 2 x d, lowest inputs in its first row and highest in its second; got {box!r}"
    if not np.isfinite(box).all() or not (box[0] < box[1]).all():
        yield f"`bounds` need each lowest input below its highest, all finite; got {box[0]} to {box[1]}"
    for kernel in task.kernels:
        if kernel.kind not in KERNEL_KINDS:
            yield f"`kernels`: kind {kernel.kind!r} is not known; choose from {', '.join(KERNEL_KINDS)}"
        if not _all_positive((kernel.lengthscale, kernel.variance)):
            yield f"`kernels`: lengthscale and variance are greater than 0; got {kernel}"
    if not np.isfinite(task.prior_means).all():
        yield f"`prior_means` are finite; got {task.prior_means}"
    for name, values in (("noise_std", task.noise_std), ("beta", task.beta)):
        if not _all_positive(values):
            yield f"`{name}`: all are greater than 0; got {values}"
    if any(math.isnan(h) or h == math.inf for h in task.thresholds):
        yield f"`thresholds` are numbers, or UNCONSTRAINED; got {task.thresholds}"
    if not _whole(task.trials, 1):
        yield f"`trials` is a whole number from 1; got {task.trials!r}"
    if task.noise is not None and not (min(task.noise.std) >= 0 and task.noise.degrees_of_freedom > 2):
        yield f"`noise` needs `std` from 0 and `degrees_of_freedom` above 2; got {task.noise}"
    if task.lattice is not None:
        if len(task.lattice) != task.dimension or not all(_whole(count, 2) for count in task.lattice):
            yield f"`lattice` has {task.dimension} whole numbers from 2, one per input; got {task.lattice}"
        if math.prod(task.lattice) > MAX_GRID:
            yield f"`lattice` gives {math.prod(task.lattice):,} points; at most {MAX_GRID:,} are allowed"


def _wrong_functions(task: Task, seed: int) -> Iterator[str]:
    """What is wrong with the start of a run and with the truth, at the start and at random points."""
    start: Any = task.start(seed)
    if (
        not isinstance(start, np.ndarray)
        or start.ndim != 2
        or start.shape[1] != task.dimension
        or not len(start)
    ):
        yield f"`start({seed})` is an array k x {task.dimension} of at least one point; got {start!r}"
    if not ((start >= task.bounds[0]) & (start <= task.bounds[1])).all():  # nan is in no box
        yield f"`start({seed})` lies outside `bounds` {task.bounds[0]} to {task.bounds[1]}; got {start.tolist()}"
    points = np.concatenate([start, _points(task)])
    truth: Any = task.values(points)
    wanted = (len(points), len(task.kernels))
    if not isinstance(truth, np.ndarray) or truth.shape != wanted:
        yield f"`functions` of inputs {points.shape} give values {wanted}, one column per kernel; got {np.shape(truth)}"
    if not np.isfinite(truth).all():
        where = points[~np.isfinite(truth).all(-1)][0]
        yield f"`functions` are finite all over `bounds`; at {where.tolist()} they are {task.values(where)[0].tolist()}"
    unsafe = task.violated(truth)
    if unsafe[: len(start)].any():
        x, values = (rows[: len(start)][unsafe[: len(start)]][0].tolist() for rows in (points, truth))
        yield f"`start({seed})` must be safe by the truth; at {x} it is {values}, thresholds {task.thresholds}"
    best = float(truth[~unsafe, 0].max())
    if (
        task.lattice is None
        and task.known_optimum is not None
        and best > task.known_optimum + 1e-6 * abs(best)
    ):
        yield f"`known_optimum` {task.known_optimum} is less than {best:.6g}, a safe input's objective"


def _points(task: Task) -> FloatArray:
    """Where the truth is looked at: points of the grid where there is one, for a function may be known there alone."""
    rng = np.random.default_rng(0)
    if task.lattice is not None:
        return task.grid[rng.permutation(len(task.grid))[:PROBES]]
    low, high = task.bounds
    return np.asarray(low + (high - low) * rng.random((PROBES, task.dimension)))


def _all_positive(values: tuple[float, ...]) -> bool:
    return all(0 < value < math.inf for value in values)


def _whole(value: Any, least: int) -> bool:
    return isinstance(value, Integral) and int(value) >= least
