"""Half an hour of a robot's time, trial after trial, with one trouble after the other.

    python -m safebo.experiments.robustness.soak --minutes 30

A virtual Go1 with a body behind its own wire protocol, the real controller, the guardian, its link on a network that
loses, doubles, overtakes and damages packets, and a tuner that runs trials with its journal: all in lock-step, so
every run with a seed is the same. After a trouble: did every promised answer come in time; does the latch hold
against requests for motion until both steps of clearing; does one step alone not do. Then it is cleared, and on it
goes. Beside the guardian an independent checker looks at every tick, with arithmetic of its own. Exit code 1 on
anything missed.
"""

from __future__ import annotations

import math
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from safebo.experiments.robustness.growth import Meter
from safebo.experiments.robustness.guardian import stays
from safebo.experiments.robustness.guardian_world import PERIOD, go1
from safebo.experiments.robustness.robot_run import RobotRun, TrialStory
from safebo.experiments.robustness.soak_troubles import PHYSICAL, RISING, STANDING, STEPPING, Maker, Trouble
from safebo.experiments.robustness.soak_world import SoakWorld
from safebo.hardware.errors import LinkError
from safebo.hardware.guardian.bounds import quadruped_table
from safebo.hardware.guardian.dry_run import warm_up
from safebo.hardware.guardian.staging import GuardedController
from safebo.hardware.guardian.states import LATCHED, State
from safebo.hardware.guardian.walker import QuadrupedWalker
from safebo.hardware.link.client import GuardianClient, RefusedError
from safebo.hardware.link.messages import Code
from safebo.types import NotStartedError

UPRIGHT = 0.9
"""Cosine of the tilt beyond which a person puts the robot down again before anything is cleared."""

BEFORE_WALKING = {State.STANDING_UP: "while the robot got up", State.HOLD: "while it stood, before the walk"}
"""Troubles after which a trial is not started, by the state in which they came."""

WARM, AMBIENT = 60.0, 30.0  # degrees Celsius
DRAINED, CHARGED = 45.0, 92.0  # per cent


