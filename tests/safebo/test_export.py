"""Gains for a robot's own software: every format read back by somebody else, whatever the names are."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from new_journal import new_journal

from safebo.cli.main import app
from safebo.errors import InputError, OtherFileError, SafeboError
from safebo.runs.best_gains import BestGains
from safebo.runs.export_formats import FORMATS, c_name, c_names, exported_text
from safebo.runs.exported import Export, ExportedGains, gains_of_trial, recommended_gains, write_export
from safebo.runs.recommend import Recommended
from safebo.study.reading import load_study
from safebo.types import Bounds, Measurement, Trial

GAINS: dict[str, float | int | str] = {
    "joint.hip.kp": 72.8006144,
    "joint.hip.kd": 1e-05,
    "mpc.horizon": 10,
    "gait": 'trot "quoted" ??/ 50 % ünï',
    "for": 1 / 3,
    "2nd gain": 5e-324,
    "κ": 1.7976931348623157e308,
    "λ": -0.0,
    "a b": 70.0,
    "a.b": 71.0,
}
UNITS = {"joint.hip.kp": "N m/rad", "joint.hip.kd": "N m s/rad */ evil /*"}
FACTS = {"run": "/runs/x\ny", "trial": 3, "advice": "ends with \\", "none": None}
ONE = Export("go1-trot", (ExportedGains("trot", GAINS, UNITS, True, "best certified gains", FACTS),))
TWO = replace(ONE, contexts=(*ONE.contexts, replace(ONE.contexts[0], context="Trot", certified=False)))


@pytest.mark.parametrize("form", ["yaml", "json"])
def test_yaml_and_json_give_back_every_bit(form):
    read = yaml.safe_load if form == "yaml" else json.loads
    document = read(exported_text(ONE, form))
    assert document["gains"] == GAINS
    assert [type(v) for v in document["gains"].values()] == [type(v) for v in GAINS.values()]
    assert document["units"]["joint.hip.kp"] == "N m/rad"
    assert (document["certified"], document["trial"]) == (True, 3)
    several = read(exported_text(TWO, form))
    assert list(several["contexts"]) == ["trot", "Trot"]
    assert several["contexts"]["Trot"]["certified"] is False


def flat(tree, begin=""):
    """Parameters as ROS 2 names them: levels joined by dots."""
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from flat(value, f"{begin}{key}.")
        else:
            yield f"{begin}{key}", value


@pytest.mark.parametrize("node", ["/**", "go1_controller", "/lab/go1_controller"])
def test_a_parameter_file_names_what_ros_names(node):
    document = yaml.safe_load(exported_text(ONE, "ros2", node))
    assert list(document) == [node]
    parameters = document[node]["ros__parameters"]
    assert parameters["joint"]["hip"] == {"kp": 72.8006144, "kd": 1e-05}
    assert dict(flat(parameters)) == GAINS
    assert isinstance(parameters["a b"], float)
    both = yaml.safe_load(exported_text(TWO, "ros2"))["/**"]["ros__parameters"]
    assert both["Trot"]["joint"]["hip"]["kp"] == 72.8006144


def test_doubles_have_a_point_in_a_parameter_file():
    """ROS 2 takes `70` for an integer and then refuses it for a double."""
    text = exported_text(ONE, "ros2")
    assert re.search(r"^ +a b: 70\.0$", text, re.MULTILINE)
    assert re.search(r"^ +kd: 1\.0e-05$", text, re.MULTILINE)
    assert re.search(r"^ +horizon: 10$", text, re.MULTILINE)


@given(
    st.dictionaries(
        st.text("ab.é ", max_size=5), st.floats(allow_nan=False, allow_infinity=False), max_size=8
    )
)
def test_any_names_come_back_from_a_parameter_file(gains):
    export = Export("x", (ExportedGains("c", gains, {}, True, "k"),))
    found = yaml.safe_load(exported_text(export, "ros2"))["/**"]["ros__parameters"]
    assert dict(flat(found)) == gains


@pytest.mark.parametrize("node", ["", "9x", "a b", "a//b", "/", "a/", "${x}"])
def test_names_that_no_node_has_are_refused(node):
    with pytest.raises(InputError, match="must be a ROS 2 node's name"):
        exported_text(ONE, "ros2", node)


@given(st.lists(st.text(max_size=12), max_size=20))
def test_any_names_become_identifiers_no_two_the_same(names):
    found = c_names(names)
    assert len(set(found)) == len(names)
    for name in found:
        assert re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name)
        assert "__" not in name


def test_names_of_c_are_readable():
    assert [c_name(n) for n in ("joint.hip.kp", "2 Größe", "for", "κ", "__x__")] == [
        *("joint_hip_kp", "n2_Grosse", "for_", "gain", "x"),
    ]


@pytest.mark.parametrize(
    "compiler", [("gcc", "-std=c99"), ("gcc", "-std=gnu2x"), ("g++", "-std=c++11"), ("g++", "-std=c++20")]
)
def test_the_header_compiles_without_a_warning_and_prints_the_gains(compiler, tmp_path):
    if shutil.which(compiler[0]) is None:
        pytest.skip(f"no {compiler[0]}")
    (tmp_path / "gains.h").write_text(exported_text(TWO, "c"))
    members = [
        name
        for name, value in zip(c_names(["certified", *GAINS])[1:], GAINS.values(), strict=True)
        if isinstance(value, float)
    ]
    prints = "\n".join(f'printf("%.17g\\n", GO1_TROT_TROT.{name});' for name in members)
    (tmp_path / f"main.{'c' if compiler[0] == 'gcc' else 'cpp'}").write_text(
        f'#include <complex.h>\n#include <stdio.h>\n#include "gains.h"\n#include "gains.h"\n'
        f'int main(void) {{ {prints} printf("%d %d %lld\\n%s\\n", GO1_TROT_TROT.certified, '
        "GO1_TROT_TROT_2.certified, GO1_TROT_TROT.mpc_horizon, GO1_TROT_TROT.gait); return 0; }\n"
    )
    source = next(tmp_path.glob("main.*"))
    build = [*compiler, "-Wall", "-Wextra", "-Werror", "-pedantic", str(source), "-o", str(tmp_path / "main")]
    built = subprocess.run(build, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    lines = (
        subprocess.run([str(tmp_path / "main")], capture_output=True, check=True).stdout.decode().split("\n")
    )
    floats = [value for value in GAINS.values() if isinstance(value, float)]
    assert [float(line) for line in lines[: len(floats)]] == floats
    assert lines[len(floats)] == "1 0 10"
    assert lines[len(floats) + 1] == GAINS["gait"]


# -- of a run -------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    file = load_study("go1-trot")
    study = file.study
    with new_journal(tmp_path / "run", study, text=file.text, source=file.source, trials=2) as journal:
        gains, context = study.seeds[0].parameters, study.context.values["trot"]
        for number, margin in ((1, 0.05), (2, -0.2)):
            journal.ask(Trial(number, gains, context, "trot", "seed", 0, certified=True), number)
            shown = Measurement("completed", -2.0, {"tracking": margin}, fell=margin < 0)
            journal.tell(number, replace(shown, outcome="aborted", objective=None) if margin < 0 else shown)
    return tmp_path / "run"


def best_of(**changes):
    seed = load_study("go1-trot").study.seeds[0]
    best = BestGains(
        "trot",
        dict(seed.parameters),
        True,
        Bounds(-2.0, -1.0, -0.5),
        {"tracking_error": Bounds(0.01, 0.05, 0.1)},
    )
    return replace(best, study="go1-trot", objective_name="tracking", horizon=5.0, **changes)


def recommends(monkeypatch, best):
    study = load_study("go1-trot").study
    found = Recommended(study, [("trot", best)])
    monkeypatch.setattr("safebo.runs.exported.recommend", lambda folder, context: found)


def run(*words):
    from typer.testing import CliRunner

    return CliRunner().invoke(app, ["export", *map(str, words)])


def test_recommended_gains_go_with_what_certifies_them(folder, monkeypatch, tmp_path):
    recommends(monkeypatch, best_of())
    found = recommended_gains(folder).contexts[0]
    assert found.certified
    assert found.facts["trial"] == 1
    assert found.facts["margins"]["tracking_error"]["lower"] == 0.01
    assert found.facts["certified_for_seconds"] == 5.0
    out = tmp_path / "gains.yaml"
    done = run(folder, "--out", out)
    assert done.exit_code == 0, done.output
    assert yaml.safe_load(out.read_text())["gains"]["joint.hip.kp"] == 70.0
    assert run(folder, "--out", out, "--format", "c").exit_code == 0  # its own file is written anew
    assert "joint_hip_kp" in out.read_text()


def test_an_expired_certificate_is_none(folder, monkeypatch):
    recommends(monkeypatch, best_of(certified_until=60.0, certified_until_clock="2020-01-01T00:00:00+00:00"))
    done = run(folder)
    assert done.exit_code == 1
    assert yaml.safe_load(done.stdout)["certified"] is False
    assert "NOT certified any more" in done.stderr


def test_where_nothing_is_certified_nothing_is_written(folder, monkeypatch, tmp_path):
    recommends(monkeypatch, None)
    done = run(folder, "--out", tmp_path / "x.yaml")
    assert done.exit_code == 1
    assert "nothing is certified safe for context 'trot'" in done.stderr
    assert not (tmp_path / "x.yaml").exists()


def test_a_trials_gains_say_that_they_are_no_recommendation(folder):
    done = run(folder, "--trial", "1", "--format", "json")
    assert done.exit_code == 0
    document = json.loads(done.stdout)
    assert document["certified"] is False
    assert document["certified_when_proposed"] is True
    assert document["objective_measured"] == -2.0
    unsafe = gains_of_trial(folder, 2)
    assert unsafe.warnings[-1] == "trial 2 was UNSAFE: the robot fell, tracking_error -0.2"
    with pytest.raises(InputError, match="has none of that number; its trials are 1 to 2"):
        gains_of_trial(folder, 7)


def test_a_file_that_is_somebody_elses_is_left_alone(tmp_path):
    path = tmp_path / "mine.h"
    path.write_text("int mine;\n")
    with pytest.raises(OtherFileError, match="is there already"):
        write_export(path, exported_text(ONE, "c"))
    assert path.read_text() == "int mine;\n"
    for form in FORMATS:
        write_export(tmp_path / "own", exported_text(ONE, form))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--trial", "1", "--context", "trot"], "leave one of them out"),
        (["--node", "x"], "belongs to --format ros2"),
        (["--trial", "1", "--out", "/nowhere/x.yaml"], "there is no folder"),
        (["--trial", "1", "--format", "ros2", "--node", "9"], "must be a ROS 2 node's name"),
    ],
)
def test_options_that_make_no_sense_are_refused(folder, words, said):
    done = run(folder, *words)
    assert isinstance(done.exception, SafeboError)
    assert said in str(done.exception)
    assert done.exception.exit_code == 2
