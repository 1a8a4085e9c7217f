"""When a foot really stands: early and late contact against the clock of the gait.

The gait says when a foot should touch down. Where the floor is higher or lower than it was, a foot touches earlier or
later, and a controller that goes by the clock pushes into the floor or counts on a foot in the air. With contact that
adapts, every leg is in one of five modes:

    SWING    as planned; a touch in its second half and clearly before the planned touchdown makes it EARLY
    ASSUMED  stands as planned, touch not felt yet: STANCE once it is; LATE where it is not after a grace
    STANCE   as planned, until the clock lifts the foot
    EARLY    stands before its time, where it touched; LATE where the touch is lost, STANCE at the planned touchdown
    LATE     should stand and does not: it goes straight down, at a bounded speed and not deeper than a bound under the
             planned touchdown, and carries nothing; once it touches it stands

A leg in ASSUMED, STANCE or EARLY is counted on, by the predictive and by the whole-body control; in SWING and LATE it
follows a path. The clock alone lifts feet.

A foot that touches early or late, or clearly beside the height that was planned, remembers how high the floor is there:
its next swing ends there, swings that come up from behind clear it, and the estimator knows it. Heights count from the
mean of the four, so that the trunk keeps its height over the feet.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from safebo.boundary.compiled import njit_no_alloc
from safebo.robots.descriptions.robot import RobotSize
from safebo.robots.quadruped.gait import GaitTiming, contact
from safebo.types import BoolArray, FloatArray, IntArray

SWING, ASSUMED, STANCE, EARLY, LATE = range(5)
"""Modes of a leg."""


class ContactRules(NamedTuple):
    """How contact adapts; lengths and speeds are those of a Go1.

    Args:
        adaptive: whether it does; otherwise feet stand by the clock.
        earliest: share of the swing before which no touch counts: the foot may still scuff.
        clear: share of the swing, at its end, in which a touch is no early one.
        grace: time for which a foot is counted on from its planned touchdown until it is felt, over that of the swing.
        speed: of a late foot downward, m/s.
        depth: to which it goes under its planned touchdown, m.
        step: by which a height has to differ from the planned one to be remembered, m.
        levelling: time in which heights come to count from the mean of the four, s.
    """

    adaptive: bool = False
    earliest: float = 0.5
    clear: float = 0.15
    grace: float = 0.1
    speed: float = 0.5
    depth: float = 0.1
    step: float = 0.01
    levelling: float = 0.2

    def to_scale(self, size: RobotSize) -> ContactRules:
        """The same for legs of another length l over a Go1's: speeds go with its root."""
        root = size.length**0.5
        return self._replace(
            speed=self.speed * root,
            depth=self.depth * size.length,
            step=self.step * size.length,
            levelling=self.levelling * root,
        )


class Contacts(NamedTuple):
    """What is known of the contacts of four legs.

    Args:
        mode: `SWING`, `ASSUMED`, `STANCE`, `EARLY` or `LATE`, `4`.
        planned: whether the clock had it stand in the last tick, `4`.
        progress: share of the planned stance or swing that was over then, 0 to 1, `4`.
        known: of which feet what is felt counts; the others stand by the clock, on a floor as high as the mean, `4`.
        touching: which feet are felt to touch, `4`.
        empty: which feet are felt to carry nothing, `4`.
        free: which feet have been felt to be off the floor in this swing, `4`.
        held: s since the touch, `4`.
        lowered: height to which a late foot has been led, m, `4`.
        ground: height of the floor at every foot's last contact, in the estimator's world, m, `4`.
        lift: by which the apex of a swing is raised, m, `4`.
        level: height in the estimator's world from which those of the plan count, m, `1`.
    """

    mode: IntArray
    planned: BoolArray
    progress: FloatArray
    known: BoolArray
    touching: BoolArray
    empty: BoolArray
    free: BoolArray
    held: FloatArray
    lowered: FloatArray
    ground: FloatArray
    lift: FloatArray
    level: FloatArray

    @classmethod
    def standing(cls) -> Contacts:
        """All feet on a level floor."""
        yes, no = np.ones(4, np.bool_), np.zeros(4, np.bool_)
        numbers = np.zeros(4), np.zeros(4), np.zeros(4), np.zeros(4), np.zeros(1)
        flags = yes.copy(), yes.copy(), no, no.copy()
        return cls(np.full(4, STANCE), yes, np.zeros(4), *flags, *numbers)

    def reset(self) -> None:
        """Stand on a level floor again."""
        for part, value in zip(self, Contacts.standing(), strict=True):
            part[:] = value


@njit_no_alloc
def next_mode(
    mode: int,
    was_planned: bool,
    planned: bool,
    progress: float,
    waited: float,
    touching: bool,
    empty: bool,
    free: bool,
    known: bool,
    rules: ContactRules,
) -> int:
    """The mode of a leg in this tick, from that of the last one.

    Args:
        mode: of the last tick.
        was_planned: whether the clock had the foot stand then.
        planned: whether it has it stand now.
        progress: share of the planned stance or swing that is over, 0 to 1.
        waited: time since the planned touchdown over the swing's duration; counts where the clock has it stand.
        touching: whether the foot is felt to touch.
        empty: whether it is felt to carry nothing.
        free: whether it has been felt to be off the floor in this swing.
        known: whether what is felt of it counts.
        rules: how contact adapts.
    """
    if not (rules.adaptive and known):
        return STANCE if planned else SWING
    if planned:
        if mode in (STANCE, EARLY) or touching:
            return STANCE
        if mode == LATE or (waited > rules.grace and empty):
            return LATE
        return ASSUMED
    if was_planned:
        return SWING
    if mode == SWING:
        due = rules.earliest <= progress <= 1.0 - rules.clear
        return EARLY if due and touching and free else SWING
    return EARLY if touching else LATE