class Soak:
    """One robot, one tuner, and what became of every trouble.

    Args:
        folder: an empty one.
        seed: decides everything.
        makers: of troubles by the state in which they come; all of them when None.

    Attributes:
        met: troubles by name. latches: causes by name. missed: what was not answered as promised, in words.
        alarms: latches that nothing called for, in words.
        falls: latches by what the body did without trouble, as the checker saw it too: a trapped leg slips free.
        trials: how many were run. unmet: troubles whose moment did not come.
        put_down: how often a person laid it on its belly. breaks: how often it had to cool down.
    """

    def __init__(self, folder: Path, seed: int, makers: list[tuple[State, Maker]] | None = None) -> None:
        self.world = SoakWorld(seed)
        self.run = RobotRun(folder, self.world)
        self.run.evaluator.supervise(self.run.evaluator._ledger, lambda: self.world.asked)  # type: ignore[arg-type]
        self.rng = np.random.default_rng(seed)
        self._makers = makers if makers is not None else _all()
        self._next: list[tuple[State, Maker]] = []
        self.met: Counter[str] = Counter()
        self.latches: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.missed: list[str] = []
        self.alarms: list[str] = []
        self._told = 0, 0
        self.trials = self.unmet = self.put_down = self.falls = self.breaks = 0

    def cycle(self) -> None:
        """One trial with at most one trouble, and everything until the robot is ready for the next."""
        world, run = self.world, self.run
        self.trials += 1
        world.viewer.connect()
        planned = self._plan() if self.trials % 4 else None
        world.stiffness = round(float(self.rng.uniform(66, 69)), 1) + 0.0625
        story = run.run(run.trial(self.trials, world.stiffness))
        self.outcomes[self._outcome(story, planned)] += 1
        while world.open:
            with run.session.client() as client:
                client.pump(0.02)
        self._account(planned)
        world.heal()
        if world.state in LATCHED:
            self._clear()
        self._take_a_break()
        self._tidy()

    def _outcome(self, story: TrialStory, planned: Trouble | None) -> str:
        """How a trial ended, for the table; one that was not started has to have a trouble that was there first."""
        world = self.world
        if story.measurement is not None:
            return story.measurement.outcome
        if planned is not None and world.trouble is not None:
            before = BEFORE_WALKING.get(world.met)
            if before is not None and isinstance(story.error, NotStartedError):
                return f"not started, its trouble came {before}"
            return f"unknown, its trouble came {'in the walk' if before is None else before}"
        if world.state in LATCHED:  # whether that is an alarm, `_account` judges as for every latch
            return f"not started, latched {'by what the body did' if world.fell else 'without a trouble'}"
        self.alarms.append(f"trial {self.trials}: not run, and nothing was wrong: {story.error}")
        return "not started without a trouble"

    def events(self) -> list[str]:
        """What was missed, and false alarms, since the last call."""
        fresh = [f"MISSED {words}" for words in self.missed[self._told[0] :]]
        fresh += [f"FALSE ALARM {words}" for words in self.alarms[self._told[1] :]]
        self._told = len(self.missed), len(self.alarms)
        return fresh

    def _plan(self) -> Trouble:
        """Draw the next trouble and its moment."""
        world, rng = self.world, self.rng
        if not self._next:
            self._next = [self._makers[k] for k in rng.permutation(len(self._makers))]
        state, maker = self._next.pop()
        trouble = maker(rng, world)
        most = {State.STANDING_UP: 1100, State.HOLD: 200, State.RUNNING: 600}[state]
        dwell = int(rng.integers(0, most))
        if state is State.STANDING_UP and world.state is not State.REST:
            self._lie_down()
        world.schedule(lambda: world.state is state and world.dwell >= dwell, trouble)
        return trouble

    def _lie_down(self) -> None:
        self.run.session.open()
        with self.run.session.client() as client:
            client.acquire()
            if self.world.state is State.HOLD:
                client.lie_down()
            client.wait_for(lambda s: s.state == State.REST, 5.0)

    def _account(self, planned: Trouble | None) -> None:
        world = self.world
        latch = world.guardian.latch
        if world.state in LATCHED:
            self.latches[latch.cause.name] += 1
        self.missed += world.late + world.checker.missed
        world.checker.missed.clear()
        if planned is None or world.trouble is None:
            self.unmet += planned is not None
            calm = True
        else:
            self.met[f"{planned.name}, {world.met.name}"] += 1
            calm = not planned.promises and planned.name not in PHYSICAL
        if calm and world.state in LATCHED:
            if world.fell:
                self.falls += 1
                return
            name = "no trouble" if planned is None else planned.name
            told = [row.message for row in world.events if row.kind == "state"][-4:]
            self.alarms.append(f"trial {self.trials}, {name}: {latch.message}; {'; '.join(told)}")

    # -- a person ---------------------------------------------------------------------------------------

    def _clear(self) -> None:
        """Look whether the latch holds, then clear it in its two steps."""
        world = self.world
        self.run.session.open()
        with self.run.session.client() as client:
            client.acquire()
            if not self._holds(client, "latched"):
                return
            if world.state is State.SIT_LATCHED:
                client.wait_for(lambda s: s.state != State.SIT_LATCHED, 6.0)
            self._set_upright()
            self._refused(lambda: client.clear(1), "cleared in one step")
            latch = client.status().latch
            token = self._patiently(client, lambda: client.acknowledge(latch))
            if not self._holds(client, "acknowledged"):
                return
            self._refused(client.stand, "stood up before the second step")
            self._patiently(client, lambda: client.clear(token) or 0)  # type: ignore[func-returns-value]
            if world.state not in (State.HOLD, State.REST):
                self.missed.append(f"trial {self.trials}: {world.state.name} after clearing")

    def _holds(self, client: GuardianClient, when: str) -> bool:
        """Whether requests for motion change nothing."""
        wrong = stays(self.world, client, self.world.stiffness)
        if wrong or self.world.state not in LATCHED:
            self.missed.append(f"trial {self.trials}, {when}: {wrong or self.world.state.name}")
        return self.world.state in LATCHED

    def _refused(self, ask: Callable[[], None], words: str) -> None:
        try:
            ask()
        except RefusedError:
            return
        self.missed.append(f"trial {self.trials}: {words}")

    def _patiently(self, client: GuardianClient, ask: Callable[[], int]) -> int:
        """Ask again while the cause is still there: a window of damaged packets, a robot that comes to rest."""
        end = self.world.now + 5.0
        while True:
            try:
                return ask()
            except RefusedError as refusal:
                if refusal.reply.code != Code.CAUSE_PRESENT or self.world.now >= end:
                    raise
            client.pump(0.1)

    def _set_upright(self) -> None:
        """Put a robot that has tipped over on its belly."""
        plant = self.world.body.plant
        _, x, y, _ = plant.simulation.truth().orientation
        if 1.0 - 2.0 * (x * x + y * y) < UPRIGHT and self.world.state is State.DAMP_LATCHED:
            plant._lie_down()
            self.put_down += 1

    def _take_a_break(self) -> None:
        """Let warm motors cool and change the battery; that time is not counted."""
        plant = self.world.body.plant
        if plant.heat.temperature.max() > WARM or plant.battery.charge < DRAINED:
            plant.heat.temperature[:] = AMBIENT
            plant.battery.charge = CHARGED
            self.breaks += 1

    def _tidy(self) -> None:
        """Throw away what only an experiment keeps."""
        world = self.world
        world.history.clear()
        world.events.clear()
        tuner = self.run.session._client
        kept = {world.viewer.name} | ({tuner.name} if tuner is not None else set())
        for proxies in (world._up, world._down):
            for name in [name for name in proxies if name not in kept]:
                del proxies[name]
        for file in (self.run.folder / "trajectories").glob("*.mcap"):
            file.unlink()


