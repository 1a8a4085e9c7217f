"""`safebo robots gait-changes`: find out in simulation which changes of gait a robot may make."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from safebo.files.writing import check_place
from safebo.robots.controllers.commands import or_refuse, refuse
from safebo.robots.descriptions.model import load_robot
from safebo.robots.quadruped.gains import Gains, robot_gains
from safebo.robots.quadruped.gait import GAITS, gait_named
from safebo.robots.quadruped.gait_table import FORMAT, GaitTable
from safebo.robots.simulation.gait_choice import RISK, gait_table
from safebo.robots.simulation.gait_trials import ChangePlan, TriedChange, batches, hopeless, tried_changes
from safebo.text.command import say

NAMES = tuple(name for name in GAITS if name != "stand")


def gait_changes(
    robot: Annotated[str, typer.Argument(help="A robot's name, or the path of a file of your own.")],
    to: Annotated[Path, typer.Option(metavar="FILE", help="The table, YAML.")],
    gait: Annotated[
        list[str] | None, typer.Option(help=f"One of {', '.join(NAMES)}; may be repeated; all if left out.")
    ] = None,
    speed: Annotated[
        list[float] | None,
        typer.Option(help="Speed to try, m/s; may be repeated; 0.25, 0.5, 0.8, 1.2 if left out."),
    ] = None,
    phases: Annotated[int, typer.Option(min=1, max=100, help="Parts of a stride.")] = 4,
    walks: Annotated[int, typer.Option(min=1, max=1000, help="Walks of every gait and speed.")] = 2,
    friction: Annotated[tuple[float, float], typer.Option(help="Least and greatest foot friction.")] = (
        0.3,
        0.45,
    ),
    push: Annotated[tuple[float, float], typer.Option(help="Least and greatest kick, m/s.")] = (0.4, 0.9),
    risk: Annotated[float, typer.Option(help="Share of tries that may be lost.")] = RISK,
    gains: Annotated[Path | None, typer.Option(help="YAML file with a mapping `gains`.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of floors, kicks and noise.")] = 0,
) -> None:
    """Find out which changes of gait a robot may make: at which phase of the stride, and up to which speed.

    From walks in every gait, on slippery floors, it changes into every other in every part of the stride, is kicked
    meanwhile, and is put back. The table says what stood; `safebo robots walk --gait-changes FILE` and the option
    `gait_changes` of a study keep to it: a change waits for its phase, slows down, or is refused. About five minutes
    for all gaits; two or three gaits take seconds.
    """
    model = or_refuse(lambda: load_robot(robot))
    chosen = or_refuse(
        lambda: robot_gains(model) if gains is None else robot_gains(model, Gains.load(gains).given())
    )
    if not 0.0 < risk < 1.0:
        refuse(f"--risk must be between 0 and 1, got {risk:g}")
    or_refuse(lambda: check_place(to, FORMAT, "--to"))
    names = tuple(dict.fromkeys(gait or NAMES))
    or_refuse(lambda: [gait_named(name) for name in names])
    speeds = tuple(sorted(set(speed))) if speed else ChangePlan.speeds
    plan = or_refuse(lambda: ChangePlan(names, speeds, phases, walks, friction, push, seed))
    every, tries, begin = batches(model, chosen, plan), list[TriedChange](), time.monotonic()
    for done, batch in enumerate(every, start=1):
        tries += tried_changes(model, chosen, plan, batch, hopeless(tries))
        left = (time.monotonic() - begin) / done * (len(every) - done) / 60
        say(f"{batch[0]} at {batch[1]:g} m/s: {len(tries)} changes tried, about {left:.1f} min left")
    table = gait_table(model, chosen, plan, tries, risk)
    or_refuse(lambda: table.save(to))
    for line in described(table):
        say(line)
    say(f"written to {to}")


def described(table: GaitTable) -> list[str]:
    """What a table says, a line for every change, and how often changes that it allows fall."""
    lines = []
    for (old, new), change in table.changes.items():
        fell = f"{change.falls} of {change.tries} fell"
        if change.fastest <= 0.0:
            lines.append(f"{old} -> {new}: refused ({change.seen})")
            continue
        n = len(change.speeds)
        parts = [f"{v:g} m/s in {i / n:g} to {(i + 1) / n:g}" for i, v in enumerate(change.speeds) if v > 0.0]
        whole = len(set(change.speeds)) == 1
        where = f"{change.fastest:g} m/s in every phase" if whole else ", ".join(parts)
        lines.append(f"{old} -> {new}: up to {where} ({fell})")
    for gait, seen in table.made_from["without_a_change"].items():
        lines.append(f"{gait} without a change: {seen['falls']} of {seen['tries']} fell under the same kicks")
    checked = table.checked
    if not checked["tries"]:
        more = max(4, 2 * int(table.made_from["walks"]))
        return [
            *lines,
            f"half of the walks allow no change to hold against the other half: --walks {more} may",
        ]
    lines.append(
        f"of {checked['tries']:g} changes that one half of the tries allowed and the other half tried, "
        f"{checked['falls']:g} fell: at most {100 * checked['most']:.1f} % (95 %)"
    )
    return lines
