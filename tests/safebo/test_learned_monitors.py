"""A run that learns what watches its global trials: when, from what, kept where, and refused when."""

from __future__ import annotations

import hashlib
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from island_case import BACKUP, IslandEvaluator, completed, growth, island_study, roll_out, trial_of

from safebo.boundary.calibration import fewest_episodes
from safebo.boundary.margin_to_go import LAGS, MarginMonitor
from safebo.boundary.monitor_file import load_monitor, save_monitor
from safebo.errors import EvaluatorError, NoBackupError, RunStoppedError, StudyError
from safebo.evaluators.switched import checked_switches
from safebo.experiments.bench.study_problem import StudyProblem
from safebo.report.run import read_run
from safebo.runs.learned_monitors import EVENT, LearnedMonitors, take_kept
from safebo.runs.learned_walks import LearnedWalks
from safebo.runs.progress import Silent
from safebo.runs.run_checks import refuse_unwatched
from safebo.runs.runner import run
from safebo.storage.journal import Journal
from safebo.storage.records import Event
from safebo.study import Study
from safebo.study.reading import check_study, load_study, study_in_python
from safebo.tuner import Tuner
from safebo.tuner.backups import CertifiedBackup
from safebo.tuner.encoding import StudyEncoding
from safebo.tuner.learning import BATCH, MonitorLearning, chosen_backups
from safebo.tuner.taught import FIT_TICKS, LATE_TICKS, WAIT_S, _ahead, taught
from safebo.types import (
    EvaluatorInfo,
    Measurement,
    Monitor,
    NotStartedError,
    SwitchedTrial,
    SwitchPlan,
    Trial,
)

SMALL = {"fit": 16, "calibration": 9, "alpha": 0.1, "horizon": 1.0}


def learned_study(**options: Any) -> Study:
    """The islands, explored from the second trial on, watched by what was learned."""
    study = island_study(
        backup={"rule": "margin_to_go", **BACKUP, **SMALL},
        exploration={"local_steps": 1, "global_steps": 6, "patience": 1},
    )
    evaluator = {"name": "island_case:IslandEvaluator", "options": options}
    return Study.model_validate({**study.model_dump(mode="json"), "evaluator": evaluator, "trials": 6})


class Heard(Silent):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def begin(folder: Path, heard: Heard | None = None, **how: Any) -> None:
    with ThreadPoolExecutor(1) as executor:
        run(learned_study(), folder, seed=4, executor=executor, progress=heard or Silent(), **how)


