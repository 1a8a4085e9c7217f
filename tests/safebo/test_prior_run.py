"""Another run as prior: copied, believed or dropped aloud, refused if of another study, resumed bit for bit."""

from __future__ import annotations

import math
import shutil
import signal
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from closed_form_runs import as_older

from safebo.errors import InputError, InterruptedRunError, JournalError, NotARunError
from safebo.experiments.robustness.killed_runs import comparable
from safebo.runs.manual import edit_trial
from safebo.runs.prior_events import prior_state
from safebo.runs.progress import Silent
from safebo.runs.recommend import recommend
from safebo.runs.result import RunResult
from safebo.runs.runner import run
from safebo.runs.tuner_protocol import make_default_tuner
from safebo.storage.journal import Journal
from safebo.study.reading import parse_study
from safebo.tuner import Tuner
from safebo.types import Measurement, Trial

STUDY = """\
name: slope
evaluator:
  name: test_prior_run:plant
  options: {repeatable: true}
parameters:
  - {name: p, unit: N, bounds: [0, 10], lengthscale: 0.35}
objective: {name: speed, unit: m/s, prior_mean: -1, prior_std: 1, noise_std: 0.02}
constraints:
  - {name: height, unit: m, prior_mean: 0, prior_std: 1.5, noise_std: 0.02}
seeds:
  - parameters: {p: 2}
tuner: {beta: 3, search: {domain: grid, grid_points: 41}}
trials: 6
seed: 3
"""
DECLARED = (
    STUDY + "surrogate: {trust: declared, prior_data: {correlation: 0.95, inflation: 1.5, checked: 5}}\n"
)


def plant(
    parameters: Mapping[str, float],
    context: Mapping[str, float],
    seed: int = 0,
    gap: float = 0.1,
    sign: float = 1.0,
) -> Any:
    """Best near p = 6, safe from about 0.5 to 7.5; `gap` and `sign` make it another plant's."""
    p = parameters["p"]
    return {
        "objective": sign * (-((p - 6) ** 2) / 10 + gap * math.sin(p)),
        "margins": {"height": sign * (1 - (p - 4) ** 2 / 12 + gap * math.cos(p)) + (1 - sign)},
    }


def text_of(text: str = DECLARED, **options: float) -> str:
    given = "".join(f", {name}: {value}" for name, value in options.items())
    return text.replace("{repeatable: true}", f"{{repeatable: true{given}}}")


class Heard(Silent):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def told(self, trial: Trial, measurement: Measurement) -> None:
        self.notes.append(f"told {trial.id}")


def tune(folder: Path, text: str = DECLARED, **changes: Any) -> RunResult:
    with ThreadPoolExecutor(max(changes.get("workers") or 1, 1)) as executor:
        return run(parse_study(text), folder, **{"executor": executor, **changes})


def trials_of(folder: Path) -> list[Any]:
    with Journal.open(folder, read_only=True) as journal:
        return [comparable(record) for record in journal.records()]


def events_of(folder: Path, kind: str) -> list[Any]:
    with Journal.open(folder, read_only=True) as journal:
        return [event for event in journal.events() if event.kind == kind]


def state_of(folder: Path) -> dict[str, Any]:
    with Journal.open(folder, read_only=True) as journal:
        state = prior_state(journal)
    assert state is not None
    return state


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("simulated") / "run"
    tune(folder, STUDY + "surrogate: {trust: declared}\n", trials=12)
    return folder


def test_the_copy_is_what_the_other_run_told(simulated: Path, tmp_path: Path) -> None:
    tune(tmp_path / "run", text_of(gap=0.2), prior=simulated, trials=1)
    with Journal.open(simulated, read_only=True) as journal:
        theirs, key = journal.records(), journal.run.run
    with Journal.open(tmp_path / "run", read_only=True) as journal:
        kept = journal.prior()
    assert kept is not None
    assert (kept.run, kept.source, kept.study) == (key, str(simulated), "slope")
    assert "evaluator.options.gap: was not there -> 0.2" in kept.differences
    assert len(kept.records) == len(theirs) == 12
    for (trial, measurement), record in zip(kept.records, theirs, strict=True):
        assert record.measurement is not None
        assert measurement is not None
        for name in ("id", "parameters", "context", "context_name", "phase"):
            assert getattr(trial, name) == getattr(record.trial, name)
        for name in ("outcome", "objective", "margins", "fell"):
            assert getattr(measurement, name) == getattr(record.measurement, name)
    with Journal.open(simulated, read_only=True) as journal:
        assert journal.prior() is None