@njit_no_alloc
def counted_on(mode: int) -> bool:
    """Whether a leg of a mode stands: it may be loaded, and follows no path."""
    return mode in (STANCE, ASSUMED, EARLY)


@njit_no_alloc(forceinline=True)
def advance_contact(
    time: float, leg: int, gait: GaitTiming, period: float, rules: ContactRules, contacts: Contacts
) -> float:
    """Move a leg on by one tick; returns the share of its planned stance or swing that is over, 0 to 1."""
    planned, progress = contact(time, leg, gait)
    before, was_planned, touching = contacts.mode[leg], contacts.planned[leg], contacts.touching[leg]
    duty = gait.duty[leg]
    waited = progress * duty / (1.0 - duty) if duty < 1.0 else 0.0
    free = (contacts.free[leg] or not touching) and not (planned or was_planned)
    empty, known = contacts.empty[leg], contacts.known[leg]
    mode = next_mode(before, was_planned, planned, progress, waited, touching, empty, free, known, rules)
    stands = mode in (STANCE, EARLY)
    stood = before in (STANCE, EARLY)
    contacts.held[leg] = contacts.held[leg] + period if stands and stood else 0.0
    contacts.mode[leg], contacts.planned[leg], contacts.free[leg] = mode, planned, free
    contacts.progress[leg] = progress
    return progress


@njit_no_alloc(forceinline=True)
def remember_height(leg: int, before: int, height: float, rules: ContactRules, contacts: Contacts) -> None:
    """Remember how high the floor is under a foot that has just been felt to touch.

    Args:
        leg: which, in the mode of now.
        before: its mode of the last tick.
        height: of the floor by the foot, m, counted from the level.
        rules: by how much it has to differ.
        contacts: its `ground` is written.
    """
    mode = contacts.mode[leg]
    felt = (mode == STANCE and before in (ASSUMED, LATE)) or (mode == EARLY and before != EARLY)
    found = contacts.level[0] + height
    if felt and abs(found - contacts.ground[leg]) > rules.step:
        contacts.ground[leg] = found


@njit_no_alloc(forceinline=True)
def raise_swing(
    leg: int,
    start: FloatArray,
    target: FloatArray,
    places: FloatArray,
    rules: ContactRules,
    contacts: Contacts,
) -> None:
    """Write by how much a swing that begins is to be higher: what it needs over the floor that feet ahead of it found.

    Args:
        leg: which.
        start: of its swing `3`, m.
        target: of its swing `3`, m.
        places: where every foot stands or will land, `4 x 3`, m.
        rules: how far a swing is raised at most.
        contacts: heights of the floor; its `lift` is written.
    """
    ground, lift = contacts.ground, 0.0
    x, y = target[0] - start[0], target[1] - start[1]
    for other in range(4):
        ahead = (places[other, 0] - start[0]) * x + (places[other, 1] - start[1]) * y
        if other != leg and ahead > 0.0:
            lift = max(lift, ground[other] - ground[leg])
    contacts.lift[leg] = min(lift, rules.depth)


@njit_no_alloc
def lower(
    leg: int,
    height: float,
    planned: float,
    begins: bool,
    period: float,
    rules: ContactRules,
    lowered: FloatArray,
) -> float:
    """Lead a late foot down by one tick, in `lowered`; returns its wanted speed, m/s, which is not positive.

    Args:
        leg: which.
        height: of the foot, m.
        planned: height of its planned touchdown, m.
        begins: whether this is its first tick in that mode.
        period: of a tick, s.
        rules: bounds of speed and depth.
        lowered: height to which it is led, m, `4`; out.
    """
    if begins:
        lowered[leg] = height
        return 0.0
    lowest = planned - rules.depth
    if lowered[leg] <= lowest:
        return 0.0
    lowered[leg] = max(lowest, lowered[leg] - rules.speed * period)
    return -rules.speed


@njit_no_alloc(forceinline=True)
def trusted_phases(time: float, gait: GaitTiming, contacts: Contacts, out: FloatArray) -> None:
    """What `gait.stance_phases` says, of feet that stand early or late: how far they are through their stance, 0 to 1.

    A foot is trusted by the share of a stance for which it has stood and by that for which it still will; not while it
    is led down, hardly while it is not felt.
    """
    for leg in range(4):
        planned, progress = contact(time, leg, gait)
        mode = contacts.mode[leg]
        stood = contacts.held[leg] / (gait.duty[leg] * gait.stride[leg])
        if time < 0.0 or gait.duty[leg] >= 1.0:
            out[leg] = progress
        elif planned:
            if mode == LATE:
                out[leg] = -1.0
            else:
                out[leg] = progress if stood > 1.0 - progress else min(0.5, stood)
        else:
            out[leg] = min(0.5, stood) if mode == EARLY and not contacts.planned[leg] else -1.0


@njit_no_alloc(forceinline=True)
def count_from_mean(period: float, rules: ContactRules, contacts: Contacts) -> float:
    """Move `level` towards the mean height of the ground; returns by how much it rose, m.

    The height under a foot of which nothing is known comes to be the level.
    """
    ground, share = contacts.ground, min(1.0, period / rules.levelling)
    for leg in range(4):
        if not contacts.known[leg]:
            ground[leg] += share * (contacts.level[0] - ground[leg])
    mean = 0.25 * (ground[0] + ground[1] + ground[2] + ground[3])
    rise = share * (mean - contacts.level[0])
    contacts.level[0] += rise
    return rise
