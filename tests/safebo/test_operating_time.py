"""A robot that changes with its operating time: what is known grows old, and certificates expire."""

from __future__ import annotations

import math
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from new_journal import new_journal
from numpy.typing import NDArray

from safebo.errors import EmptySafeSetError, InputError, RunStoppedError, StudyError, UnsafeSeedError
from safebo.evaluators.gate import checked_measurement
from safebo.integrations.optuna import SafeSampler
from safebo.runs.best_gains import BestGains, read_best_gains, write_best_gains
from safebo.runs.clock import OWN_CLOCK, OperatingClock
from safebo.runs.evidence_events import changes
from safebo.runs.runner import run
from safebo.safety.expiry import remaining_validity
from safebo.storage.journal import Journal
from safebo.study import Study
from safebo.study.duration import duration_text, seconds
from safebo.study.reading import check_study, parse_study
from safebo.tuner import Tuner
from safebo.types import Bounds, Evidence, Measurement, Trial

MINUTE = 60.0
MEMORY = 40 * MINUTE
NOISE = 0.05
BETA = 2.0
LENGTHSCALE = 0.3

STUDY = """\
name: warm
evaluator: {name: "test_operating_time:plant", options: {repeatable: true}}
parameters:
  - {name: x, bounds: [0, 1]}
objective: {name: reward, noise_std: 0.05}
constraints:
  - {name: margin, unit: m, noise_std: 0.05, prior_std: 1.0}
seeds:
  - parameters: {x: 0.5}
surrogate: {kernel: rbf, lengthscale: 0.3, trust: declared, time: {memory: 40 min, interval: 1 min}}
tuner: {method: safe_ucb, beta: 2}
trials: 5
"""


def plant(parameters: Mapping[str, float], context: Mapping[str, float]) -> Any:
    """A margin that falls on both sides of the middle."""
    x = parameters["x"]
    return {"objective": x, "margins": {"margin": 1.2 - 2 * abs(x - 0.5)}}


def study(text: str = STUDY, **time: Any) -> Study:
    """The study, with other keys under `surrogate.time`."""
    found = parse_study(text).study
    if not time:
        return found
    assert found.surrogate.time is not None
    document = found.surrogate.model_dump() | {"time": found.surrogate.time.model_dump() | time}
    return Study.model_validate(found.model_dump() | {"surrogate": document})


def told(tuner: Tuner, time: float) -> Trial:
    """One trial at a time, on the plant."""
    trial = tuner.ask(operating_time=time)
    tuner.tell(trial, plant(trial.parameters, {}))
    return trial


def dense(
    tuner: Tuner, x: float, time: float, values: list[float], memory: float = MEMORY
) -> tuple[float, float]:
    """Posterior mean and variance by the textbook's formula, with the product of the two kernels."""
    records = list(tuner.history)
    X = np.array([r.trial.parameters["x"] for r in records])
    T = np.array([r.operating_time for r in records], dtype=float)

    def kernel(a: NDArray[Any], s: NDArray[Any], b: NDArray[Any], t: NDArray[Any]) -> NDArray[Any]:
        near = np.exp(-0.5 * ((a[:, None] - b) / LENGTHSCALE) ** 2)
        return near * np.exp(-np.abs(s[:, None] - t) / memory)

    K = kernel(X, T, X, T) + NOISE**2 * np.eye(len(X))
    k = kernel(np.array([x]), np.array([time]), X, T)
    return float((k @ np.linalg.solve(K, values))[0]), float(1 - (k @ np.linalg.solve(K, k.T))[0, 0])


