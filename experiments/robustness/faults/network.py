"""Faults of the network between tuner, viewers and guardian: what was said before, in another order, or to nobody."""

from __future__ import annotations

from functools import partial

import numpy as np

from safebo.experiments.robustness.faults.bench import commands_of, ended, on_a_stand_in
from safebo.experiments.robustness.faults.report import Report, fault
from safebo.experiments.robustness.guardian_world import KEY, World
from safebo.hardware.guardian.states import State
from safebo.hardware.link import messages as m
from safebo.hardware.link.frame import VERSION, Frame, seal
from safebo.hardware.link.proxy import Faults


@fault(
    55,
    "old packets of the tuner again",
    "every packet of a tuner's whole trial comes a second time: while it holds the robot, and when it is gone",
)
def packets_again(report: Report) -> None:
    """Each counts once: nothing is started, armed or kept alive by what was said before."""
    world = World(0)
    client = world.client()
    proxy, kept = world._up["tuner"], []
    push = proxy.push

    def noted(now: float, data: bytes) -> None:
        kept.append(data)
        push(now, data)

    proxy.push = noted  # type: ignore[method-assign]
    world.running(client, 0.5)
    client.wait_for(lambda state: state.outcome != 0, 5.0)
    client.pump(2.0)
    report.expect(world.state is State.HOLD, f"after the trial: {world.state.name}")
    again, runs = list(kept), _starts(world)
    for data in again:
        world.raw = [("tuner", data)]
        client.pump(0.004)
    report.expect(world.state is State.HOLD and _starts(world) == runs, f"again: {world.state.name}")
    begin = world.now
    while world.now < begin + 3.0:
        world.raw = [("tuner", data) for data in again[:8]]
        again = again[8:] + again[:8]
        world.tick()
    report.expect(_starts(world) == runs, "an old start was obeyed")
    report.expect(world.guardian.lease.session == 0, "old heartbeats kept the lease")
    report.expect(world.state is State.DAMP_LATCHED, f"without a tuner: {world.state.name}")
    report.shows(
        robot="walks no second time; without its tuner it stands down, whatever is heard of it from before",
        record="one trial",
        operator=world.guardian.latch.message,
    )


def _starts(world: World) -> int:
    return sum("RUNNING by START" in row.message for row in world.events)


@fault(
    56,
    "packets overtake each other",
    "half of the packets between tuner and guardian are overtaken, both ways",
)
def overtaken(report: Report) -> None:
    """Requests are done once and in their order; the trial runs as it was approved."""
    bad = Faults(reorder=0.5, delay=0.002, jitter=0.01)
    with on_a_stand_in(bad, bad) as (run, world):
        story = run.run(run.trial())
        ended(report, run, story, State.HOLD, "completed")
        starts = [words for _, words in story.kinds if "ARMED -> RUNNING" in words]
        report.expect(len(starts) == 1, f"{len(starts)} starts")
        gains = {float(c.kp[0]) for _, s, c in world.history if s is State.RUNNING}
        report.expect(gains == {70.0}, f"walked with {gains}")
    report.shows(robot="walks once, with the approved gains", operator="nothing")


def _look(world: World, k: int) -> None:
    """A viewer opens a session, of which nobody reads anything or speaks again; and nonsense."""
    hello = m.Hello(k + 1, VERSION, VERSION, f"viewer {k}")
    world.raw += [
        (f"viewer {k}", seal(Frame(m.Hello.KIND, 0, 1, hello.pack()), KEY)),
        ("nobody", bytes([k]) * 90),
    ]


@fault(
    57,
    "viewers that vanish or freeze",
    "beside a trial twenty viewers open sessions, read nothing and are gone, and nonsense comes in between",
)
def viewers(report: Report) -> None:
    """Who only looks changes nothing: every command is the same to the bit."""
    found = []
    for disturbed in (False, True):
        with on_a_stand_in() as (run, world):
            if disturbed:
                for k in range(20):
                    world.into_walk(0.04 * k, partial(_look, world, k))
            story = run.run(run.trial())
            ended(report, run, story, State.HOLD, "completed")
            found.append(commands_of(world))
    report.expect(
        found[0].shape == found[1].shape and np.array_equal(found[0], found[1]), "the commands differ"
    )
    report.shows(robot=f"the same {len(found[0])} commands, to the bit", operator="nothing")