def _all() -> list[tuple[State, Maker]]:
    """Every trouble in every state it is for."""
    return [
        *((State.HOLD, maker) for maker in STANDING),
        *((State.RUNNING, maker) for maker in (*STANDING, *STEPPING)),
        *((State.STANDING_UP, maker) for maker in RISING),
    ]


def soak(
    folder: Path,
    minutes: float,
    seed: int,
    say: Callable[[str], None],
    makers: list[tuple[State, Maker]] | None = None,
    wall_seconds: float = math.inf,
) -> tuple[Soak, Meter]:
    """Go on for so much of the robot's time, or of the wall's.

    Raises:
        LinkError: robot, guardian and tuner do not find together again after a trouble.
    """
    # compiled first: an approval holds for a minute of the wall's clock
    warm_up(go1(), GuardedController(QuadrupedWalker(go1()), quadruped_table()))
    made, meter = Soak(folder, seed, makers), Meter(60.0 * minutes, warm=0.2)
    world, begin, wall = made.world, made.world.now, time.monotonic()
    told = 0
    while (done := world.now - begin) < 60.0 * minutes:
        made.cycle()
        meter.at(done)
        for words in made.events():
            say(f"{done:7.1f} s: {words}")
        if time.monotonic() - wall > wall_seconds:
            say(f"{wall_seconds:g} s of wall time are over")
            break
        if int(done / 60.0) > told:
            told = int(done / 60.0)
            say(
                f"{told:3d} min of robot time, {time.monotonic() - wall:4.0f} s: {made.trials} trials, "
                f"{sum(made.met.values())} troubles, {sum(made.latches.values())} latches cleared, "
                f"{len(made.missed)} missed, {len(made.alarms)} false alarms"
            )
    meter.end()
    return made, meter


def report(made: Soak, meter: Meter, say: Callable[[str], None]) -> bool:
    """Say what was found; whether it is as it should be."""
    for name, count in sorted(made.met.items()):
        say(f"    {count:4d}  {name}")
    say("answered by: " + ", ".join(f"{name} {count}" for name, count in made.latches.most_common()))
    say("trials: " + ", ".join(f"{name} {count}" for name, count in made.outcomes.most_common()))
    ticks = round((made.world.now - 100.0) / PERIOD)
    say(
        f"{ticks} ticks, {made.trials} trials, {sum(made.met.values())} troubles of {len(made.met)} sorts "
        f"({made.unmet} whose moment did not come), {made.world.checker.crossings} crossings seen by the checker, "
        f"{made.falls} latches by the body alone, robot put down {made.put_down} times, {made.breaks} breaks, "
        f"{len(made.missed)} missed, {len(made.alarms)} false alarms, "
        f"growth {meter.resident:.0f} KiB, {meter.blocks} blocks"
    )
    return not (made.missed or made.alarms or meter.grows)


def main(
    minutes: Annotated[float, typer.Option(help="of robot time")] = 30.0,
    seed: int = 0,
    wall: Annotated[float, typer.Option(metavar="S", help="s of wall time at most")] = math.inf,
) -> None:
    """Bring a robot one trouble after the other; exit code 1 on anything missed."""
    say: Callable[[str], None] = partial(print, flush=True)
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        try:
            made, meter = soak(Path(folder), minutes, seed, say, wall_seconds=wall)
        except LinkError as error:
            sys.exit(f"the run came to a halt: {error}")
        fine = report(made, meter, say)
        made.run.close()
    say(f"{time.monotonic() - begin:.0f} s of wall time")
    sys.exit(0 if fine else 1)


if __name__ == "__main__":
    typer.run(main)