def test_a_run_takes_what_a_tuner_with_the_same_prior_would(simulated: Path, tmp_path: Path) -> None:
    tune(tmp_path / "run", prior=simulated)
    with Journal.open(simulated, read_only=True) as journal:
        records = [(r.trial, r.measurement) for r in journal.records()]
    study = parse_study(DECLARED).study
    tuner, plain = Tuner(study, prior=records), Tuner(study)
    asked = []
    for trial, measurement, _ in trials_of(tmp_path / "run"):
        mine = tuner.ask()
        asked.append(mine.parameters)
        assert mine.parameters == trial["parameters"]
        assert {name: vars(bounds) for name, bounds in mine.predicted.items()} == trial["predicted"]
        tuner.tell(mine, Measurement("completed", measurement["objective"], measurement["margins"]))
        other = plain.ask()
        plain.tell(other, Measurement("completed", **plant(other.parameters, {})))
    assert asked[0] == {"p": 2.0}
    assert [r.trial.parameters for r in plain.history] != asked
    ((_, best),) = recommend(tmp_path / "run").best
    assert best is not None
    expected = tuner.best()
    assert expected is not None
    assert best.gains == expected.parameters
    assert best.objective == expected.bounds["speed"]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_cut_anywhere_resumes_without_the_other_folder(
    simulated: Path, tmp_path: Path, workers: int
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(simulated, copy)
    tune(tmp_path / "whole", prior=copy, workers=workers)
    whole = trials_of(tmp_path / "whole")
    for cut in (1, 4):
        folder = tmp_path / f"cut{cut}"

        class Cut(Tuner):
            def tell(self, trial: Trial | int, measurement: Measurement | Mapping[str, Any]) -> None:
                super().tell(trial, measurement)
                if len(self.history) - len(self.history.pending()) == cut:  # noqa: B023
                    signal.raise_signal(signal.SIGTERM)

        shutil.copytree(simulated, copy, dirs_exist_ok=True)
        with pytest.raises(InterruptedRunError):
            tune(folder, prior=copy, workers=workers, make_tuner=Cut)
        shutil.rmtree(copy)
        tune(folder, resume=True, workers=None)
        assert trials_of(folder) == whole
        assert len(events_of(folder, "prior")) == 1


def test_a_run_killed_before_its_last_result_was_told_resumes_bit_for_bit(
    simulated: Path, tmp_path: Path
) -> None:
    """Every journal that SIGKILL could have left behind: the rows of later asks and tells are missing."""
    tune(tmp_path / "whole", prior=simulated)
    whole = trials_of(tmp_path / "whole")
    for kept, told in [(1, 0), (1, 1), (3, 2), (5, 5)]:
        folder = tmp_path / f"{kept}-{told}"
        shutil.copytree(tmp_path / "whole", folder)
        as_older(
            folder,
            f"DELETE FROM measurements WHERE trial > {told}",
            f"DELETE FROM trials WHERE id > {kept}",
            f"UPDATE trials SET status = 'asked' WHERE id > {told}",
            "DELETE FROM events",
        )
        tune(folder, resume=True)
        assert trials_of(folder) == whole


def test_resuming_takes_the_same_prior_or_none(simulated: Path, tmp_path: Path) -> None:
    tune(tmp_path / "run", prior=simulated, trials=2)
    tune(tmp_path / "plain", trials=2)
    with pytest.raises(InputError, match=r"began with 12 trials of .*leave --prior out"):
        tune(tmp_path / "run", prior=tmp_path / "plain", resume=True, trials=3)
    with pytest.raises(InputError, match=r"began with 12 trials"):
        tune(tmp_path / "run", prior=tmp_path / "gone", resume=True, trials=3)
    with pytest.raises(InputError, match="began without a prior"):
        tune(tmp_path / "plain", prior=simulated, resume=True, trials=3)
    assert len(trials_of(tmp_path / "run")) == 2
    moved = tmp_path / "moved"
    shutil.copytree(simulated, moved)
    tune(tmp_path / "run", prior=moved, resume=True, trials=3)
    assert tune(tmp_path / "run", prior=simulated, resume=True, trials=4).told == 4


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("name: p, unit: N", "name: q, unit: N", r"parameters: 'q' is not there \(it has p\)"),
        ("name: p, unit: N", "name: p, unit: kN", "parameters.p.unit: 'N' there, 'kN' here"),
        ("bounds: [0, 10]", "bounds: [1, 10], scale: log", "parameters.p.scale: 'linear' there, 'log' here"),
        (
            "name: height, unit: m",
            "name: tilt, unit: m",
            "constraints: 'height' is there and not in this study",
        ),
        ("name: height, unit: m", "name: height, quantity: tilt, unit: m", "constraints.height.quantity"),
        (
            "name: speed, unit: m/s",
            "name: speed, unit: km/h",
            "objective.speed.unit: 'm/s' there, 'km/h' here",
        ),
    ],
)
def test_a_run_of_another_study_is_refused(
    simulated: Path, tmp_path: Path, old: str, new: str, words: str
) -> None:
    text = DECLARED.replace(old, new).replace("{p: 2}", "{q: 2}" if "name: q" in new else "{p: 2}")
    with pytest.raises(InputError, match=f"(?s)run of another study.*{words}"):
        tune(tmp_path / "run", text, prior=simulated)
    assert not (tmp_path / "run").exists()


