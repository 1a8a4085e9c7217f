"""What `best` reads instead of computing: the same answer, or none."""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from closed_form_runs import STUDY, HashTuner

from safebo.boundary import kernels
from safebo.errors import JournalError
from safebo.runs import recommendation as origin_module
from safebo.runs.best_gains import read_best_gains, write_best_gains
from safebo.runs.recommend import recommend
from safebo.runs.runner import run
from safebo.storage.journal import Journal
from safebo.storage.run_lock import run_lock
from safebo.study.reading import parse_study
from safebo.tuner import Tuner
from safebo.types import Measurement

pytestmark = pytest.mark.slow

SHORT = STUDY.replace(
    "trials: 8", "trials: 4\ntuner: {search: {swarm_size: 8, swarm_iterations: 3, restarts: 1}}"
)


def tune(folder: Path, text: str = SHORT, **changes: Any) -> None:
    with ThreadPoolExecutor(2) as executor:
        run(parse_study(text), folder, executor=executor, **{"seed": 3, **changes})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, and another of the same study beside it."""
    place = tmp_path_factory.mktemp("runs")
    tune(place / "run")
    tune(place / "other", seed=5)
    return place


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A copy of the finished run."""
    return Path(shutil.copytree(made, tmp_path / "made")) / "run"


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Contexts for which a tuner was asked for its best."""
    asked: list[str] = []
    best = Tuner.best

    def counted(self: Tuner, context: str | None = None) -> Any:
        asked.append(str(context))
        return best(self, context)

    monkeypatch.setattr(Tuner, "best", counted)
    return asked


def anew(folder: Path) -> Any:
    """What is recommended by a tuner that is certainly restored."""
    best = recommend(folder, make_tuner=lambda study, seed: Tuner(study, seed)).best
    return [(name, gains and replace(gains, origin="")) for name, gains in best]


def answer(folder: Path) -> Any:
    return [(name, gains and replace(gains, origin="")) for name, gains in recommend(folder).best]


def test_a_finished_run_is_not_computed_again(folder: Path, computed: list[str]) -> None:
    before = {path: path.read_bytes() for path in folder.iterdir()}
    kept = answer(folder)
    assert computed == []
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    assert kept == anew(folder)
    assert kept[0][1].certified


def test_best_loads_no_torch_where_the_answer_is_kept(folder: Path) -> None:
    code = (
        "import sys; from safebo.runs.recommend import recommend; "
        f"assert recommend({str(folder)!r}).best[0][1].certified; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def _changed(path: Path, old: str, new: str, sign: bool = False) -> None:
    title, checksum, mapping = path.read_text().split("\n", 2)
    assert old in mapping
    mapping = mapping.replace(old, new)
    if sign:
        checksum = checksum[: checksum.rindex(" ") + 1] + hashlib.sha256(mapping.encode()).hexdigest()
    path.write_text(f"{title}\n{checksum}\n{mapping}")


def _another_runs(path: Path) -> None:
    """The gains of another run of the same study, whole and unchanged."""
    path.write_bytes((path.parent.parent / "other/best.yaml").read_bytes())


def _one_more_trial(path: Path) -> None:
    with Journal.open(path.parent) as journal:
        trial = replace(journal.records()[-1].trial, id=5, parameters={"p": 5.5, "d": 1.0}, phase="manual")
        journal.enter(trial, Measurement("completed", objective=1.0, margins={"height": 2.5}), 9)


CHANGES: dict[str, Callable[[Path], Any]] = {
    "a trial more": _one_more_trial,
    "a gain changed": lambda path: _changed(path, "p: ", "p: 1"),
    "a bound changed": lambda path: _changed(path, "lower_bound: ", "lower_bound: 9"),
    "not certified": lambda path: _changed(path, "certified: true", "certified: false", sign=True),
    "another context": lambda path: _changed(path, "context: default", "context: other", sign=True),
    "no origin": lambda path: _changed(path, "computed_from: ", "computed_then: ", sign=True),
    "another origin": lambda path: _changed(path, "computed_from: ", "computed_from: a", sign=True),
    "another run's": _another_runs,
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:-30]),
    "cut to the mapping": lambda path: path.write_text(path.read_text().split("\n", 2)[2]),
    "empty": lambda path: path.write_bytes(b""),
    "no text": lambda path: path.write_bytes(b"\xff\x00\xfe" * 50),
    "a folder": lambda path: path.rename(path.with_suffix(".old")).with_suffix(".yaml").mkdir(),
    "a link to itself": lambda path: (
        path.rename(path.with_suffix(".old")).with_suffix(".yaml").symlink_to(path)
    ),
    "gone": Path.unlink,
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_file_that_is_not_of_this_journal_is_never_used(
    folder: Path, computed: list[str], change: str
) -> None:
    CHANGES[change](folder / "best.yaml")
    found = answer(folder)
    assert computed == ["default"]
    assert found == anew(folder)


@pytest.mark.parametrize("change", ["a trial more", "not certified", "another run's", "gone"])
def test_what_was_computed_is_kept_for_the_next(folder: Path, computed: list[str], change: str) -> None:
    CHANGES[change](folder / "best.yaml")
    first = recommend(folder)
    computed.clear()
    assert recommend(folder) == first
    assert computed == []
    assert read_best_gains(folder / "best.yaml") == first.best[0][1]


def test_a_file_of_another_writer_stays_as_it_is(folder: Path, computed: list[str]) -> None:
    (folder / "best.yaml").write_text("gains: {p: 1, d: 1}\n")
    answer(folder)
    assert computed == ["default"]
    assert (folder / "best.yaml").read_text() == "gains: {p: 1, d: 1}\n"


def test_nothing_is_written_while_another_process_works_on_the_run(folder: Path) -> None:
    (folder / "best.yaml").unlink()
    with run_lock(folder):
        recommend(folder)
    assert not (folder / "best.yaml").exists()


@pytest.mark.parametrize("name", ["versions", "_code"])
def test_another_version_computes_again(
    folder: Path, computed: list[str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(origin_module, name, lambda: "another")
    recommend(folder)
    assert computed == ["default"]


def test_what_other_code_computes_is_never_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tuner or a kernel of somebody's own may change while its name stays."""
    tune(tmp_path / "tuner", make_tuner=HashTuner)
    assert read_best_gains(tmp_path / "tuner/best.yaml").origin == ""
    with monkeypatch.context() as patch:
        patch.setattr(kernels, "KERNELS", dict(kernels.KERNELS))
        kernels.register_kernel(replace(kernels.KERNELS["rbf"], name="mine"))
        tune(tmp_path / "kernel", SHORT + "surrogate: {kernel: mine}\n")
        assert read_best_gains(tmp_path / "kernel/best.yaml").origin == ""


