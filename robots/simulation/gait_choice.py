"""Which changes of gait a table allows, from tried ones, and how often those it allows fall.

Of one change, speed and phase there are few tries. So the share of tries that were lost is drawn towards that of the
next larger group, by as much as `STRENGTH` tries weigh: all phases of a change at a speed, all changes into a gait at
that speed, all tries. A change is allowed up to the greatest speed at and under which the share is at most the risk, or
that of the old gait under the same kicks without a change, where that is more: there, to refuse a change saves nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from itertools import permutations
from typing import Any

from scipy.stats import beta

from safebo.robots.descriptions.model import RobotModel
from safebo.robots.quadruped.gait import robot_gait
from safebo.robots.quadruped.gait_table import AllowedChange, GaitTable, digest
from safebo.robots.simulation.gait_trials import ChangePlan, TriedChange

STRENGTH = 4.0
"""Tries that a larger group weighs as much as."""
RESERVE = 0.1
"""A try that left less than this of the way to a fall counts as lost."""
RISK = 0.03
"""Share of tries that may be lost, if nothing else is asked for."""
SURE = 0.95
"""Confidence of the bound on falls."""

Speeds = dict[tuple[str, str], tuple[float, ...]]


def lost_shares(tries: Sequence[TriedChange]) -> dict[tuple[str, str, float, int], float]:
    """Share of changes that are lost, by old gait, new gait, speed and part of the stride."""
    tries = [one for one in tries if one.old != one.new]
    counts: dict[tuple[Any, ...], list[int]] = {}
    for one in tries:
        for key in _groups(one.old, one.new, one.speed, one.part):
            count = counts.setdefault(key, [0, 0])
            count[0] += one.margin < RESERVE
            count[1] += 1
    shares = {}
    for one in tries:
        share = 0.5
        for key in _groups(one.old, one.new, one.speed, one.part):
            lost, of = counts[key]
            share = (lost + STRENGTH * share) / (of + STRENGTH)
        shares[one.old, one.new, one.speed, one.part] = share
    return shares


def lost_anyway(tries: Sequence[TriedChange]) -> dict[tuple[str, float], float]:
    """Share of tries without a change that are lost, by gait and speed: at that speed and at all that are faster.

    A change at a speed is made by robots that walked as fast, or that slow down for it.
    """
    without = [one for one in tries if one.old == one.new]
    every = [one.margin < RESERVE for one in without]
    shares = {}
    for gait, speed in {(one.old, one.speed) for one in without}:
        lost = [one.margin < RESERVE for one in without if one.old == gait and one.speed >= speed]
        shares[gait, speed] = (sum(lost) + STRENGTH * sum(every) / len(every)) / (len(lost) + STRENGTH)
    return shares


def _groups(old: str, new: str, speed: float, part: int) -> tuple[tuple[Any, ...], ...]:
    """The groups of a try, from all tries to those like it."""
    return (), (new, speed), (new, speed, old), (new, speed, old, part)


def allowed_speeds(tries: Sequence[TriedChange], plan: ChangePlan, risk: float) -> Speeds:
    """Greatest speed of every change in every part of the stride, 0 for none."""
    shares, anyway = lost_shares(tries), lost_anyway(tries)
    found: Speeds = {}
    for old, new in permutations(plan.gaits, 2):
        best = []
        for part in range(plan.phases):
            fastest = 0.0
            for speed in plan.speeds:
                if shares.get((old, new, speed, part), 1.0) > max(risk, anyway.get((old, speed), 0.0)):
                    break
                fastest = speed
            best.append(fastest)
        found[old, new] = tuple(best)
    return found


def checked(tries: Sequence[TriedChange], plan: ChangePlan, risk: float) -> dict[str, float]:
    """How often changes fall that were allowed by the other half of the tries: of walks with even and odd numbers."""
    halves = [[one for one in tries if one.walk % 2 == half] for half in (0, 1)]
    falls = [
        one.fell
        for half in (0, 1)
        for allowed in [allowed_speeds(halves[1 - half], plan, risk)]
        for one in halves[half]
        if one.old != one.new and one.speed <= allowed[one.old, one.new][one.part]
    ]
    k, n = sum(falls), len(falls)
    most = 1.0 if k == n else float(beta.ppf(SURE, k + 1, n - k))
    return {"tries": n, "falls": k, "most": round(most, 4)}


def _falls(tries: Iterable[TriedChange]) -> dict[str, int]:
    fell = [one.fell for one in tries]
    return {"tries": len(fell), "falls": sum(fell)}


def gait_table(
    robot: RobotModel, gains: Mapping[str, float], plan: ChangePlan, tries: Sequence[TriedChange], risk: float
) -> GaitTable:
    """The table of a robot from tried changes.

    Args:
        robot: that was tried.
        gains: with which.
        plan: of the tries.
        tries: see `tried_changes`.
        risk: largest share of tries that may be lost.

    Raises:
        ValueError: a risk outside 0 to 1.
    """
    if not 0.0 < risk < 1.0:
        raise ValueError(f"the risk must be between 0 and 1, got {risk:g}")
    changes, shares = {}, lost_shares(tries)
    for pair, speeds in allowed_speeds(tries, plan, risk).items():
        own = [one for one in tries if (one.old, one.new) == pair]
        left = [one.margin for one in own if not one.fell]
        slowest = min((one.speed for one in own), default=0.0)
        lost = min((share for key, share in shares.items() if key[:3] == (*pair, slowest)), default=1.0)
        changes[pair] = AllowedChange(
            speeds,
            len(own),
            sum(one.fell for one in own),
            round(min(left, default=0.0), 3),
            round(lost, 4),
        )
    anyway = {gait: _falls(one for one in tries if one.old == one.new == gait) for gait in plan.gaits}
    told = {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(plan).items()}
    made_from = {"robot": digest(robot.mjcf), "gains": digest(dict(gains)), **told, "risk": risk}
    made_from["without_a_change"] = anyway
    gaits = {name: robot_gait(robot, name) for name in plan.gaits}
    return GaitTable(robot.name, gaits, changes, made_from, checked(tries, plan, risk))