def test_bounds_are_those_of_the_product_of_both_kernels_at_the_time_asked_about() -> None:
    tuner = Tuner(study(memories={"reward": "10 min"}))
    for minute in (0, 1, 3):
        told(tuner, minute * MINUTE)
    margins = [r.measurement.margins["margin"] for r in tuner.history if r.measurement]
    rewards = [r.measurement.objective for r in tuner.history if r.measurement and r.measurement.objective]
    for time in (3 * MINUTE, 20 * MINUTE):
        found = tuner.certify({"x": 0.55}, "default", operating_time=time).bounds
        for name, values, memory in (("margin", margins, MEMORY), ("reward", rewards, 10 * MINUTE)):
            mean, variance = dense(tuner, 0.55, time, values, memory)
            expected = (mean - BETA * math.sqrt(variance), mean, mean + BETA * math.sqrt(variance))
            bounds = found[name]
            assert (bounds.lower, bounds.mean, bounds.upper) == pytest.approx(expected, abs=1e-6)


def closed_form(mu: float, variance: float, m0: float, s: float, beta: float, memory: float) -> float:
    """The positive root of m0 + (mu - m0) w = beta sqrt(s^2 (1 - w^2) + variance w^2) in w = exp(-D / memory)."""
    b = (mu - m0) ** 2 + beta**2 * (s**2 - variance)
    c = m0**2 - beta**2 * s**2
    half = m0 * (mu - m0)
    w = (-half + math.sqrt(half**2 - b * c)) / b
    return -memory * math.log(w)


@pytest.mark.parametrize("mean", [0.0, -0.7, 0.4])
def test_a_certificate_of_one_measurement_expires_when_the_formula_says(mean: float) -> None:
    text = STUDY.replace("prior_std: 1.0", f"prior_std: 0.8, prior_mean: {mean}")
    tuner = Tuner(study(text))
    told(tuner, 0.0)
    found = tuner.certify({"x": 0.5}, "default")
    mu, s = found.bounds["margin"].mean, 0.8
    variance = s**2 * NOISE**2 / (s**2 + NOISE**2)
    expected = closed_form(mu, variance, mean, s, BETA, MEMORY)
    assert found.certified
    assert found.until == pytest.approx(expected, rel=2e-4)
    before = tuner.certify({"x": 0.5}, "default", operating_time=0.999 * expected)
    after = tuner.certify({"x": 0.5}, "default", operating_time=1.001 * expected)
    assert (before.certified, after.certified) == (True, False)
    # Asked about later, the same certificate ends at the same time.
    assert before.until == pytest.approx(expected, rel=2e-4)
    assert after.until is None


def test_a_prior_that_certifies_by_itself_never_lets_a_certificate_expire() -> None:
    assert remaining_validity(lambda delay: True, 10.0) is None
    assert remaining_validity(lambda delay: False, 10.0) is None
    # One that fails for a while is over at the first failure.
    assert remaining_validity(lambda delay: not 3.0 < delay < 8.0, 10.0) == pytest.approx(3.0, abs=1e-3)


def test_the_same_times_and_measurements_give_the_same_trials_and_a_restored_tuner_goes_on() -> None:
    first, second = Tuner(study()), Tuner(study())
    times = [0.0, 60.0, 130.0, 200.0]
    a, b = [told(first, t) for t in times], [told(second, t) for t in times]
    assert [(t.parameters, t.predicted, t.certified_until) for t in a] == [
        (t.parameters, t.predicted, t.certified_until) for t in b
    ]
    restored = Tuner(study())
    restored.restore([(r.trial, r.measurement) for r in first.history])
    one, other = first.ask(operating_time=260.0), restored.ask(operating_time=260.0)
    assert (one, one.operating_time) == (other, other.operating_time)
    later = Tuner(study())
    later.restore([(r.trial, r.measurement) for r in second.history])
    assert later.ask(operating_time=400.0).parameters != one.parameters


def test_without_the_key_an_operating_time_changes_nothing_but_itself() -> None:
    text = STUDY.replace(", time: {memory: 40 min, interval: 1 min}", "")
    plain, timed = Tuner(study(text)), Tuner(study(text))
    for minute in range(4):
        one, other = plain.ask(), timed.ask(operating_time=1000.0 * minute)
        assert one == other
        assert (one.operating_time, other.operating_time) == (None, 1000.0 * minute)
        assert other.certified_until is None
        plain.tell(one, plant(one.parameters, {}))
        timed.tell(other, plant(other.parameters, {}))


