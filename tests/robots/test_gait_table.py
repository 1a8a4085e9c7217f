"""Tables of allowed gait changes: what they allow, how they are made and kept, and that walks keep to them."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from safebo.errors import FileError
from safebo.robots.descriptions.model import load_robot
from safebo.robots.evaluation.evaluator import LeggedEvaluator
from safebo.robots.quadruped.controller import Controller
from safebo.robots.quadruped.gains import robot_gains
from safebo.robots.quadruped.gait import GAITS, Gait
from safebo.robots.quadruped.gait_changes import WATCHED, GaitSchedule, GaitSequencer
from safebo.robots.quadruped.gait_table import AllowedChange, GaitTable, digest, read_gait_table
from safebo.robots.quadruped.speed import speed_limit
from safebo.robots.simulation.gait_choice import allowed_speeds, checked, gait_table, lost_anyway, lost_shares
from safebo.robots.simulation.gait_trials import ChangePlan, TriedChange, batches, hopeless, tried_changes

LEGS, TICK = ("FL", "FR", "RL", "RR"), 0.002
GO1 = load_robot("go1")
GAINS = robot_gains(GO1)
PLAN = ChangePlan(("trot", "crawl", "pace"), speeds=(0.2, 0.4))


def table(**speeds: tuple[float, ...]) -> GaitTable:
    """Changes from trot into others, and nothing else."""
    changes = {("trot", new.replace("_", "-")): AllowedChange(values, 8, 2) for new, values in speeds.items()}
    return GaitTable(
        "go1", GAITS, changes, {"robot": digest(GO1.mjcf)}, {"tries": 0, "falls": 0, "most": 1.0}
    )


def tried(old: str, new: str, speed: float, part: int, walk: int, margin: float) -> TriedChange:
    return TriedChange(old, new, speed, part, walk, margin == 0.0, margin)


def all_tries(lost: set[tuple[str, float | None, int | None]]) -> list[TriedChange]:
    """Four walks of a plan; those into a gait at a speed and in a part fall, None for any."""
    return [
        tried(
            old,
            new,
            speed,
            part,
            walk,
            0.0
            if any(new == gait and v in (None, speed) and p in (None, part) for gait, v, p in lost)
            else 0.7,
        )
        for old in PLAN.gaits
        for new in PLAN.gaits
        for speed in PLAN.speeds
        for part in range(PLAN.phases)
        for walk in range(4)
        if old != new
    ]


@settings(deadline=None, max_examples=40)
@given(
    st.floats(0.5, 1.5),
    st.floats(0.1, 1.2),
    st.lists(st.sampled_from([0.0, 0.2, 0.5]), min_size=3, max_size=3),
)
def test_a_change_begins_in_a_phase_and_at_a_speed_that_are_allowed(time, speed, speeds):
    if max(speeds) == 0.0:
        speeds[1] = 0.2
    schedule = GaitSchedule(GAITS["trot"], ((time, GAITS["crawl"]),), table(crawl=tuple(speeds)))
    gaits = GaitSequencer(schedule, LEGS, TICK, lambda gait: speed_limit(GO1, gait, 3.0))
    tick, followed = 0, speed
    while not gaits.changing:
        now = tick * TICK
        followed, _, _ = gaits.advance(now, speed, 0.0, 0.0)
        tick += 1
        # braking at 1 m/s^2, then at most a stride until a phase comes that is allowed
        assert now <= time + max(0.0, speed - max(speeds)) + GAITS["trot"].stride_duration + 2 * TICK
    assert now >= time - 1e-9
    part = int(now / GAITS["trot"].stride_duration % 1.0 * 3 + 1e-6)
    assert speeds[part] > 0.0
    assert followed <= speeds[part] + 1e-9
    begin, held = now, followed
    while now < begin + WATCHED + 4.0:  # no faster while tried changes were watched, and as wanted after that
        now, tick = tick * TICK, tick + 1
        followed, _, _ = gaits.advance(now, speed, 0.0, 0.0)
        assert followed <= held + 1e-9 or now >= begin + WATCHED - 1e-9
    assert followed == pytest.approx(min(speed, gaits.limit.speed))


def test_what_a_table_refuses_is_refused_before_the_walk_and_says_what_is_allowed():
    some = table(crawl=(0.2, 0.0), pace=(0.0, 0.0))
    with pytest.raises(ValueError, match=r"trot to pace: 2 of 8 fell; an .*\. From trot it allows crawl$"):
        GaitSchedule(GAITS["trot"], ((1.0, GAITS["pace"]),), some)
    with pytest.raises(ValueError, match="from crawl to trot was never tried"):
        GaitSchedule(GAITS["trot"], ((1.0, GAITS["crawl"]), (2.0, GAITS["trot"])), some)
    with pytest.raises(ValueError, match="knows no gait Gait"):
        GaitSchedule(Gait(0.5, 0.41, 0.5, 0.5, 0.0), ((1.0, GAITS["crawl"]),), some)
    GaitSchedule(GAITS["pace"], ((1.0, GAITS["stand"]), (2.0, GAITS["pace"])), some)
    gaits = GaitSequencer(
        GaitSchedule(GAITS["trot"], table=some), LEGS, TICK, lambda g: speed_limit(GO1, g, 3.0)
    )
    with pytest.raises(ValueError, match="refuses"):
        gaits.want(GAITS["pace"], 0.0)


def test_a_file_gives_the_table_back_and_is_refused_where_it_was_changed(tmp_path: Path):
    some, path = table(crawl=(0.2, 0.0), flying_trot=(0.5, 0.5)), tmp_path / "changes.yaml"
    some.save(path)
    read = read_gait_table(path, GO1)
    assert read.changes == some.changes
    assert read.checked == some.checked
    text = path.read_text()
    read.save(path)
    assert path.read_text() == text
    with pytest.raises(FileError, match="made for a robot go1, which differs from go2"):
        read_gait_table(path, load_robot("go2"))
    for edited, message in (
        (text.replace("[0.2, 0.0]", "[0.9, 0.9]"), "not those that were written"),
        (text.replace('"tries": 8, ', ""), "broken table"),
        ("gaits: 3\n", "no table of gait changes"),
    ):
        path.write_text(edited)
        with pytest.raises(FileError, match=message):
            read_gait_table(path, GO1)


def test_only_changes_that_held_are_allowed_up_to_the_speed_and_in_the_phases_where_they_did():
    tries = all_tries({("pace", None, None), ("crawl", 0.4, None), ("trot", 0.2, 3)})
    found = allowed_speeds(tries, PLAN, 0.25)
    assert found["trot", "pace"] == (0.0,) * 4
    assert found["trot", "crawl"] == (0.2,) * 4
    # what fell slowly is not allowed faster
    assert found["crawl", "trot"] == (0.4, 0.4, 0.4, 0.0)
    shares = lost_shares(tries)
    assert all(0.0 < share < 1.0 for share in shares.values())
    fewer = lost_shares([one for one in tries if one.walk == 0])
    assert fewer["crawl", "trot", 0.4, 0] > shares["crawl", "trot", 0.4, 0]
    assert hopeless(tries) == {("trot", "pace"), ("crawl", "pace"), ("trot", "crawl"), ("pace", "crawl")}


def test_a_change_that_never_fell_is_refused_after_few_tries_and_the_table_says_why():
    few = [one for one in all_tries(set()) if one.walk == 0 and one.speed == PLAN.speeds[0]]
    made = gait_table(GO1, {}, replace(PLAN, walks=1), few, 1e-3)
    change = made.changes["trot", "crawl"]
    assert (change.fastest, change.falls, change.lost) == (0.0, 0, round(min(lost_shares(few).values()), 4))
    assert change.seen.endswith("are lost or nearly so (more --walks may lower that)")
    never = gait_table(GO1, {}, PLAN, [one for one in few if one.new != "crawl"], 0.5).changes[
        "trot", "crawl"
    ]
    assert (never.fastest, never.tries) == (0.0, 0)
    assert never.seen.startswith("it was not tried, as both gaits walk at none of the speeds")
    assert "more --walks" not in gait_table(GO1, {}, PLAN, few, 0.5).changes["trot", "crawl"].seen


def test_a_change_is_allowed_where_the_robot_falls_as_often_without_it():
    tries = [
        replace(one, fell=True, margin=0.0) if one.speed == 0.4 and one.walk % 2 else one
        for one in all_tries({("pace", 0.2, 0)})
    ]  # of the fast changes every second one falls
    assert allowed_speeds(tries, PLAN, 0.25)["trot", "pace"] == (0.0, 0.2, 0.2, 0.2)
    # of the fast walks in trot all fall without a change, of the slow ones none
    anyway = [
        tried("trot", "trot", speed, part, walk, 0.0 if speed == 0.4 else 0.7)
        for speed in PLAN.speeds
        for part in range(4)
        for walk in range(4)
    ]
    found = allowed_speeds([*tries, *anyway], PLAN, 0.25)
    assert found["trot", "pace"] == (0.0, 0.4, 0.4, 0.4)
    assert found["crawl", "pace"] == (0.0, 0.2, 0.2, 0.2)
    shares = lost_anyway([*tries, *anyway])
    # 4 tries more weigh in as all do, of which half fall
    assert shares["trot", 0.4] == pytest.approx((16 + 4 * 0.5) / (16 + 4))
    assert shares["trot", 0.2] == pytest.approx(0.5)
    assert lost_shares([*tries, *anyway]) == lost_shares(tries)


def test_the_bound_is_of_changes_that_the_other_half_allowed():
    tries = all_tries({("pace", None, None)})
    # all walks with odd numbers fall in trot, which those with even numbers allow
    tries = [replace(t, fell=True, margin=0.0) if t.new == "trot" and t.walk % 2 else t for t in tries]
    found = checked(tries, PLAN, 0.25)
    into_crawl, into_trot = 2 * 2 * 4 * 4, 2 * 2 * 4 * 2
    assert (found["tries"], found["falls"]) == (into_crawl + into_trot, into_trot)
    assert binom.cdf(into_trot, found["tries"], found["most"]) == pytest.approx(0.05, abs=1e-3)
    assert checked([t for t in tries if t.new == "pace"], PLAN, 0.25)["most"] == 1.0


@pytest.mark.parametrize(
    ("change", "message"),
    [({"gaits": ("trot",)}, "two or more"), ({"speeds": (0.4, 0.2)}, "grow"), ({"push": (1.0, 0.5)}, "push")],
)
def test_a_plan_that_cannot_be_walked_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        replace(PLAN, **change)


def test_tries_repeat_each_other_and_one_more_gait_leaves_the_others_as_they_are():
    plan = replace(PLAN, phases=1, speeds=(0.4,))
    assert batches(GO1, GAINS, plan)[0] == ("trot", 0.4, 0)
    both = list(tried_changes(GO1, GAINS, plan, ("trot", 0.4, 0), set()))
    assert [one.new for one in both] == ["trot", "crawl", "pace"]  # into trot: without a change
    alone = list(tried_changes(GO1, GAINS, plan, ("trot", 0.4, 0), {("trot", "crawl")}))
    assert alone == [one for one in both if one.new != "crawl"]
    assert gait_table(GO1, GAINS, plan, both, 0.1).made_from["push"] == list(plan.push)


def test_scenarios_of_a_study_keep_to_a_table(tmp_path: Path):
    table(crawl=(0.0, 0.3), pace=(0.0, 0.0)).save(tmp_path / "changes.yaml")
    evaluator = LeggedEvaluator(
        {"gait": "trot", "seconds": 2.0, "gait_changes": str(tmp_path / "changes.yaml")}
    )
    refused = {"velocity": [{"seconds": 1, "forward": 0.3}, {"seconds": 1, "forward": 0.3, "gait": "pace"}]}
    with pytest.raises(ValueError, match="refuses the change from trot to pace"):
        evaluator.check_conditions(refused)
    allowed = {"velocity": [{"seconds": 1, "forward": 0.3}, {"seconds": 1, "forward": 0.3, "gait": "crawl"}]}
    walk = evaluator.begin({}, {}, 0, conditions=allowed)
    controller = walk.controller
    assert isinstance(controller, Controller)
    while not controller.changing:
        assert walk.tick()
    # wanted at 1 s, where a stride begins: the second half of the stride begins a quarter of a second later
    assert walk.record.time[walk.row - 1] == pytest.approx(1.25, abs=0.003)
