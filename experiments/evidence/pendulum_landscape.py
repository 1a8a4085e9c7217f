"""Brute-force landscape of the study `pendulum`: its safe islands, and the constants of its boundary condition.

`python -m safebo.experiments.evidence.pendulum_landscape [--out PNG] [--points 401] [--constants]` evaluates
every pair of gains on a grid over the study's box without noise, labels the connected parts of the safe set (neighbours
share an edge), and prints each: its share of the box, its best objective, whether the seed lies in it.

`--constants` measures, by rollouts from a grid of states, what the study declares: the Lipschitz constant of
the margin in the state and the bound on the state's motion in one control period.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from safebo.boundary.compiled import njit
from safebo.experiments.evidence.regions import Landscape, axis_of, landscape_of
from safebo.robots.benchmarks.pendulum.dynamics import (
    acceleration,
    landscape,
    largest_speed_and_cost,
    motor_torque,
    trajectory,
)
from safebo.robots.benchmarks.pendulum.evaluator import PendulumEvaluator
from safebo.study import Study
from safebo.study.reading import load_study

FloatArray = NDArray[np.float64]


def load() -> tuple[Study, PendulumEvaluator]:
    """The shipped study and its evaluator."""
    study = load_study("pendulum").study
    return study, PendulumEvaluator(study.evaluator.options)


def gain_axes(study: Study, points: int) -> tuple[FloatArray, FloatArray]:
    """The grid's two axes, over the study's box."""
    kp, kd = study.parameters
    return axis_of(kp, points), axis_of(kd, points)


def brute_force(points: int = 401) -> Landscape:
    """The landscape of the shipped study on a `points x points` grid."""
    study, evaluator = load()
    kp, kd = gain_axes(study, points)
    speed, cost = landscape(kp, kd, evaluator.pendulum.start, evaluator.pendulum.constants())
    margin, objective = evaluator.speed_limit - speed, -cost
    seed = study.seeds[0].parameters
    return landscape_of((kp, kd), (False, False), margin, objective, (seed["kp"], seed["kd"]))


@njit(cache=True)
def _lipschitz_constant(
    kp: float,
    kd: float,
    limit: float,
    states: FloatArray,
    scale: FloatArray,
    start: FloatArray,
    c: FloatArray,
) -> float:
    path = trajectory(kp, kd, start, c)
    margin = limit - np.abs(path[:, 1]).max()
    half = c.copy()
    half[11] = (len(path)) // 2
    largest = 0.0
    for i in range(len(states)):
        nearest = 1e300
        for j in range(0, len(path) - int(half[11]), 10):
            a = (states[i, 0] - path[j, 0]) / scale[0]
            b = (states[i, 1] - path[j, 1]) / scale[1]
            nearest = min(nearest, a * a + b * b)
        speed, _ = largest_speed_and_cost(kp, kd, states[i], half)
        # Where the gains fail, the bound has only to be down to 0 there.
        loss = margin - max(limit - speed, 0.0)
        if loss > 0.0:
            largest = max(largest, loss / np.sqrt(nearest))
    return largest


def measured_lipschitz(gains_per_axis: int = 37, states_per_axis: int = 41) -> FloatArray:
    """For every safe pair of gains on a grid, the least L with `q(s) >= q - L dist(s, path)` where that is > 0.

    `q` is the margin of the trial from the start and `path` the states that the evaluator reports of it;
    `q(s)` is the margin over half a trial started at s, as long as a backup lasts. States range over every
    angle within 1.5 rad of the start and all speeds within the limit. This is what the boundary condition
    needs: a state is let pass only where `l - L (distance + Xi) >= 0`.
    """
    study, evaluator = load()
    kp, kd = gain_axes(study, gains_per_axis)[0], gain_axes(study, (gains_per_axis + 1) // 4)[1]
    c, start, limit = evaluator.pendulum.constants(), evaluator.pendulum.start, evaluator.speed_limit
    speed, _ = landscape(kp, kd, start, c)
    angles = np.linspace(start[0] - 1.5, start[0] + 1.5, states_per_axis)
    speeds = np.linspace(-limit, limit, states_per_axis // 2 + 1)
    states = np.array([(a, v) for a in angles for v in speeds])
    scale = np.array([study.tuner.backup.state_scale["angle"], study.tuner.backup.state_scale["speed"]])
    return np.array(
        [
            _lipschitz_constant(kp[i], kd[j], limit, states, scale, start, c)
            for i, j in np.argwhere(speed <= limit)
        ]
    )


def measured_inter_sample(points: int = 21) -> float:
    """Largest scaled distance that the state moves in one control period.

    Over the corners and a grid of the gains and all states within the largest covering radius, margin over
    declared L, of a state that some safe gains visit: nowhere else does a trial go on.
    """
    study, evaluator = load()
    c, start, limit = evaluator.pendulum.constants(), evaluator.pendulum.start, evaluator.speed_limit
    backup = study.tuner.backup
    kp, kd = gain_axes(study, points)[0], gain_axes(study, 5)[1]
    speed, _ = landscape(kp, kd, start, c)
    paths = [
        (limit - speed[i, j], trajectory(kp[i], kd[j], start, c)) for i, j in np.argwhere(speed <= limit)
    ]
    scale = np.array([backup.state_scale["angle"], backup.state_scale["speed"]])
    largest = 0.0
    for angle in np.linspace(start[0] - 1.5, start[0] + 1.5, 2 * points):
        for rate in np.linspace(-limit, limit, 2 * points):
            near = any(
                float((((path[::10] - [angle, rate]) / scale) ** 2).sum(1).min())
                <= (q / backup.lipschitz) ** 2
                for q, path in paths
            )
            if not near:
                continue
            for p in kp:
                for d in (kd[0], kd[-1]):
                    torque = motor_torque(angle, rate, p, d, c)
                    a = acceleration(angle, rate, torque, c)
                    largest = max(largest, float(np.hypot(rate / scale[0], a / scale[1])))
    return largest * evaluator.pendulum.control_period


def picture(shown: Landscape, path: Path) -> None:
    """Margin and objective over the gains, the safe set's boundary, the seed and the best of each region."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    study, _ = load()
    seed, (kp, kd) = study.seeds[0].parameters, shown.axes
    figure, axes = pyplot.subplots(1, 2, figsize=(12, 4.8), layout="constrained", sharey=True)
    limit = float(np.abs(shown.margin[shown.margin >= 0]).max())
    levels = np.linspace(-limit, limit, 23)
    drawn = axes[0].contourf(kp, kd, shown.margin.T, levels, cmap="RdBu", extend="both")
    figure.colorbar(drawn, ax=axes[0], label="margin: speed limit minus largest |speed| (rad/s)")
    inside = shown.objective[shown.labels > 0]
    levels = np.linspace(float(inside.min()), 0.0, 21)
    drawn = axes[1].contourf(kp, kd, shown.objective.T, levels, cmap="viridis", extend="min")
    figure.colorbar(drawn, ax=axes[1], label="objective")
    for axis in axes:
        axis.contour(kp, kd, shown.margin.T, [0.0], colors="black", linewidths=1.5)
        axis.plot(seed["kp"], seed["kd"], "o", color="white", markeredgecolor="black", label="seed")
        for region in shown.regions:
            axis.plot(*region.best_gains, "*", markersize=14, color="orange", markeredgecolor="black")
        axis.set_xlabel("kp (N m/rad)")
    axes[0].set(ylabel="kd (N m s/rad)", title="safe where blue; black: margin 0")
    axes[1].set_title("stars: best of each island")
    axes[0].legend(loc="lower left")
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def main(
    out: Annotated[Path | None, typer.Option(help="write a picture (PNG)")] = None,
    points: Annotated[int, typer.Option(help="grid points per gain")] = 401,
    constants: Annotated[
        bool, typer.Option("--constants", help="measure L and Xi of the boundary condition")
    ] = False,
) -> None:
    """Print the islands; draw them; measure the constants."""
    shown = brute_force(points)
    for r in shown.regions:
        print(
            f"region {r.label}: {100 * r.share:.1f} % of the box, best objective {r.best_objective:.3f} at "
            f"kp {r.best_gains[0]:.2f}, kd {r.best_gains[1]:.2f}, largest margin {r.best_margin:.2f} rad/s"
            + (", holds the seed" if r.holds_seed else "")
        )
    if len(shown.regions) == 2:
        print(f"gap between the two: {shown.gap(1, 2):.3f} of the unit box")
    if constants:
        slopes = measured_lipschitz()
        backup = load()[0].tuner.backup
        print(
            f"L over {len(slopes)} safe gains: median {np.median(slopes):.2f}, 95 % "
            f"{np.quantile(slopes, 0.95):.2f}, largest {slopes.max():.2f}; declared {backup.lipschitz:g}"
        )
        print(f"Xi: {measured_inter_sample():.4f}; declared {backup.inter_sample:g}")
    if out:
        picture(shown, out)
        print(f"picture: {out}")


if __name__ == "__main__":
    typer.run(main)
