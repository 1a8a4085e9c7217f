"""The page stands alone, says what is missing, and the gains survive their file."""

from __future__ import annotations

import base64
import dataclasses
import html
import re
import sys
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from present import present
from report_samples import make_data

from safebo.errors import OtherFileError
from safebo.report.html import with_commands
from safebo.report.page import write_gains, write_report
from safebo.report.summary import summarize
from safebo.report.tables import backup_rows, gain_table, trial_rows
from safebo.report.telemetry import TelemetryError, read_recording
from safebo.runs.best_gains import (
    BestGains,
    read_best_gains,
    write_best_gains,
    written_by_run,
)
from safebo.runs.recommendation import best_gains_path
from safebo.study import Study
from safebo.text.file_names import file_name
from safebo.text.printable import printable
from safebo.types import Bounds, Measurement, TrialRecord

pytestmark = pytest.mark.slow


class References(HTMLParser):
    """Collects every address that a browser would fetch, and the tags left open."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "data", "srcset")]
        if tag not in ("meta", "img", "br", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def rough_page(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("rough")
    data = make_data(contexts=2, predict=True, accidents=True, parameters=3)
    page = write_report(data, folder)
    write_gains(data, folder)
    return folder, page.read_text(encoding="utf-8")


def test_page_is_self_contained_and_well_formed(rough_page: tuple[Path, str]) -> None:
    _, html = rough_page
    parser = References()
    parser.feed(html)
    assert parser.open == []
    assert parser.addresses
    assert all(a.startswith(("data:", "#")) for a in parser.addresses)
    anchors = {a[1:] for a in parser.addresses if a.startswith("#")}
    assert anchors <= set(re.findall(r'id="([^"]+)"', html))
    assert not re.search(r"https?://|@import|url\(|<script", html)


def test_pictures_lie_beside_the_page(rough_page: tuple[Path, str]) -> None:
    folder, html = rough_page
    names = sorted(p.name for p in (folder / "report").iterdir())
    assert names == [
        "bounds-crawl.png", "bounds-trot.png", "margins.png", "objective.png", "relevance.png",
        "safe-set-crawl.png", "safe-set-trot.png",
    ]  # fmt: skip
    assert all((folder / "report" / name).read_bytes().startswith(b"\x89PNG") for name in names)
    assert html.count("data:image/svg+xml;base64,") == len(names)


def test_an_old_picture_does_not_survive(tmp_path: Path) -> None:
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "bounds-gone.png").write_bytes(b"old")
    write_report(make_data(count=3, parameters=1), tmp_path)
    assert not (tmp_path / "report" / "bounds-gone.png").exists()


def test_predicted_contexts_are_marked(rough_page: tuple[Path, str]) -> None:
    folder, html = rough_page
    assert "predicted, not certified" in html
    assert read_best_gains(folder / "predicted-pronk.yaml").certified is False
    assert read_best_gains(folder / "best-trot.yaml").certified is True
    assert not (folder / "best.yaml").exists()


def test_same_data_same_page(tmp_path: Path) -> None:
    data = make_data(count=5, parameters=1)
    pages = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        pages.append(write_report(data, tmp_path / name).read_bytes())
    assert pages[0] == pages[1]


def test_nothing_certified_is_said_and_leaves_no_gains(tmp_path: Path) -> None:
    data = make_data(certified=False, parameters=2)
    html = write_report(data, tmp_path).read_text(encoding="utf-8")
    assert write_gains(data, tmp_path) == []
    assert "no gains are certified safe, so there is no best" in html.lower()
    assert "holds the others at the seed gains" in html
    assert not list(tmp_path.glob("*.yaml"))


def test_a_run_without_trials_still_has_a_page(tmp_path: Path) -> None:
    html = write_report(make_data(count=0, certified=False), tmp_path).read_text(encoding="utf-8")
    for sentence in (
        "No trial has been told yet.", "No trial has measured a margin yet.", "No backup fired in this run.",
        "No trajectory was saved", "No trial has been asked yet.", "No slices",
    ):  # fmt: skip
        assert sentence in html
    assert "<img" not in html


def test_text_from_people_is_escaped(tmp_path: Path) -> None:
    data = make_data(count=2, parameters=1)
    entry = data.entries[1]
    assert entry.measurement is not None
    hostile = dataclasses.replace(entry.measurement, message="<script>alert(1)</script>")
    data = dataclasses.replace(data, entries=(data.entries[0], TrialRecord(entry.trial, hostile)))
    html = write_report(data, tmp_path).read_text(encoding="utf-8")
    assert "<script" not in html
    assert "&lt;script&gt;" in html


RENAMED = {
    "sample": "st<udy>\x1b]0;title\x07",
    "joint.hip.kp": "$\\frac$",
    "joint.hip.kd": "_N$ \u202e",
    "joint_tracking": "步<script>alert(1)</script>",
    "joint_error": "$x_1^$",
    "attitude": "\"'\x07" + "x" * 190,
    "trot": "_a b",
    "crawl": "a/b",
    "pronk": '../../_跑"',
    "rad²": "\\frac{N$}$",
    "N m/rad": "\x1b[2J",
}
"""Names and units that would break a picture, a page or a terminal."""


def renamed(value: Any) -> Any:
    """A report's data with other names, wherever they stand."""
    if isinstance(value, Study):
        return Study.model_validate(renamed(value.model_dump()))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        parts = {f.name: renamed(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return dataclasses.replace(value, **parts)
    if isinstance(value, Mapping):
        return {renamed(k): renamed(v) for k, v in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(renamed(v) for v in value)
    return RENAMED.get(value, value) if isinstance(value, str) else value


@pytest.mark.filterwarnings("error")
def test_hostile_names_are_shown_and_do_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    data = renamed(make_data(contexts=2, predict=True, count=8, parameters=2))
    page = write_report(data, folder).read_text(encoding="utf-8")
    gains = {read_best_gains(path).context: path for path in write_gains(data, folder)}
    assert set(gains) == {"_a b", "a/b", RENAMED["pronk"]}
    assert {path.parent for path in gains.values()} == {folder}
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    parser = References()
    parser.feed(page)
    assert parser.open == []
    assert all(a.startswith(("data:", "#")) for a in parser.addresses)
    assert "<script" not in page
    assert printable(page) == page
    pictures = [base64.b64decode(a.split(",")[1]) for a in parser.addresses if a.startswith("data:")]
    assert len(pictures) == len(list((folder / "report").iterdir())) == 7
    for picture in pictures:
        ElementTree.fromstring(picture)  # a browser shows only well-formed SVG
    texts = b"".join(pictures).decode()
    assert "<!-- _a b -->" in texts, "matplotlib leaves labels out of a legend that begin with _"
    for text in ("$\\frac$", "_N$ \\u202e", "\\u6b65", "$x 1^$", "a/b", "\\x1b[2J"):
        assert f"<!-- {text}" in texts or text in html.unescape(texts), text


def test_files_of_somebody_else_are_left_alone(tmp_path: Path) -> None:
    data = make_data(contexts=2, count=2, parameters=1)
    own = tmp_path / "report" / "mine.png"
    own.parent.mkdir()
    own.write_bytes(b"mine")
    trot, crawl = write_gains(data, tmp_path)
    trot.write_text(trot.read_text().replace("certified: true", "certified: false"))
    mine = trot.read_text()
    crawl.unlink()
    with pytest.raises(
        OtherFileError, match=r"best-trot\.yaml: was not written by this run.* Move it elsewhere"
    ):
        write_gains(data, tmp_path)
    assert trot.read_text() == mine
    assert crawl.exists(), "the others are written all the same"
    page = write_report(data, tmp_path)
    assert page.read_text(encoding="utf-8").count("Kept in no file") == 1
    assert own.read_bytes() == b"mine"
    page.write_text("mine")
    with pytest.raises(OtherFileError, match="was not made by safebo"):
        write_report(data, tmp_path)
    assert page.read_text() == "mine"


def test_gains_of_an_older_version_are_the_run_s_own(tmp_path: Path) -> None:
    data = make_data(count=2, parameters=1)
    (path,) = write_gains(data, tmp_path)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([lines[0], *lines[2:]]))  # there was no checksum
    assert written_by_run(path, "sample", "default")
    assert not written_by_run(path, "sample", "other")
    assert not written_by_run(path, "other", "default")
    path.write_text("".join([lines[0], "# mine\n", *lines[2:]]))
    assert not written_by_run(path, "sample", "default")


@pytest.mark.parametrize("name", ["x" * 5000, "a\x00b", ".", "/dev/null"])
def test_a_trajectory_that_is_no_path_is_said(tmp_path: Path, name: str) -> None:
    with pytest.raises(TelemetryError, match=r"^the trajectory .{1,400}$"):
        read_recording(tmp_path / name, 1)


def test_summary_counts_by_brute_force() -> None:
    data = make_data(contexts=2, predict=True, accidents=True)
    summary = summarize(data)
    told = [e.measurement for e in data.entries if e.measurement is not None]
    assert summary.trials == 40
    assert sum(summary.outcomes.values()) == 40
    assert summary.outcomes["no result"] == 1
    assert summary.outcomes["failed"] == 1
    assert summary.falls == 1
    assert summary.backups == sum(m.outcome == "backup" for m in told) > 0
    assert summary.violations == summary.local_violations == 1
    local = [(e.trial.id, e.measurement) for e in data.entries if e.trial.phase != "global"]
    worst = min((m.margins["attitude"], number) for number, m in local if m is not None and m.margins)
    assert [(s.value, s.trial) for s in summary.smallest if s.constraint == "attitude"] == [worst]
    trot = summary.contexts[0]
    assert trot.seed_objective == present(data.entries[0].measurement).objective
    best, start = present(data.contexts[0].best).objective.mean, present(trot.seed_objective)
    assert trot.change == pytest.approx(100 * (best - start) / abs(start))
    assert "better" in trot.sentence
    assert summary.contexts[2].sentence.startswith("never tried")


def test_nan_margins_do_not_count() -> None:
    data = make_data(count=2)
    broken = TrialRecord(
        data.entries[1].trial, Measurement("failed", float("nan"), {"attitude": float("nan")})
    )
    summary = summarize(dataclasses.replace(data, entries=(data.entries[0], broken)))
    assert summary.violations == 0
    assert [s.trial for s in summary.smallest] == [0, 0]


def test_gain_rows_say_where_in_the_bounds() -> None:
    data = make_data(parameters=2)
    table = gain_table(data, data.contexts[0], "best.yaml")
    kp = table.rows[0]
    assert (kp.seed, kp.lower, kp.upper, kp.best) == ("70", "5", "150", "121")
    assert kp.best_position == pytest.approx(0.8)
    assert kp.seed_position == pytest.approx(65 / 145)
    assert kp.change == "+73 %"
    log = data.study.parameters[0].model_copy(update={"scale": "log"})
    study = data.study.model_copy(update={"parameters": [log, data.study.parameters[1]]})
    row = gain_table(dataclasses.replace(data, study=study), data.contexts[0], "best.yaml").rows[0]
    assert row.best_position == pytest.approx(np.log(121 / 5) / np.log(30))


def test_every_backup_has_its_rule_guarantee_and_state() -> None:
    data = make_data(contexts=2, accidents=True)
    rows = backup_rows(data)
    fired = [e for e in data.entries if e.measurement is not None and e.measurement.outcome == "backup"]
    assert [r.id for r in rows] == [e.trial.id for e in fired]
    assert [r.guarantee for r in rows] == ["yes" if e.trial.trigger_guarantee else "no" for e in fired]
    assert rows[0].state == ("roll 0.1", "pitch −0.25", "height 0.27")
    assert rows[0].rule == "lipschitz"


def test_trial_rows_mark_what_went_wrong() -> None:
    rows = {r.id: r for r in trial_rows(make_data(contexts=2, accidents=True))}
    assert rows[18].bad
    assert rows[18].outcome == "aborted, fell"
    assert "the trunk touched the floor" in rows[18].words
    assert rows[25].margins == (None, None)
    assert rows[39].outcome == "unknown"
    assert not rows[1].bad


def test_best_gains_round_trip(tmp_path: Path) -> None:
    best = BestGains(
        "trot #1: fast",
        {"joint.hip.kp": 123.4, "swing.kp_xy": 1e-5},
        True,
        Bounds(-14.0, -12.0, -10.5),
        {"attitude": Bounds(0.01, 0.1, 0.2)},
        "go1-trot",
        "tracking",
        "rad²",
        {"duty": 0.5},
    )
    path = tmp_path / "best.yaml"
    write_best_gains(path, best)
    assert read_best_gains(path) == best
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert document["gains"] == best.gains
    assert document["objective_lower_bound"] == -14.0
    assert [p.name for p in tmp_path.iterdir()] == ["best.yaml"]


def test_best_gains_paths() -> None:
    folder = Path("run")
    assert best_gains_path(folder, "trot", certified=True, several=False) == folder / "best.yaml"
    file = best_gains_path(folder, "a/b c", certified=True, several=True)
    assert file == folder / f"best-{file_name('a/b c')}.yaml"
    assert best_gains_path(folder, "trot", certified=False, several=False) == folder / "predicted-trot.yaml"


@pytest.mark.parametrize(
    ("text", "words"),
    [("[1, 2]", "expected a mapping"), ("gains: {a: 1}", "'context' is missing"), ("a: [", "not valid YAML"),
     ("{gains: 3, context: x, certified: true}", "not a file of best gains")],
)  # fmt: skip
def test_a_wrong_file_of_gains_is_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "best.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=words):
        read_best_gains(path)


def write_trajectory(path: Path, names: dict[str, str]) -> None:
    fields = [pa.field(name, pa.float64(), metadata={"unit": unit}) for name, unit in names.items()]
    columns = [np.linspace(0, 1, 11) + (0.5 if "desired" in name else 0.0) for name in names]
    pq.write_table(pa.table(columns, schema=pa.schema(fields)), path)


def test_telemetry_by_the_naming_convention(tmp_path: Path) -> None:
    path = tmp_path / "walk.parquet"
    write_trajectory(
        path,
        {
            "time": "s", "joint_position.hip": "rad", "joint_position_desired.hip": "rad", "height": "m",
            "height_desired": "m", "torque.hip": "N m",
        },
    )  # fmt: skip
    recording = read_recording(path, 7)
    assert recording.trial == 7
    assert [(s.name, s.unit) for s in recording.signals] == [("joint_position.hip", "rad"), ("height", "m")]
    assert recording.signals[0].rms_error == pytest.approx(0.5)
    np.testing.assert_allclose(recording.time, np.linspace(0, 1, 11))


@pytest.mark.parametrize("names", [{"time": "s", "a": "rad"}, {"a": "rad", "a_desired": "rad"}])
def test_telemetry_that_shows_no_tracking_is_refused(tmp_path: Path, names: dict[str, str]) -> None:
    path = tmp_path / "walk.parquet"
    write_trajectory(path, names)
    with pytest.raises(TelemetryError, match=r"walk\.parquet has no column"):
        read_recording(path, 0)


def test_unreadable_telemetry_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TelemetryError, match="does not exist"):
        read_recording(tmp_path / "gone.parquet", 0)
    (tmp_path / "bad.parquet").write_text("no")
    with pytest.raises(TelemetryError, match="no readable Parquet"):
        read_recording(tmp_path / "bad.parquet", 0)
    (tmp_path / "walk.csv").write_text("no")
    with pytest.raises(TelemetryError, match=r"walk\.csv is of no kind that can be read .*\.parquet"):
        read_recording(tmp_path / "walk.csv", 0)
    (tmp_path / "walk.mcap").write_text("no")
    with pytest.raises(TelemetryError, match=r"walk\.mcap: is no MCAP file"):
        read_recording(tmp_path / "walk.mcap", 0)
    for module in ("safebo.hardware.tuning.recording", "safebo.hardware.records.reading"):
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "mcap.stream_reader", None)
    with pytest.raises(
        TelemetryError, match=r"walk\.mcap cannot be read here, its reader lacks a package: .*mcap"
    ):
        read_recording(tmp_path / "walk.mcap", 0)


def test_commands_in_a_sentence_are_code_and_nothing_else_becomes_html() -> None:
    assert with_commands("No process works on it: `safebo tune x --resume` goes on.") == (
        "No process works on it: <code>safebo tune x --resume</code> goes on."
    )
    assert with_commands("`<b>` & <i>") == "<code>&lt;b&gt;</code> &amp; &lt;i&gt;"
    assert with_commands("a ` alone & <b>") == "a ` alone &amp; &lt;b&gt;"
