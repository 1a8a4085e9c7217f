"""How everything stands, as the link's State message."""

from __future__ import annotations

import math

from safebo.hardware.constants import UNKNOWN_BYTE
from safebo.hardware.guardian.lease import Lease
from safebo.hardware.guardian.measures import WatchedQuantities
from safebo.hardware.guardian.observation import Stream
from safebo.hardware.guardian.state_machine import StateMachine
from safebo.hardware.guardian.states import LATCHED, Response, State
from safebo.hardware.link import messages
from safebo.robots.quadruped.interface import JointCommand

_SEVERITY = {
    State.HOLD_LATCHED: Response.HOLD,
    State.HOLD_ACKNOWLEDGED: Response.HOLD,
    State.SIT_LATCHED: Response.SIT,
    State.DAMP_LATCHED: Response.DAMP,
    State.DAMP_ACKNOWLEDGED: Response.DAMP,
}


def _byte(value: float) -> int:
    return UNKNOWN_BYTE if math.isnan(value) else int(min(254.0, max(0.0, value)))


def _micro(seconds: float) -> int:
    return int(min(0xFFFFFFFF, seconds * 1e6)) if math.isfinite(seconds) else 0xFFFFFFFF


def snapshot(
    machine: StateMachine, stream: Stream, lease: Lease, measures: WatchedQuantities, command: JointCommand
) -> messages.StateMessage:
    """The State message of this moment; what belongs to a session is filled in by the link.

    Args:
        machine: state, latch and trial.
        stream: what the robot said.
        lease: who may command.
        measures: attitude and height.
        command: the newest joint command.
    """
    g, run, newest = machine, machine.run, stream.newest
    latched = g.state in LATCHED
    cause = g.latch.cause if latched else g.refusal
    zeros = (0.0,) * 12
    return messages.StateMessage(
        time=g.now if math.isfinite(g.now) else 0.0,
        tick=newest.tick if newest else 0,
        age=_micro(stream.age(g.now)),
        state=g.state,
        response=_SEVERITY.get(g.state, g.refusal.response),
        cause=cause.number,
        backup=255 if run.backup < 0 else min(254, run.backup),
        latch=g.latch.number if latched else 0,
        epoch=lease.epoch if lease.session else 0,
        trial=run.number,
        outcome=run.outcome,
        elapsed=run.elapsed(g.now) if g.state is State.RUNNING else 0.0,
        accepted=stream.accepted & 0xFFFFFFFF,
        missed=stream.missed & 0xFFFFFFFF,
        rejected=stream.rejected & 0xFFFFFFFF,
        overruns=g.counters.overruns & 0xFFFFFFFF,
        battery=_byte(newest.battery) if newest else UNKNOWN_BYTE,
        hottest=_byte(newest.temperature) if newest else UNKNOWN_BYTE,
        attitude=measures.attitude,
        height=(measures.height,),
        position=tuple(newest.reading.joint_position.tolist()) if newest else zeros,
        velocity=tuple(newest.reading.joint_velocity.tolist()) if newest else zeros,
        torque=tuple(newest.torque.tolist()) if newest else zeros,
        target=tuple(command.position.tolist()),
        message=g.latch.message if latched else cause.message,
    )