def events(folder: Path) -> list[Event]:
    with Journal.open(folder, read_only=True) as journal:
        return [event for event in journal.events() if event.kind == EVENT]


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A run that ended after its monitor was learned and before the trial that it watches, and what was said."""

    def fails(self: IslandEvaluator, trial: Trial, monitor: Monitor | None = None) -> Measurement:
        if monitor is not None:
            raise NotStartedError("the door is open")
        return roll_out(trial, monitor, np.random.default_rng(trial.seed))[0]

    heard, folder = Heard(), tmp_path_factory.mktemp("learned") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(IslandEvaluator, "evaluate", fails)
        with pytest.raises(RunStoppedError, match="the door is open"):
            begin(folder, heard)
    return folder, heard.notes


def test_a_monitor_is_learned_before_the_first_global_trial_and_told(
    stopped: tuple[Path, list[str]],
) -> None:
    folder, notes = stopped
    (told,) = events(folder)
    with Journal.open(folder, read_only=True) as journal:
        last = journal.records()[-1].trial
    assert (last.id, last.phase) == (told.trial, "global")
    assert (last.trigger_rule, last.trigger_guarantee) == ("margin_to_go", False)
    monitor = load_monitor(folder / told.data["file"])
    assert hashlib.sha256((folder / told.data["file"]).read_bytes()).hexdigest() == told.data["sha256"]
    assert list(told.data["backups"]) == [dict(b) for b in monitor.backups]
    assert monitor.calibration.episodes == SMALL["calibration"] >= fewest_episodes(0.1)
    assert monitor.calibration.guarantee in told.text
    assert any(note.startswith("learning: 16 of 16") for note in notes)
    assert any(monitor.calibration.counts in note for note in notes)
    assert read_run(folder).monitors == (told.text,)


def test_a_resumed_run_watches_with_the_same_monitor_and_learns_nothing(
    stopped: tuple[Path, list[str]], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(stopped[0], folder)
    walked = IslandEvaluator.walked
    begin(folder, resume=True, trials=3)
    assert IslandEvaluator.walked == walked
    assert events(folder) == events(stopped[0])


def test_what_watched_a_trial_is_found_again(stopped: tuple[Path, list[str]]) -> None:
    folder, tuner = stopped[0], Tuner(learned_study(), 4)
    (told,) = events(folder)
    with Journal.open(folder, read_only=True) as journal:
        trial = journal.records()[-1].trial
        take_kept(journal, folder, tuner, replace(trial, id=trial.id - 1))
        with pytest.raises(NoBackupError):
            tuner.monitor(trial)
        take_kept(journal, folder, tuner, trial)
    watching = tuner.monitor(trial)
    assert watching is not None
    assert [dict(b) for b in watching.backups] == told.data["backups"]


def test_one_that_is_gone_is_learned_again_and_the_same_seed_learns_the_same(
    stopped: tuple[Path, list[str]], tmp_path: Path
) -> None:
    folder, heard = tmp_path / "run", Heard()
    shutil.copytree(stopped[0], folder)
    file = folder / events(folder)[0].data["file"]
    other = load_monitor(file)
    other.calibration = replace(other.calibration, alpha=0.5)
    save_monitor(other, file)
    begin(folder, heard, resume=True, trials=3)
    assert any("is not what this run wrote" in note and "is learned again" in note for note in heard.notes)
    first, second = events(folder)
    assert second.data == first.data


def test_an_interrupted_learning_goes_on_with_what_it_walked_and_learns_the_same(
    stopped: tuple[Path, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, asked = tmp_path / "run", list[str]()
    honest = IslandEvaluator.try_switches

    def once(self: IslandEvaluator, trial: Trial, plan: SwitchPlan) -> SwitchedTrial:
        if len(asked) == 40:
            raise ZeroDivisionError("no such spring")
        asked.append(f"{trial.seed} {plan.tried}")
        return honest(self, trial, plan)

    monkeypatch.setattr(IslandEvaluator, "try_switches", once)
    with pytest.raises(RunStoppedError, match="no such spring"):
        begin(folder, trials=3)
    files = sorted((folder / "monitors").glob("*-walks/*.npz"))
    assert len(files) == 40
    files[0].write_bytes(b"half a file")
    asked.insert(0, "the one that is damaged")
    heard = Heard()
    begin(folder, heard, resume=True, trials=3)
    assert any("goes on with 40 simulated trials" in note for note in heard.notes)
    assert len(asked) - len(set(asked)) == 1
    assert [event.data for event in events(folder)] == [event.data for event in events(stopped[0])]
    assert [path.suffix for path in (folder / "monitors").iterdir()] == [".npz"]


@settings(max_examples=15, deadline=None)
@given(
    n=st.integers(1, 6),
    names=st.lists(st.text(min_size=1, max_size=5), max_size=3, unique=True),
    fell=st.booleans(),
    seed=st.integers(0, 99),
)
def test_a_walk_is_kept_as_it_was(
    n: int, names: list[str], fell: bool, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    rng = np.random.default_rng(seed)

    def course(count: int) -> dict[str, Any]:
        return {name: rng.standard_normal(count) for name in names}

    one = SwitchedTrial(
        rng.random((n, 2)), course(n), course(3), 0.1, rng.random(n), fell, ramp=2, shown=course(n)
    )
    walks, plan = LearnedWalks(tmp_path_factory.mktemp("walks")), SwitchPlan(({"k": 1.0},), ("m",))
    trial = trial_of(1, "global", 0.5)
    walks.keep(trial, plan, one)
    again = walks.kept(trial, plan)
    np.testing.assert_equal(vars(again), vars(one))
    assert walks.kept(replace(trial, seed=9), plan) is None
    assert walks.kept(trial, replace(plan, horizon=2.0)) is None


def learning(
    calibration: int = 39, alpha: float = 0.05, fit: int = 40, margin: float = 0.0
) -> MonitorLearning:
    """On the toy, with the seed's gains as backup; `margin` is added to all margins."""
    spec = {"rule": "margin_to_go", "fit": fit, "calibration": calibration, "alpha": alpha, "horizon": 1.0}
    study, evaluator = island_study(backup={**BACKUP, **spec, "state_scale": {"s": 0.2}}), IslandEvaluator({})

    def walk(plans: Any) -> list[SwitchedTrial]:
        found = [evaluator.try_switches(*plan) for plan in plans]
        return [
            replace(
                f,
                margins={"margin": f.margins["margin"] + margin},
                to_go={"margin": f.to_go["margin"] + margin},
            )
            for f in found
        ]

    trial = Trial(9, {}, {}, "default", "global", 11, certified=False)
    return MonitorLearning(StudyEncoding(study), trial, [{"k": 0.2, "d": 0.5}], walk)