def test_the_seed_comes_first_after_a_pause_of_more_than_a_tenth_of_the_memory() -> None:
    tuner = Tuner(study())
    assert [told(tuner, t).phase for t in (0.0, 60.0, 120.0)] == ["seed", "local", "local"]
    assert told(tuner, 120.0 + 0.1 * MEMORY).phase == "local"
    again = told(tuner, 120.0 + 0.1 * MEMORY + 0.11 * MEMORY)
    assert (again.phase, again.parameters) == ("seed", {"x": 0.5})
    assert "first after a pause of 4.4 min" in again.reason
    assert told(tuner, again.operating_time or 0.0).phase == "local"


def test_a_trial_that_did_not_run_is_no_end_of_a_pause() -> None:
    tuner = Tuner(study())
    told(tuner, 0.0)
    late = tuner.ask(operating_time=60.0)
    tuner.tell(late, Measurement("failed", message="its certificate expired", operating_time=0.15 * MEMORY))
    assert tuner.ask(operating_time=0.16 * MEMORY).phase == "seed"


def test_a_seed_that_is_unsafe_after_a_pause_stops_the_run() -> None:
    tuner = Tuner(study())
    told(tuner, 0.0)
    trial = tuner.ask(operating_time=MEMORY)
    assert trial.phase == "seed"
    tuner.tell(trial, {"objective": 0.0, "margins": {"margin": -0.1}})
    with pytest.raises(
        UnsafeSeedError, match=r"seed of context default is not safe: trial 2 measured margin.*as it is now"
    ):
        tuner.ask(operating_time=MEMORY + 60.0)


def test_where_everything_has_expired_the_seed_alone_is_tried_and_not_for_ever() -> None:
    tuner = Tuner(study())
    for minute in range(3):
        told(tuner, minute * MINUTE)
    tuner.tell(tuner.ask(operating_time=180.0), {"objective": 0.0, "margins": {"margin": 0.02}})
    weak = {"objective": 0.0, "margins": {"margin": 0.02}}
    tried: list[Trial] = []
    time = 180.0
    while len(tried) < 5 or {t.phase for t in tried[-5:]} != {"seed"}:
        assert len(tried) < 20
        time += 3 * MINUTE
        tried.append(tuner.ask(operating_time=time))
        tuner.tell(tried[-1], weak)
    assert "every certificate has expired" in tried[-1].reason
    tuner.tell(tuner.ask(operating_time=time + 60.0), weak)
    with pytest.raises(EmptySafeSetError, match="nothing is certified"):
        tuner.ask(operating_time=time + 120.0)


def test_an_evaluators_own_clock_goes_before_that_of_the_trial() -> None:
    tuner = Tuner(study())
    trial = tuner.ask(operating_time=0.0)
    seen = plant(trial.parameters, {}) | {"operating_time": 600.0, "duration": 5.0}
    tuner.tell(trial, seen)
    assert next(iter(tuner.history)).operating_time == 600.0
    assert tuner.history.latest() == 605.0
    with pytest.raises(InputError, match="lies before that of the last trial, 600 s"):
        tuner.ask(operating_time=500.0)
    within = checked_measurement(
        {**plant({"x": 0.5}, {}), "extra": {"operating_time": 3.0, "a": 1.0}}, study()
    )
    assert (within.operating_time, dict(within.extra)) == (3.0, {"a": 1.0})


