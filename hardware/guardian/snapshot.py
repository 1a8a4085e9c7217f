"""How everything stands, as the link's State message."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from safebo.hardware.guardian.limits import NOTHING
from safebo.hardware.guardian.states import LATCHED, Response, State
from safebo.hardware.link import messages

if TYPE_CHECKING:
    from safebo.hardware.guardian.core import Guardian

_LADDER = {
    State.HOLD_LATCHED: Response.HOLD,
    State.HOLD_ACKNOWLEDGED: Response.HOLD,
    State.SIT_LATCHED: Response.SIT,
    State.DAMP_LATCHED: Response.DAMP,
    State.DAMP_ACKNOWLEDGED: Response.DAMP,
}


def _byte(value: float) -> int:
    return 255 if math.isnan(value) else int(min(254.0, max(0.0, value)))


def _micro(seconds: float) -> int:
    return int(min(0xFFFFFFFF, seconds * 1e6)) if math.isfinite(seconds) else 0xFFFFFFFF


def snapshot(guardian: Guardian) -> messages.State:
    """The State message of this moment; what belongs to a session is filled in by the link."""
    g = guardian
    stream, run, newest = g.stream, g.run, g.stream.newest
    latched = g.state in LATCHED
    cause = g.latch.cause if latched else g.refusal
    zeros = (0.0,) * 12
    return messages.State(
        time=g.now if math.isfinite(g.now) else 0.0,
        tick=newest.tick if newest else 0,
        age=_micro(stream.age(g.now)),
        state=g.state,
        response=_LADDER.get(g.state, g.refusal.response),
        cause=cause.number,
        backup=255 if run.backup < 0 else min(254, run.backup),
        latch=g.latch.number if latched else 0,
        epoch=g.lease.epoch if g.lease.session else 0,
        trial=run.plan.number if run.plan else 0,
        outcome=run.outcome,
        elapsed=run.elapsed(g.now) if g.state is State.RUNNING else 0.0,
        accepted=stream.accepted & 0xFFFFFFFF,
        missed=stream.missed & 0xFFFFFFFF,
        rejected=stream.rejected & 0xFFFFFFFF,
        overruns=g.counters.overruns & 0xFFFFFFFF,
        battery=_byte(newest.battery) if newest else 255,
        hottest=_byte(newest.temperature) if newest else 255,
        attitude=g.measures.attitude,
        height=(g.measures.height,),
        position=tuple(newest.reading.joint_position.tolist()) if newest else zeros,
        velocity=tuple(newest.reading.joint_velocity.tolist()) if newest else zeros,
        torque=tuple(newest.torque.tolist()) if newest else zeros,
        target=tuple(g.command.position.tolist()),
        words=g.latch.words if latched else (cause.words if cause is not NOTHING else ""),
    )