def watched(monitor: MarginMonitor, k: float) -> tuple[bool, float]:
    """Whether a monitor stops a gain of the toy, and the margin of the whole trial."""
    s, top = 0.5, 0.5
    for _ in range(20):
        if k != 0.2 and monitor.check(np.array([s])) == 0:
            k, top = 0.2, s
            break
        s = min(s * (1.0 + growth(k)), 10.0)
        top = max(top, s)
    return k == 0.2, 1.0 - top


def test_a_learned_monitor_saves_what_can_be_saved_and_lets_most_safe_gains_pass() -> None:
    monitor = learning().learn()
    gains = np.random.default_rng(5).random(400)
    unsafe = np.array([0.5 * (1.0 + max(growth(k), 0.0)) ** 20 > 1.0 for k in gains])
    stopped = [watched(monitor, float(k)) for k in gains]
    lost = np.mean([margin < 0.0 for (_, margin), bad in zip(stopped, unsafe, strict=True) if bad])
    false = np.mean([stop for (stop, _), bad in zip(stopped, unsafe, strict=True) if not bad])
    assert unsafe.sum() > 40
    assert lost <= 0.1
    assert false <= 0.1
    share = monitor.calibration.stopped / monitor.calibration.safe
    assert abs(false - share) < 0.1


@given(values=st.lists(st.floats(-5.0, 5.0), min_size=1, max_size=30), ticks=st.integers(1, 12))
def test_what_lies_ahead_is_the_least_until_the_end_of_the_ramp(values: list[float], ticks: int) -> None:
    found = _ahead(np.array(values), ticks)
    assert found.tolist() == [min(values[at : at + ticks]) for at in range(len(values))]


@pytest.mark.parametrize("agrees", [True, False])
def test_ticks_without_a_switch_teach_only_where_they_agree_with_switches(agrees: bool) -> None:
    teacher = learning(fit=10)
    if not agrees:
        honest, rng = teacher._walk, np.random.default_rng(2)

        def walk(plans: Any) -> list[SwitchedTrial]:
            return [
                replace(one, to_go={"margin": rng.uniform(-1.0, 1.0, len(plan.tried))})
                for (_, plan), one in zip(plans, honest(plans), strict=True)
            ]

        teacher._walk = walk
    taught, names, ramp = teacher._taught()
    assert teacher._agrees(taught) == agrees
    nothing_shown = np.ones((1 + len(LAGS), 0))
    found = [teacher._episode(one, np.array([0.2]), nothing_shown, agrees) for one in taught]
    counts = [len(one.features) for one in found]
    assert (len(found), names, ramp) == (10, (), 1)
    assert (min(counts) > FIT_TICKS + LATE_TICKS) == agrees
    if agrees:  # on the toy, the backup only lets the state shrink: what is measured now is the least to come
        for one in found:
            s = one.features[:, 0] * 0.2
            np.testing.assert_allclose(
                one.margins[:, 0], np.clip((1.0 - s) / teacher._units["margin"], -1.0, 1.0), atol=1e-9
            )


@pytest.mark.parametrize("agrees", [True, False])
def test_no_more_switches_are_tried_once_they_were_seen_to_say_nothing_new(agrees: bool) -> None:
    teacher, rng = learning(fit=BATCH + 4), np.random.default_rng(2)
    honest, plans = teacher._walk, list[SwitchPlan]()

    def walk(some: Any) -> list[SwitchedTrial]:
        plans.extend(plan for _, plan in some)
        found = list(honest(some))
        if agrees:
            return found
        return [replace(one, to_go={"margin": rng.uniform(-1, 1, len(one.to_go["margin"]))}) for one in found]

    teacher._walk = walk
    assert len(teacher._taught()[0]) == BATCH + 4
    assert sum(bool(plan.tried) for plan in plans) == (BATCH if agrees else BATCH + 4)


def rising(n: int = 100, tick: int = 60) -> SwitchedTrial:
    """A trial of 2 ms ticks whose margin falls evenly and is broken in a tick; the monitor is shown it."""
    margin = (tick - 1 - np.arange(n)) / tick
    return SwitchedTrial(np.zeros((n, 2)), {"m": margin}, {}, 0.002, np.zeros(n), ramp=3, shown={"m": margin})