def test_a_trial_without_a_time_is_refused() -> None:
    tuner = Tuner(study())
    for ask in (lambda: tuner.ask(), lambda: tuner.tell_manual({"x": 0.5}, "default", plant({"x": 0.5}, {}))):
        with pytest.raises(InputError, match="every trial needs the robot's operating time"):
            ask()
    with pytest.raises(InputError, match="a number of seconds >= 0, not nan"):
        tuner.ask(operating_time=math.nan)
    assert (
        tuner.tell_manual({"x": 0.5}, "default", plant({"x": 0.5}, {}), operating_time=5.0).operating_time
        == 5.0
    )


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("method: safe_ucb", "method: gosafeopt", "keeps backups, however old they are"),
        ("method: safe_ucb", "method: gp_ucb", "certifies nothing, so no certificate of it expires"),
        ("beta: 2", "beta: 2, confidence: {intersect: true}", "use intersect: false"),
        ("beta: 2", "beta: 2, confidence: {schedule: chowdhury2017}", "rests on a norm over gains"),
        (
            "beta: 2",
            "beta: 2, certificate: measured, lipschitz: [1], measured_noise: [0.1]",
            "rests on measurements however old they are",
        ),
        ("trust: declared", "trust: earned, hyperparameters: map", "trials that cluster in time"),
        ("trust: declared", "trust: declared, prior_data: {}", "no place on this robot's operating time"),
        ("40 min", "40 min, memories: {height: 3 min}", "height"),
        ("interval: 1 min", "interval: 5 min", "5 min exceeds a tenth of the shortest memory (4 min)"),
        (", interval: 1 min", ", lead: 10 min", "10 min exceeds a tenth of the shortest memory"),
        ("40 min", "40 minutes", "must be a duration > 0"),
        ("40 min", "0 s", "must be a duration > 0"),
    ],
)
def test_what_would_void_the_promise_is_refused_in_a_sentence(old: str, new: str, sentence: str) -> None:
    assert old in STUDY
    with pytest.raises(StudyError) as error:
        check_study(study(STUDY.replace(old, new)))
    assert sentence in str(error.value)


def test_optuna_and_prior_runs_have_no_clock() -> None:
    distributions = {"x": optuna.distributions.FloatDistribution(0, 1)}
    assert distributions
    with pytest.raises(StudyError, match="Optuna's trials have no operating time"):
        SafeSampler.from_study(study(), constraints_func=lambda trial: [0.0])
    with pytest.raises(StudyError, match="no place on this robot's operating time"):
        Tuner(study(), prior=[(Trial(1, {"x": 0.5}, {}, "default", "seed", 0, False), None)])


def test_durations_and_their_words() -> None:
    assert [seconds(v) for v in ("40 min", "1.5h", 90, "2 d", "10s")] == [
        2400.0,
        5400.0,
        90.0,
        172800.0,
        10.0,
    ]
    assert [duration_text(v) for v in (38, 750, 9000, 400000)] == ["38 s", "12.5 min", "2.5 h", "4.63 d"]


# -- a run and its journal -------------------------------------------------------------------------------