def test_what_does_not_matter_may_differ(simulated: Path, tmp_path: Path) -> None:
    text = DECLARED.replace("[0, 10]", "[1, 9]").replace("beta: 3", "beta: 2.5").replace("unit: m}", "}")
    text = text.replace("name: height, unit: m,", "name: height,").replace("{p: 2}", "{p: 2.5}")
    assert tune(tmp_path / "run", text, prior=simulated, trials=2, seed=9).told == 2


def test_a_prior_that_holds_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotARunError, match="no such folder"):
        tune(tmp_path / "run", prior=tmp_path / "nowhere")

    class Interrupted(Tuner):
        def ask(self, *how: Any, **more: Any) -> Trial:
            signal.raise_signal(signal.SIGTERM)
            raise InterruptedRunError("now")

    with pytest.raises(InterruptedRunError):
        tune(tmp_path / "empty", make_tuner=Interrupted)
    with pytest.raises(InputError, match="none of its 0 trials was completed"):
        tune(tmp_path / "run", prior=tmp_path / "empty")
    assert not (tmp_path / "run").exists()


def test_defaults_are_said(simulated: Path, tmp_path: Path) -> None:
    heard = Heard()
    fitted = STUDY + "surrogate: {hyperparameters: map}\n"  # where no correlation can be earned
    tune(tmp_path / "run", fitted, prior=simulated, trials=1, progress=heard)
    assert heard.notes[0].startswith(f"12 trials of {simulated} serve as prior: correlation 0.8 is declared")
    assert "The study has no surrogate.prior_data, so these numbers are its defaults" in heard.notes[0]
    (event,) = events_of(tmp_path / "run", "prior")
    assert event.text == heard.notes[0]
    assert event.data["trials"] == 12
    heard = Heard()
    tune(tmp_path / "declared", prior=simulated, trials=1, progress=heard)
    assert "defaults" not in heard.notes[0]
    assert "correlation 0.95 is declared" in heard.notes[0]