def test_a_tick_teaches_what_is_left_when_a_backup_takes_over_a_little_later() -> None:
    found, wait = rising(), round(WAIT_S / 0.002)
    margin = found.margins["m"]
    to_go = np.array([0.9, -0.4, 0.05, 0.01])  # of two backups after switches in ticks 3 and 55
    one = taught(found, found.margins, {"m": 1.0}, [3, 55], {"m": to_go}, 7)
    # The first switch comes too early to have been waited for; its own margin then counts until the switch.
    assert one.to_go["m"].tolist() == [min(margin[3], 0.9), -0.4, min(margin[55], 0.05), 0.01]
    np.testing.assert_array_equal(one.tried.margins[:, 0, 0], margin[[0, 55 - wait]])
    np.testing.assert_array_equal(one.tried.margins[1, 1:, 0], margin[[55 - wait - lag for lag in LAGS]])
    free = one.free.margins[:, 0, 0]
    ticks = np.searchsorted(-margin, -free)
    window = wait + found.ramp
    assert one.own["m"][2:].tolist() == [margin[t : t + window].min() for t in ticks]
    np.testing.assert_array_equal(one.certain, ticks + wait >= 60)
    assert one.certain[:-1].any()


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"margin": 10.0, "calibration": 1, "alpha": 0.5}, "of 32 drawn trials 0 broke a margin.*are safe"),
        ({"margin": -10.0, "calibration": 1, "alpha": 0.5}, "of 32 drawn trials 0 .* 32 more broke one"),
    ],
)
def test_too_few_trials_that_could_be_saved_are_an_error(how: dict[str, Any], message: str) -> None:
    with pytest.raises(Exception, match=message):
        learning(fit=10, **how).learn()


def test_a_monitor_that_would_end_every_trial_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    # Whatever is tried after the first tick goes wrong.
    teacher = learning(calibration=9, alpha=0.1, fit=10)
    honest = teacher._walk

    def walk(plans: Any) -> list[SwitchedTrial]:
        found = []
        for (_, plan), one in zip(plans, honest(plans), strict=True):
            late = np.array([tick > 0 for tick, _ in plan.tried], dtype=bool)
            found.append(replace(one, to_go={"margin": np.where(late, -1.0, one.to_go["margin"])}))
        return found

    monkeypatch.setattr(teacher, "_walk", walk)
    with pytest.raises(Exception, match=r"would end all of \d+ trials that were safe"):
        teacher.learn()


def backup(k: float, lower: float, trial: int, region: int = 0) -> CertifiedBackup:
    return CertifiedBackup({"k": k, "d": 0.5}, lower, trial, region)


def test_backups_are_the_best_of_every_region_then_the_most_different_good_ones() -> None:
    space = StudyEncoding(island_study()).space
    found = [backup(0.2, 0.5, 1), backup(0.22, 0.4, 2), backup(0.35, 0.3, 3), backup(0.0, 0.2, 4)]
    assert [one.trial for one in chosen_backups(found, space)] == [1, 3, 2]
    far = [*found, backup(0.9, 0.1, 5, region=1)]
    assert [one.trial for one in chosen_backups(far, space)] == [1, 5, 3]
    assert chosen_backups(found[:1], space) == found[:1]


class Learned(LearnedMonitors):
    """Keeps why it would learn."""

    def __init__(self, found: list[CertifiedBackup]) -> None:
        self.found, self.why = found, list[str]()
        self._tuner, self._known = self, {}

    def backups(self, context: str) -> list[CertifiedBackup]:
        return self.found

    def _learn(self, trial: Trial, found: Any, why: str) -> None:
        self.why.append(why)
        assert self._known is not None
        kept = {
            "backups": [dict(one.parameters) for one in found[:2]],
            "regions": sorted({o.region for o in found}),
        }
        self._known[trial.context_name] = kept


def test_it_is_learned_anew_for_a_lost_certificate_and_for_a_new_region_alone() -> None:
    one, two, three = backup(0.2, 0.5, 1), backup(0.3, 0.4, 2), backup(0.1, 0.3, 3)
    learned = Learned([one, two])
    trial = replace(trial_of(4, "global", 0.9), trigger_rule="margin_to_go")
    for found, times in (
        ([one, two], 1),
        ([two, one, three], 1),
        ([one, three], 2),
        ([one, three, backup(0.9, 0.1, 5, region=1)], 3),
        ([one, three, backup(0.9, 0.1, 5, region=1)], 3),
    ):
        learned.found = list(found)
        learned.ready([trial, replace(trial, phase="local", trigger_rule=None)])
        assert len(learned.why) == times
    assert learned.why == [
        "",
        "A backup of the monitor is certified no longer. ",
        "Gains of a new region are certified. ",
    ]