def test_a_round_that_was_not_told_whole_claims_nothing(
    tmp_path: Path, computed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal then holds a measurement of which the tuner that wrote the file has not heard."""
    tell = Journal.tell

    def failing(self: Journal, trial_id: int, measurement: Measurement) -> None:
        if trial_id == 4:
            raise JournalError("no room")
        tell(self, trial_id, measurement)

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "tell", failing)
        with pytest.raises(JournalError):
            tune(tmp_path, workers=2)
    assert read_best_gains(tmp_path / "best.yaml").origin == ""
    computed.clear()
    assert answer(tmp_path) == anew(tmp_path)
    assert len(computed) == 2


def test_gains_read_back_are_the_gains_that_were_written(folder: Path) -> None:
    best = recommend(folder).best[0][1]
    assert best is not None
    write_best_gains(folder / "copy.yaml", best)
    assert read_best_gains(folder / "copy.yaml") == best


def test_a_run_that_goes_on_meanwhile_is_not_mistaken(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A trial that is told between the reading of the journal and the writing of the gains."""
    (folder / "best.yaml").unlink()
    best = Tuner.best

    def and_one_more(self: Tuner, context: str | None = None) -> Any:
        _one_more_trial(folder / "best.yaml")
        return best(self, context)

    with monkeypatch.context() as patch:
        patch.setattr(Tuner, "best", and_one_more)
        recommend(folder)
    assert not (folder / "best.yaml").exists()