def test_the_correlation_is_said_and_kept(simulated: Path, tmp_path: Path) -> None:
    heard = Heard()
    tune(tmp_path / "run", text_of(gap=0.12), prior=simulated, progress=heard)
    events = events_of(tmp_path / "run", "prior-correlation")
    assert [event.data["pairs"] for event in events] == [4, 6]
    assert [event.text for event in events] == [n for n in heard.notes if n.startswith("correlation")]
    assert heard.notes[5].startswith("correlation")  # after the opening and four trials
    found = events[-1].data["functions"]["speed"]
    assert found["pairs"] == 6
    assert found["interval"][0] < found["correlation"] < found["interval"][1]
    assert found["correlation"] > 0.9
    state = state_of(tmp_path / "run")
    assert state["dropped"] is None
    assert state["correlation"]["pairs"] == 6


def test_a_contradiction_drops_the_prior_aloud_and_once(simulated: Path, tmp_path: Path) -> None:
    text = text_of(sign=-1.0)
    heard = Heard()
    tune(tmp_path / "run", text, prior=simulated, trials=4, progress=heard)
    tune(tmp_path / "plain", text, trials=4)
    (event,) = events_of(tmp_path / "run", "prior-dropped")
    assert event.trial == 1
    assert event.data["statistic"] > event.data["limit"]
    assert event.text in heard.notes
    assert f"{event.data['function']} contradicts it after 1 trial (" in event.text
    assert state_of(tmp_path / "run")["dropped"]["trial"] == 1
    again = Heard()
    tune(tmp_path / "run", text, resume=True, trials=6, progress=again)
    assert len(events_of(tmp_path / "run", "prior-dropped")) == 1
    assert event.text not in again.notes
    # From the contradiction on, what is proposed is what no prior would have let propose.
    ours, theirs = trials_of(tmp_path / "run"), trials_of(tmp_path / "plain")
    assert [t["parameters"] for t, _, _ in ours[:4]] == [t["parameters"] for t, _, _ in theirs]


def test_news_that_a_killed_run_did_not_tell_are_told_on_resume(simulated: Path, tmp_path: Path) -> None:
    text = text_of(sign=-1.0)
    tune(tmp_path / "run", text, prior=simulated, trials=2)
    as_older(tmp_path / "run", "DELETE FROM events")
    heard = Heard()
    tune(tmp_path / "run", text, resume=True, trials=3, progress=heard)
    (event,) = events_of(tmp_path / "run", "prior-dropped")
    assert heard.notes.index(event.text) < heard.notes.index("told 3")


def test_what_is_done_by_hand_knows_the_prior(simulated: Path, tmp_path: Path) -> None:
    """A changed proposal is judged with the prior, as the run would judge it."""

    folder = tmp_path / "run"
    tune(folder, prior=simulated, trials=3)
    as_older(
        folder, "DELETE FROM measurements WHERE trial = 3", "UPDATE trials SET status = 'asked' WHERE id = 3"
    )
    with Journal.open(folder, read_only=True) as journal:
        kept, records = journal.prior(), journal.records()
        study = journal.run.study
    assert kept is not None
    tuner = Tuner(study, prior=kept.records)
    tuner.restore([(r.trial, r.measurement) for r in records])
    expected = tuner.certify({"p": 5.0}, "default")
    new = edit_trial(folder, 3, {"p": 5.0})
    assert new.predicted == expected.bounds
    plain = make_default_tuner(study, 3)
    plain.restore([(r.trial, r.measurement) for r in records])
    assert new.predicted != plain.certify({"p": 5.0}, "default").bounds  # type: ignore[attr-defined]


def test_a_changed_copy_is_damage(simulated: Path, tmp_path: Path) -> None:
    tune(tmp_path / "run", prior=simulated, trials=1)
    as_older(tmp_path / "run", "UPDATE prior_trials SET objective = objective + 1e-9 WHERE id = 5")
    with pytest.raises(JournalError, match=r"the 12 trials of its prior .* were changed"):
        tune(tmp_path / "run", resume=True, trials=2)


def test_a_journal_from_before_priors_opens_and_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    tune(folder, trials=2)
    as_older(folder, "DROP TABLE prior_trials", "DROP TABLE prior_runs")
    with Journal.open(folder, read_only=True) as journal:
        assert journal.prior() is None
    tune(folder, resume=True, trials=4)
    tune(tmp_path / "whole", trials=4)
    assert trials_of(folder) == trials_of(tmp_path / "whole")