def test_a_tuner_without_its_monitor_says_so_and_keeps_what_was_stopped_among_the_failed() -> None:
    tuner = Tuner(learned_study(), 0)
    stopped = Measurement("backup", margins={"margin": 0.1}, backup_state=np.array([0.95]))
    tuner.restore(
        [
            (trial_of(1, "seed", 0.2), completed(-0.3, 0.45, [0.5, 0.4, 0.3])),
            (trial_of(2, "global", 0.5), stopped),
        ]
    )
    with pytest.raises(NoBackupError, match=r"this tuner has none for context 'default'.*take_monitor"):
        tuner.monitor(trial_of(3, "global", 0.9))
    assert [t.parameters["k"] for t in tuner._watching.failed_set("default")] == [0.5]
    assert [one.parameters["k"] for one in tuner.backups("default")] == [0.2]
    monitor = learning(calibration=9, alpha=0.1, fit=10).learn()
    tuner.take_monitor("default", monitor)
    assert tuner.monitor(trial_of(3, "global", 0.9)) is monitor
    assert tuner.monitor(trial_of(3, "local", 0.2)) is None


@pytest.mark.parametrize(
    ("info", "message"),
    [
        (
            {},
            r"backup\.rule: 'margin_to_go' tries backups .*'robot' cannot put a trial back.*kernel_covariance\)",
        ),
        ({"margins_to_go": True}, "kernel_covariance, cost_to_go"),
        ({"robot": "virtual"}, "move a virtual robot, whose guardian takes no such monitor"),
        ({"robot": "physical", "tries_switches": True}, "move a physical robot"),
    ],
)
def test_evaluators_that_cannot_put_a_trial_back_are_refused(info: dict[str, Any], message: str) -> None:
    with pytest.raises(StudyError, match=message):
        refuse_unwatched(
            EvaluatorInfo("robot", (), (), (), monitored=True, **info), study_in_python(learned_study())
        )


def test_the_refusal_comes_before_the_first_trial(tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as executor, pytest.raises(StudyError, match="cannot put a trial back"):
        run(learned_study(simulated=False), tmp_path / "run", executor=executor)
    assert not Journal.exists(tmp_path / "run")


def test_too_few_trials_to_calibrate_with_are_refused_in_the_study() -> None:
    study = learned_study().model_dump(mode="json")
    study["tuner"]["backup"] |= {"alpha": 0.02, "calibration": 39}
    with pytest.raises(
        StudyError, match=r"tuner\.backup\.calibration: alpha: 0\.02 needs at least 49 trials"
    ):
        check_study(Study.model_validate(study))
    study["tuner"]["backup"]["rule"] = "lipschitz"
    check_study(Study.model_validate(study))


GOOD = SwitchedTrial(np.zeros((3, 1)), {"m": np.zeros(3)}, {"m": np.zeros(2)}, 0.1)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (None, "returned NoneType, not SwitchedTrial"),
        (replace(GOOD, states=np.full((3, 1), np.nan)), "states must be finite"),
        (replace(GOOD, phase=np.zeros(2)), "phase must be 3 finite numbers"),
        (replace(GOOD, margins={}), "margins lacks 'm'"),
        (replace(GOOD, to_go={"m": np.zeros(3)}), "to_go of 'm' must be 2 finite numbers"),
        (replace(GOOD, period=0.0), "period must be"),
        (replace(GOOD, shown={"m": np.zeros(2)}), "shown of 'm' must be 3 finite numbers"),
    ],
)
def test_what_does_not_answer_the_plan_is_refused(found: Any, message: str) -> None:
    plan = SwitchPlan(({"k": 1.0},), ("m",), ((0, 0), (2, 0)))
    assert checked_switches(GOOD, plan, "e") is GOOD
    with pytest.raises(EvaluatorError, match=message):
        checked_switches(found, plan, "e")


def test_an_evaluator_that_fails_while_backups_are_tried_stops_the_run_with_its_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: IslandEvaluator, trial: Trial, plan: SwitchPlan) -> SwitchedTrial:
        raise ZeroDivisionError("no such spring")

    monkeypatch.setattr(IslandEvaluator, "try_switches", broken)
    with pytest.raises(
        RunStoppedError, match=r"its monitor could not be learned: .*no such spring.*--resume"
    ):
        begin(tmp_path / "run", trials=3)
    monkeypatch.undo()
    begin(tmp_path / "run", resume=True, trials=3)
    assert len(events(tmp_path / "run")) == 1


def test_a_benchmark_which_learns_no_monitor_refuses_methods_that_need_one() -> None:
    data = load_study("pendulum").study.model_dump(mode="json", exclude_unset=True)
    data["tuner"]["backup"]["rule"] = "margin_to_go"
    problem = StudyProblem("pendulum", Study.model_validate(data), 10, {}, "")
    assert "margin_to_go learns its monitors in a run" in problem.refuses("gosafeopt")
    assert not problem.refuses("safe_ucb")