def test_a_run_keeps_times_and_a_resumed_one_asks_what_the_whole_one_does(tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as executor:
        run(study(), tmp_path / "whole", executor=executor)
        run(study(), tmp_path / "parts", executor=executor, trials=3)
        run(study(), tmp_path / "parts", executor=executor, trials=5, resume=True)
    found = {}
    for name in ("whole", "parts"):
        with Journal.open(tmp_path / name, read_only=True) as journal:
            records = journal.records()
            tuner = Tuner(journal.run.study, journal.run.seed)
        tuner.restore([(r.trial, r.measurement) for r in records])
        asked = tuner.ask(operating_time=300.0)
        found[name] = [(r.trial, r.trial.operating_time, r.measurement) for r in records] + [asked]
        assert [r.operating_time for r in records] == [0.0, 60.0, 120.0, 180.0, 240.0]
        assert [r.trial.certified_until is None for r in records] == [True] + [False] * 4
    assert found["whole"] == found["parts"]
    best = read_best_gains(tmp_path / "whole" / "best.yaml")
    assert best.certified_until is not None
    assert best.certified_until > 240.0
    assert best.certified_until_clock == ""
    assert (
        best.validity()
        == f"certified until {duration_text(best.certified_until)} of operation; measure the seed by then"
    )


class Wall:
    """A clock on the wall that goes on when it is told to."""

    def __init__(self, journal: Journal) -> None:
        self.time = journal.run.created_at.timestamp()

    def __call__(self) -> float:
        return self.time


def journal_of(folder: Path, spec: Study) -> Journal:
    return new_journal(folder, spec, trials=9)


def test_the_clock_is_the_walls_until_the_evaluator_has_one(tmp_path: Path) -> None:
    with journal_of(tmp_path, study(interval=None)) as journal:
        wall = Wall(journal)
        clock = OperatingClock(journal, [], wall)
        tuner = Tuner(journal.run.study)
        wall.time += 100.0
        trial = tuner.ask(operating_time=clock.next())
        assert trial.operating_time == pytest.approx(160.0)  # a minute of lead
        wall.time += 20.0
        assert clock.expired(trial) is None
        wall.time += 7.0
        measurement = clock.measured(trial, Measurement("completed", 0.5, {"margin": 1.2}, duration=5.0))
        assert measurement.operating_time == pytest.approx(120.0)
        assert clock.wall_at(127.0) == pytest.approx(
            journal.run.created_at + timedelta(seconds=127), abs=timedelta(seconds=0.001)
        )
        journal.ask(trial, 0)
        own = clock.measured(trial, replace(measurement, operating_time=1000.0))
        journal.tell(trial.id, own)
        wall.time += 10.0
        assert clock.now() == pytest.approx(1015.0)
        assert [e.kind for e in journal.events()] == [OWN_CLOCK]
        # Another process goes on with the evaluator's clock; the journal was told at the true time of the wall.
        records = journal.records()
        again = OperatingClock(journal, records, wall)
        assert records[0].told_at is not None
        since = wall.time - records[0].told_at.timestamp()
        assert again.now() == pytest.approx(max(0.0, 1005.0 + since))
        back = clock.measured(trial, replace(measurement, operating_time=3.0))
        assert back.operating_time != 3.0
        assert "went back to 3 s" in journal.events()[-1].text


def test_a_trial_whose_certificate_has_expired_does_not_run(tmp_path: Path) -> None:
    with journal_of(tmp_path, study(interval=None)) as journal:
        wall = Wall(journal)
        clock = OperatingClock(journal, [], wall)
        local = Trial(
            2, {"x": 0.6}, {}, "default", "local", 0, True, operating_time=60.0, certified_until=70.0
        )
        wall.time += 69.0
        assert clock.expired(local) is None
        wall.time += 31.0
        refused = clock.expired(local)
        assert refused is not None
        assert refused.outcome == "failed"
        assert "expired 30 s before it could begin" in refused.message
        assert clock.expired(replace(local, phase="seed")) is None


def test_gains_say_until_when_they_are_certified(tmp_path: Path) -> None:
    until = datetime(2026, 3, 1, 14, 32, tzinfo=UTC)
    gains = BestGains(
        "trot",
        {"kp": 1.0},
        True,
        Bounds(0, 1, 2),
        certified_until=5400.0,
        certified_until_clock=until.isoformat(),
    )
    write_best_gains(tmp_path / "best.yaml", gains)
    assert read_best_gains(tmp_path / "best.yaml") == gains
    local = until.astimezone()
    assert gains.validity(until - timedelta(minutes=40)) == (
        f"certified until {local:%H:%M} (90 min of operation); measure the seed by then"
    )
    late = gains.validity(until + timedelta(minutes=3))
    assert late.startswith("NOT certified any more")
    assert "3 min ago" in late
    assert (gains.expired(until - timedelta(seconds=1)), gains.expired(until)) == (False, True)
    assert replace(gains, certified_until=None).validity() == ""


# -- whether it drifts -----------------------------------------------------------------------------------


def evidence_after(memory: float, trials: int, seed: int, level: float = 1.2) -> Evidence:
    """What is said of a declared memory of 40 min after trials of a constraint whose memory is `memory`.

    Trials at one point, a minute apart.
    """
    text = STUDY.replace("trust: declared", "trust: earned").replace("interval: 1 min", "interval: 4 min")
    tuner, rng = Tuner(study(text)), np.random.default_rng(seed)
    keep = 0.0 if memory == 0.0 else math.exp(-4 * MINUTE / memory)
    value = 0.0
    for i in range(trials):
        value = keep * value + math.sqrt(1 - keep**2) * rng.standard_normal() if i else rng.standard_normal()
        seen = {"objective": 0.5, "margins": {"margin": value + NOISE * rng.standard_normal()}}
        tuner.tell_manual({"x": 0.5}, "default", seen, operating_time=4 * MINUTE * i)
    return tuner.evidence()["margin"]


@pytest.mark.slow
def test_a_memory_is_judged_against_none_and_against_a_third_of_it() -> None:
    right = evidence_after(MEMORY, 60, 0)
    steady = evidence_after(math.inf, 60, 0)
    faster = evidence_after(MEMORY / 8, 60, 0)
    assert right.log_drift is not None
    assert right.log_drift > math.log(20)
    assert (right.refuted_by, right.alarm) == ("", "")
    assert steady.log_drift is not None
    assert steady.log_drift < -math.log(20)
    assert steady.refuted_by == ""  # it forgets more than it need, and is not wrong to
    assert "drift 3 times as fast as declared" in faster.refuted_by


def test_a_drift_is_called_one_with_what_to_declare() -> None:
    calm = Evidence("lengthscale x 0.5", 0.0, 0.0)
    alarm = replace(calm, alarm="lengthscale x 0.5, drift that halves what is known in 21 trials")
    (kind, text), *more = changes("height", calm, alarm)
    assert (kind, more) == ("model-alarm", [])
    assert "ALARM height: the robot changes with time" in text
    assert "surrogate.time" in text
    other = dict(changes("height", calm, replace(calm, alarm="noise x 3")))["model-alarm"]
    assert "changes with time" not in other
    timed = dict(changes("height", calm, replace(alarm, log_drift=1.0)))["model-alarm"]
    assert "shorter memory" in timed
    refuted = dict(changes("height", calm, replace(calm, refuted_by="drift that halves")))["prior-refuted"]
    assert "declare how fast with surrogate.time" in refuted
    assert [k for k, _ in changes("height", calm, replace(calm, log_drift=4.0))] == ["drift-shown"]
    assert [k for k, _ in changes("height", calm, replace(calm, log_drift=-4.0))] == ["drift-not-seen"]
    assert not list(changes("height", replace(calm, log_drift=4.0), replace(calm, log_drift=5.0)))


# -- contexts that are read ------------------------------------------------------------------------------

READ_STUDY = """\
name: battery
evaluator: {name: "test_operating_time:powered", options: {repeatable: true}}
parameters:
  - {name: x, bounds: [0, 1]}
context:
  variables:
    - {name: battery, unit: V, bounds: [20, 26], measured: true, lengthscale: 0.2}
  values: {default: {battery: 25}}
objective: {name: reward, noise_std: 0.05}
constraints:
  - {name: margin, unit: m, noise_std: 0.05, prior_std: 1.0}
seeds:
  - parameters: {x: 0.5}
surrogate: {kernel: rbf, lengthscale: 0.3, trust: declared}
tuner: {method: safe_ucb, beta: 2}
trials: 4
"""


def powered(parameters: Mapping[str, float], context: Mapping[str, float]) -> Any:
    """The plant under what its battery says."""
    return plant(parameters, context) | {"extra": {"seen": context["battery"]}}


READ: list[Any] = [25.0, 24.9, 24.8, 24.7]


def read_next() -> Mapping[str, float]:
    """The next voltage."""
    return {"battery": READ.pop(0)}


def test_a_reading_certifies_its_neighbourhood_alone() -> None:
    tuner = Tuner(parse_study(READ_STUDY).study)
    for _ in range(3):
        trial = tuner.ask(readings={"battery": 25.0})
        tuner.tell(trial, plant(trial.parameters, {}))
    assert trial.context == {"battery": 25.0}
    assert trial.phase == "local"
    # The last reading is asked about; far from all readings nothing but the seed is tried.
    assert tuner.certify({"x": 0.5}, "default").certified
    low = tuner.ask(readings={"battery": 20.5})
    assert (low.phase, low.certified, low.context) == ("seed", False, {"battery": 20.5})
    assert "nothing is certified at what was read" in low.reason
    assert not tuner.certify({"x": 0.5}, "default").certified
    tuner.tell(low, plant(low.parameters, {}))
    assert tuner.ask(readings={"battery": 20.4}).phase == "local"


def test_readings_that_are_missing_or_out_of_bounds_are_refused() -> None:
    tuner = Tuner(parse_study(READ_STUDY).study)
    with pytest.raises(InputError, match="needed for battery, and were given for none"):
        tuner.ask()
    with pytest.raises(InputError, match=r"battery reads 19 V, outside the bounds \[20, 26\]"):
        tuner.ask(readings={"battery": 19.0})
    with pytest.raises(StudyError, match="at whatever reading they were tried"):
        check_study(parse_study(READ_STUDY.replace("safe_ucb", "gosafeopt")).study)
    with pytest.raises(InputError, match="needed for none, and were given for battery"):
        Tuner(study(STUDY.replace(", time: {memory: 40 min, interval: 1 min}", ""))).ask(
            readings={"battery": 1.0}
        )


def test_a_run_reads_before_every_trial_and_keeps_what_it_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = parse_study(READ_STUDY).study
    with (
        ThreadPoolExecutor(1) as executor,
        pytest.raises(StudyError, match="does not read 'battery' before a trial"),
    ):
        run(spec, tmp_path / "none", executor=executor)
    monkeypatch.setattr(powered, "read_context", read_next, raising=False)
    with ThreadPoolExecutor(1) as executor:
        run(spec, tmp_path / "run", executor=executor)
        READ[:] = ["full"]
        with pytest.raises(RunStoppedError, match="a finite number is needed for battery"):
            run(spec, tmp_path / "run", executor=executor, trials=5, resume=True)
        with pytest.raises(RunStoppedError, match=r"battery could not be read: .*pop from empty list"):
            run(spec, tmp_path / "run", executor=executor, trials=5, resume=True)
    with Journal.open(tmp_path / "run", read_only=True) as journal:
        records = journal.records()
    assert [r.trial.context["battery"] for r in records] == [25.0, 24.9, 24.8, 24.7]
    assert [r.measurement.extra["seen"] for r in records if r.measurement] == [25.0, 24.9, 24.8, 24.7]
    assert dict(read_best_gains(tmp_path / "run" / "best.yaml").context_values) == {"battery": 24.7}


def told_time(parameters: Mapping[str, float], context: Mapping[str, float], operating_time: float) -> Any:
    """The plant, which keeps the time that it was told."""
    return plant(parameters, context) | {"extra": {"told": operating_time}}


def test_a_plant_that_drifts_is_told_the_time_that_the_journal_holds(tmp_path: Path) -> None:
    for name, text in (
        ("timed", STUDY),
        ("plain", STUDY.replace(", time: {memory: 40 min, interval: 1 min}", "")),
    ):
        spec = parse_study(text.replace(":plant", ":told_time")).study
        with ThreadPoolExecutor(1) as executor:
            run(spec, tmp_path / name, executor=executor, trials=2)
        with Journal.open(tmp_path / name, read_only=True) as journal:
            records, began = journal.records(), journal.run.created_at
        for record in records:
            assert record.measurement is not None
            recorded = (record.asked_at - began).total_seconds()
            expected = recorded if name == "plain" else record.trial.operating_time
            assert record.measurement.extra["told"] == expected
