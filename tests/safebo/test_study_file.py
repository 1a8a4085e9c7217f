"""Study files: what is read, and what every mistake is answered with."""
# ruff: noqa: E501 (a table of mistakes and their answers reads best with one pair to a line)

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from closed_form_runs import STUDY
from hypothesis import given, settings
from hypothesis import strategies as st

from safebo.errors import EvaluatorOptionError, StudyError
from safebo.evaluators.source import EvaluatorSource
from safebo.files.problems import key_path_text
from safebo.study import Study
from safebo.study.checks import tuned_contexts
from safebo.study.evaluator_checks import with_defaults
from safebo.study.reading import (
    changed_keys,
    check_study,
    load_study,
    parse_study,
    registered_studies,
    study_hash,
)
from safebo.tuner import Tuner
from safebo.types import EvaluatorInfo, ParameterInfo, QuantityInfo

GAITS = """\
name: gaits
evaluator: {name: "closed_form_runs:bowl"}
parameters:
  - {name: p, bounds: [0, 10]}
  - {name: d, bounds: [0.1, 10], scale: log}
context:
  variables: [{name: payload, unit: kg, bounds: [0, 5]}]
  values:
    light: {payload: 0}
    heavy: {payload: 4}
    huge: {payload: 5}
  schedule:
    - {context: light, trials: 3}
    - {context: heavy, trials: 3}
  predict: [huge]
objective: {name: speed}
constraints:
  - {name: height}
  - {name: pitch}
seeds:
  - {context: light, parameters: {p: 2, d: 1}}
  - {context: heavy, parameters: {p: 2, d: 1}}
"""


def problems_of(text: str) -> str:
    with pytest.raises(StudyError) as caught:
        parse_study(text, Path("s.yaml"))
    return str(caught.value)


def test_a_valid_file_becomes_the_study_it_says() -> None:
    study = parse_study(GAITS).study
    assert study == Study.model_validate(yaml.safe_load(GAITS))
    assert study.parameters[1].scale == "log"
    assert tuned_contexts(study) == ["light", "heavy"]


# Each: the text to change, what it becomes, and the exact line that must be in the answer.
MISTAKES = [
    ("bounds: [0, 10]}", "bonds: [0, 10]}", "s.yaml:4: parameters[0].bonds: unknown key 'bonds'; did you mean 'bounds'?"),
    ("bounds: [0, 10]}", "bonds: [0, 10]}", "(allowed: name, type, choices, bounds, step, unit, scale, lengthscale, period, description)"),
    ("name: gaits", "nmae: gaits", "s.yaml:1: nmae: unknown key 'nmae'; did you mean 'name'?"),
    ("[0, 10]}", "[10, 0]}", "s.yaml:4: parameters[0].bounds: [10, 0] is reversed: give [lower, upper]"),
    ("[0, 10]}", "[3, 3]}", "s.yaml:4: parameters[0].bounds: [3, 3] is empty"),
    ("[0, 10]}", "[0, ten]}", "s.yaml:4: parameters[0].bounds[1]: must be a number, not 'ten'"),
    ("[0, 10]}", "[0]}", "s.yaml:4: parameters[0].bounds: must be two numbers [lower, upper], not [0]"),
    ("[0, 10]}", "[0, .inf]}", "s.yaml:4: parameters[0].bounds[1]: must be a finite number, not .inf"),
    ("[0, 10]}", "true}", "s.yaml:4: parameters[0].bounds: must be a list of two numbers [lower, upper], not true"),
    ("[0.1, 10]", "[0, 10]", "s.yaml:5: parameters[1].bounds: scale: log needs a lower bound > 0, not 0"),
    ("scale: log", "scale: logarithm", "s.yaml:5: parameters[1].scale: must be linear or log, not 'logarithm'"),
    ("{name: d,", "{name: p,", "s.yaml:5: parameters[1].name: parameter 'p' is there already, as parameters[0]"),
    ("payload: 4", "payload: 7", "s.yaml:10: context.values.heavy.payload: 7 is outside the bounds [0, 5]"),
    ("{payload: 4}", "{paylod: 4}", "context.values.heavy.paylod: unknown context variable 'paylod'; did you mean 'payload'?"),
    ("{payload: 4}", "{}", "s.yaml:10: context.values.heavy: context 'heavy' gives no value for payload"),
    ("{context: heavy, trials", "{context: heavvy, trials", "s.yaml:14: context.schedule[1].context: unknown context 'heavvy'; did you mean 'heavy'? (allowed: light, heavy, huge)"),
    ("[huge]", "[gigantic]", "s.yaml:15: context.predict[0]: unknown context 'gigantic'"),
    ("[huge]", "[heavy]", "s.yaml:15: context.predict[0]: context 'heavy' is tuned"),
    ("{context: heavy, parameters", "{context: huge, parameters", "no seed for context 'heavy'"),
    ("- {context: heavy, parameters: {p: 2, d: 1}}", "- {context: heavy, parameters: {p: 11, d: 1}}", "s.yaml:22: seeds[1].parameters.p: 11 is outside the bounds [0, 10] of 'p'"),
    ("- {context: heavy, parameters: {p: 2, d: 1}}", "- {context: heavy, parameters: {p: 1}}", "s.yaml:22: seeds[1].parameters: gives no value for d"),
    ("- {context: heavy, parameters: {p: 2, d: 1}}", "- {context: heavy, parameters: {p: 1, d: 1, q: 2}}", "seeds[1].parameters.q: unknown parameter 'q'"),
    ("- {name: pitch}", "- {name: height}", "s.yaml:19: constraints[1].name: constraint 'height' is there already"),
    ("- {name: pitch}", "- {name: speed}", "s.yaml:19: constraints[1].name: 'speed' is the objective's name"),
    ("- {name: pitch}", "- {name: pitch, prior_mean: 9}", "constraints[1].prior_mean: 9 is so far above 0"),
    ("- {name: pitch}", "- {name: pitch, warp: {kind: log, upper: 1, scale: 2}}", "constraints[1].warp.upper: a constraint's log warp needs upper = scale"),
    ("- {name: pitch}", "- {name: pitch, warp: {clip: [3, -1]}}", "s.yaml:19: constraints[1].warp.clip: [3, -1] is reversed: give [lower, upper]"),
    ("- {name: pitch}", "- {name: pitch, warp: {clip: [1, 3]}}", "s.yaml:19: constraints[1].warp.clip: [1, 3] hides the margin 0: give a lower end below 0"),
    ("- {name: pitch}", "- {name: pitch, warp: {clip: [-1]}}", "s.yaml:19: constraints[1].warp.clip: must be two numbers [lower, upper], not [-1]"),
    ("- {name: pitch}", "- {name: pitch, warp: {clip: [-1, two]}}", "s.yaml:19: constraints[1].warp.clip[1]: must be a number, not 'two'"),
    ("- {name: pitch}", "- {name: pitch, warp: {clip: -1}}", "s.yaml:19: constraints[1].warp.clip: must be > 0.0, not -1"),
    ("{name: speed}", "{name: speed, warp: {clip: [2, 2]}}", "s.yaml:16: objective.warp.clip: [2, 2] is empty"),
    ("objective: {name: speed}", "", "s.yaml:1: objective: the key 'objective' is missing"),
    ("objective: {name: speed}", "objective: 3", "s.yaml:16: objective: must be a mapping of keys (name, quantity"),
    ("name: gaits", "name: gaits\nname: again", "s.yaml:2: name: the key is there twice (lines 1 and 2)"),
    ("name: gaits", "name: gaits\ntrials: 0", "s.yaml:2: trials: must be > 0, not 0"),
    ("name: gaits", "name: gaits\ntrials: 2.5", "s.yaml:2: trials: must be a whole number, not 2.5"),
    ("name: gaits", "name: gaits\ntrials: many", "s.yaml:2: trials: must be a whole number, not 'many'"),
    ("name: gaits", "name: gaits\ntuner: {lipschitz: [1]}", "tuner.lipschitz: needs one constant for each constraint: 2, not 1"),
    ("name: gaits", "name: gaits\ntuner: {search: {domain: grid}}", "tuner.search.grid_points: domain: grid needs at least 2"),
    ("name: gaits", "name: gaits\ntuner: {search: {domain: grid, grid_points: 9, lines: {}}}", "tuner.search.lines: lines belong to domain: continuous, not grid"),
    ("name: gaits", "name: gaits\ntuner: {search: {lines: {points: 3}}}", "tuner.search.lines.points: must be >= 16"),
    ("name: gaits", "name: gaits\ntuner: {search: {lines: {direction: up}}}", "tuner.search.lines.direction: must be coordinate, random or ascent, not 'up'"),
    ("name: gaits", "name: gaits\ntuner: {optimism: -1}", "tuner.optimism: must be >= 0.0, not -1"),
    ("name: gaits", "name: gaits\ntuner: {optimism: [1.5, -0.3]}", "tuner.optimism[1]: must be >= 0.0, not -0.3"),
    ("name: gaits", "name: gaits\ntuner: {optimism: [1.5]}", "tuner.optimism: must be two numbers"),
    ("name: gaits", "name: gaits\ntuner: {optimism: high}", "tuner.optimism: must be a number, not 'high'"),
    ("name: gaits", "name: gaits\ntuner: {backup: {rule: lipshitz}}", "tuner.backup.rule: must be lipschitz, gaussian_tail, kernel_covariance, cost_to_go or margin_to_go, not 'lipshitz'"),
    ("name: gaits", "name: gaits\ntuner: {exploration: {rule: widest}}", "tuner.exploration.rule: must be widest_outside, maximin_distance or uncertainty_covariance, not 'widest'"),
    ("name: gaits", "name: gaits\ntuner: {backup: {pesimism: 2}}", "tuner.backup.pesimism: unknown key 'pesimism'; did you mean 'pessimism'?"),
    ("name: gaits", "name: gaits\ntuner: {backup: {pessimism: 0}}", "tuner.backup.pessimism: must be > 0"),
    ("name: gaits", "name: gaits\ntuner: {backup: {tau_marginal: 0.1}}", "tuner.backup.tau_interior: 0.2 exceeds tau_marginal, 0.1"),
    ("name: gaits", "name: gaits\ntuner: {backup: {correlation_interior: 0.97}}", "correlation_interior: 0.97 exceeds correlation_marginal, 0.95: interior backups must reach at least as far"),
    ("name: gaits", "name: gaits\ntuner: {method: safe_ubc}", "s.yaml:2: tuner.method: unknown method 'safe_ubc'; did you mean 'safe_ucb'? (allowed: safe_ucb, safeopt, stageopt"),
    ("name: gaits", "name: gaits\ntuner: {method: Safe-Opt}", "tuner.method: unknown method 'Safe-Opt'; did you mean 'safeopt'?"),
    ("name: gaits", "name: gaits\ntuner: {method: mmitl}", "tuner.method: unknown method 'mmitl'; did you mean 'mm_itl'?"),
    ("name: gaits", "name: gaits\ntuner: {method: ucbs}", "tuner.method: unknown method 'ucbs'; did you mean 'gp_ucb'?"),
    ("name: gaits", "name: gaits\ntuner: {method: xyzzy}", "tuner.method: unknown method 'xyzzy' (allowed: "),
    ("name: gaits", "name: gaits\ntuner: {method: gosafeopt, local_method: safe_opt}", "tuner.local_method: unknown rule of local phases 'safe_opt'; did you mean 'safeopt'? (allowed: safe_ucb"),
    ("name: gaits", "name: gaits\ntuner: {method: gosafeopt, local_method: gp_ucb}", "tuner.local_method: unknown rule of local phases 'gp_ucb'"),
    ("name: gaits", "name: gaits\ntuner: {certificate: lipschitz}", "tuner.certificate: certificate: lipschitz needs tuner.lipschitz: one constant for each constraint (2)"),
    ("name: gaits", "name: gaits\ntuner: {certificate: measured, lipschitz: [1, 1]}", "tuner.certificate: certificate: measured needs tuner.measured_noise: the largest noise of each constraint (2)"),
    ("name: gaits", "name: gaits\ntuner: {method: losbo}", "tuner.method: losbo certifies by measurements and needs tuner.lipschitz"),
    ("name: gaits", "name: gaits\ntuner: {method: losbo, certificate: lipschitz, lipschitz: [1, 1], measured_noise: [0, 0]}", "tuner.certificate: lipschitz, but method losbo brings its own, measured: leave the key out"),
    ("name: gaits", "name: gaits\ntuner: {method: losbo, lipschitz: [1, 1], measured_noise: [0.1]}", "tuner.measured_noise: needs one number for each constraint: 2, not 1"),
    ("name: gaits", "name: gaits\ntuner: {method: losbo, lipschitz: [1, 1], measured_noise: [0.1, -1]}", "tuner.measured_noise[1]: must be a number >= 0, not -1"),
    ("name: gaits", "name: gaits\ntuner: {lipschitz: [1, 0]}", "tuner.lipschitz[1]: must be a number > 0, not 0"),
    ("name: gaits", "name: gaits\ntuner: {confidence: {schedule: srinivas2010}}", "tuner.confidence.schedule: srinivas2010 holds on finite domains: use tuner.search.domain: grid or pool"),
    ("name: gaits", "name: gaits\ntuner: {confidence: {schedule: srinivas}}", "tuner.confidence.schedule: must be constant, posterior, srinivas2010"),
    ("name: gaits", "name: gaits\ntuner: {method: real-beta-safeopt, confidence: {schedule: sui2015}}", "tuner.confidence.schedule: sui2015, but method real-beta-safeopt brings its own schedule, fiedler2024"),
    ("name: gaits", "name: gaits\ntuner: {confidence: {intersect: true}}\nsurrogate: {hyperparameters: map}", "tuner.confidence.intersect: intervals of other hyperparameters cannot be intersected"),
    ("name: gaits", "name: gaits\ntuner: {method: real_beta_safeopt}\nsurrogate: {hyperparameters: bayes}", "surrogate.hyperparameters: bayes averages several posteriors, and tuner.confidence.schedule: fiedler2024"),
    ("name: gaits", "name: gaits\ntuner: {transductive: {targets: region}}", "tuner.transductive.region: targets: region needs bounds of at least one parameter, as in region: {p: [lower, upper]}"),
    ("name: gaits", "name: gaits\ntuner: {transductive: {region: {p: [1, 2]}}}", "tuner.transductive.region: a region belongs to targets: region, not potential_maximizers"),
    ("name: gaits", "name: gaits\ntuner: {transductive: {targets: region, region: {q: [1, 2]}}}", "tuner.transductive.region.q: unknown parameter 'q' (allowed: p, d)"),
    ("name: gaits", "name: gaits\ntuner: {transductive: {targets: region, region: {p: [2, 1]}}}", "tuner.transductive.region.p: [2, 1] is reversed"),
    ("name: gaits", "name: gaits\ntuner: {transductive: {targets: region, region: {p: [2, 11]}}}", "tuner.transductive.region.p: [2, 11] leaves the bounds [0, 10] of 'p'"),
    ("name: gaits", "name: gaits\ntuner: {search: {domain: pool}}", "tuner.search.pool: domain: pool needs a list of candidates"),
    ("name: gaits", "name: gaits\ntuner: {search: {pool: [{p: 1, d: 1}]}}", "tuner.search.pool: a pool belongs to domain: pool, not continuous"),
    ("name: gaits", "name: gaits\ntuner: {search: {domain: pool, pool: [{p: 1, d: 1}, {p: 1}]}}", "tuner.search.pool[1]: gives no value for d"),
    ("name: gaits", "name: gaits\ntuner: {search: {domain: pool, pool: [{p: 1, d: 1, kp: 3}]}}", "tuner.search.pool[0].kp: unknown parameter 'kp'; did you mean 'p'? (allowed: p, d)"),
    ("name: gaits", "name: gaits\ntuner: {search: {domain: pool, pool: [{p: 1, d: 0}]}}", "tuner.search.pool[0].d: 0 is outside the bounds [0.1, 10] of 'd'"),
    ("name: gaits", "name: gaits\ntuner: {search: {domain: pool, pool: [{p: 1, d: 1}], lines: {}}}", "tuner.search.lines: lines belong to domain: continuous, not pool"),
    ("name: gaits", "name: gaits\ntuner: {search: {grid_points: 9}}", "tuner.search.grid_points: grid points belong to domain: grid, not continuous"),
    ("name: gaits", "name: gaits\ntuner: {confidence: {schedule: posterior, intersect: true}}", "tuner.confidence.intersect: schedule: posterior promises delta for the present interval at the proposal alone"),
    ("name: gaits", "name: gaits\ntuner: {confidence: {schedule: posterior}, certificate: lipschitz, lipschitz: [1, 1]}", "tuner.confidence.schedule: schedule: posterior promises delta at the proposal alone"),
    ("name: gaits", "name: gaits\ntuner: {method: ucb, search: {lines: {}}}", "tuner.search.lines: lines are for safe methods, and ucb certifies nothing"),
    ("trials: 3}", "trials: 3}\n    - {context: light, trials: 0}", "context.schedule[1].trials: must be > 0, not 0"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "answer"), MISTAKES)
def test_every_mistake_is_named_with_its_line_and_key(old: str, new: str, answer: str) -> None:
    assert old in GAITS
    text = problems_of(GAITS.replace(old, new, 1))
    assert answer in text
    assert text.startswith("s.yaml has ")


@pytest.mark.parametrize(
    "tuner",
    [
        "{method: mm-itl}",
        "{method: ucb}",
        "{method: gosafeopt, local_method: mm-itl}",
        "{method: los-gp-ucb, lipschitz: [1, 2], measured_noise: [0, 0.1]}",
        "{method: losbo, certificate: measured, lipschitz: [1, 2], measured_noise: [0, 0.1]}",
        "{certificate: lipschitz, lipschitz: [1, 2], measured_noise: [0, 0.1]}",
        "{confidence: {schedule: srinivas2010, intersect: true}, search: {domain: grid, grid_points: 9}}",
        "{search: {domain: pool, pool: [{p: 0, d: 0.1}, {d: 10, p: 10}]}}",
        "{method: itl, transductive: {targets: region, region: {p: [1, 1]}}}",
        "{method: real_beta_safeopt, confidence: {schedule: fiedler2024}}",
    ],
)
def test_what_belongs_together_is_accepted_and_the_tuner_takes_it(tuner: str) -> None:
    study = parse_study(GAITS.replace("name: gaits", f"name: gaits\ntuner: {tuner}", 1)).study
    study = study.model_copy(
        update={"constraints": [c.model_copy(update={"prior_mean": -0.5}) for c in study.constraints]}
    )
    assert Tuner(study).ask().phase == "seed"


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file() -> None:
    text = (
        GAITS.replace("name: gaits", "nmae: gaits")
        .replace("[0, 10]", "[10, 0]")
        .replace("p: 2", "p: true", 1)
    )
    lines = problems_of(text).splitlines()
    assert lines[0] == "s.yaml has 3 problems:"
    assert [line.split(":")[1] for line in lines[1:]] == ["1", "4", "21"]


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("", "s.yaml: is empty; a study needs name, evaluator, parameters, objective, seeds"),
        ("# nothing\n", "s.yaml: is empty"),
        ("- a\n- b\n", "s.yaml:1: must be a mapping of keys (name, evaluator, ...), not a list"),
        ("hello\n", "s.yaml:1: must be a mapping of keys (name, evaluator, ...), not 'hello'"),
        ("name: [1, 2\nb: 3\n", "s.yaml:2: is not valid YAML"),
        ("name: \t- x: [\n", "is not valid YAML"),
        ("name: a\x00b\n", "s.yaml:1: is not valid YAML: the character U+0000"),
        ("a: &x {b: *x}\n", "a.b: an alias may not contain itself"),
        ("[1, 2]: 3\n", "a key must be a plain text"),
    ],
)
def test_files_that_are_no_study(text: str, answer: str) -> None:
    assert answer in problems_of(text)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00\x01")
    for name, answer in [
        ("gone.yaml", "no such file"),
        (".", "is a folder"),
        ("binary.yaml", "is not a text file"),
    ]:
        with pytest.raises(StudyError, match=answer):
            load_study(tmp_path / name)
    with pytest.raises(StudyError, match="the study's name is blank"):
        load_study(" ")
    with pytest.raises(StudyError, match=r"no study and no file 'go1-trott'; did you mean 'go1-trot'\?"):
        load_study("go1-trott")


def test_numbers_and_texts_are_what_they_look_like() -> None:
    text = GAITS.replace("[0, 10]", "[1e-3, +1_0]".replace("_", ""))
    assert parse_study(text).study.parameters[0].bounds == (0.001, 10.0)
    assert parse_study(GAITS.replace("name: gaits", "name: on")).study.name == "on"
    assert "must be a text, not 7" in problems_of(GAITS.replace("name: gaits", "name: 7"))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_text_makes_anything_but_a_study_or_a_study_error(data: st.DataObject) -> None:
    """Files damaged at random: cut, doubled, overwritten."""
    text = GAITS
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, max(len(text) - 1, 0)))
        length = data.draw(st.integers(0, 12))
        text = (
            text[:at]
            + data.draw(st.text(alphabet="ab:[]{},-&*?|>'\"# \n\t01.~!%@", max_size=4))
            + text[at + length :]
        )
    try:
        study = parse_study(text).study
    except StudyError:
        return
    assert Study.model_validate_json(study.model_dump_json()) == study  # as a journal keeps it


@settings(max_examples=100, deadline=None)
@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(max_size=3) | st.integers(), lambda x: st.lists(x, max_size=3) | st.dictionaries(st.sampled_from(["name", "bounds", "context", "values", "warp", "clip", "optimism", "q"]), x, max_size=3), max_leaves=6), st.sampled_from(["name", "evaluator", "parameters", "context", "objective", "constraints", "seeds", "tuner", "surrogate", "trials"]))  # fmt: skip
def test_no_value_of_a_key_makes_anything_but_a_study_or_a_study_error(value: object, key: str) -> None:
    content = yaml.safe_load(GAITS) | {key: value}
    try:
        study = parse_study(yaml.safe_dump(content)).study
    except StudyError:
        return
    assert Study.model_validate_json(study.model_dump_json()) == study


def test_the_hash_is_of_what_is_tried_and_not_of_how_it_is_written() -> None:
    study = parse_study(STUDY).study
    reordered = "\n".join(["# a comment", *STUDY.replace("trials: 8\n", "").splitlines(), "trials: 8", ""])
    described = STUDY + "description: more words\n"
    assert (
        study_hash(parse_study(reordered).study)
        == study_hash(parse_study(described).study)
        == study_hash(study)
    )
    other = parse_study(STUDY.replace("[0, 10]", "[0, 11]")).study
    assert study_hash(other) != study_hash(study)
    assert changed_keys(study, other) == ["parameters[0].bounds[1]: 10.0 -> 11.0"]


INFO = EvaluatorInfo(
    name="robot",
    parameters=(ParameterInfo("p", "N", 1.0, 0.0, 8.0), ParameterInfo("d", "s", 1.0, 0.1, 10.0)),
    objectives=(QuantityInfo("speed", "m/s"),),
    margins=(QuantityInfo("height", "m"), QuantityInfo("pitch", "rad")),
    contexts=(QuantityInfo("payload", "kg"),),
    states=(QuantityInfo("roll", "rad", scale=0.1), QuantityInfo("rate", "rad/s", scale=2.0)),
)


def test_names_that_the_evaluator_does_not_know_are_told_with_those_it_knows() -> None:
    text = (
        GAITS.replace("{name: d, bounds", "{name: dd, bounds")
        .replace("d: 1}", "dd: 1}")
        .replace("payload", "load")
        .replace("{name: speed}", "{name: fast, quantity: sped}")
        .replace("{name: pitch}", "{name: pich}")
        + "tuner: {backup: {state_scale: {rol: 1}}}\n"
    )
    file = parse_study(text, Path("s.yaml"))
    with pytest.raises(StudyError) as caught:
        file.check_evaluator(INFO)
    lines = "\n".join(caught.value.problems)
    for part in (
        "s.yaml:4: parameters[0].bounds: [0, 10] leaves what evaluator 'robot' accepts for 'p': [0, 8]",
        "s.yaml:5: parameters[1].name: evaluator 'robot' has no parameter 'dd'",
        "context.variables[0].name: evaluator 'robot' has no context variable 'load'; did you mean 'payload'?",
        "objective.quantity: evaluator 'robot' has no objective 'sped'; did you mean 'speed'? (allowed: speed)",
        "constraints[1].name: evaluator 'robot' has no margin 'pich'; did you mean 'pitch'?",
        "tuner.backup.state_scale.rol: evaluator 'robot' has no state coordinate 'rol'; did you mean 'roll'?",
    ):
        assert part in lines
    assert len(caught.value.problems) == 6


def test_what_a_study_leaves_open_is_taken_from_the_evaluator() -> None:
    text = GAITS.replace("[0, 10]", "[0, 8]") + "tuner: {backup: {state_scale: {rate: 5}}}\n"
    study = parse_study(text).study
    check_study(study, INFO)
    full = with_defaults(study, INFO)
    assert [p.unit for p in full.parameters] == ["N", "s"]
    assert list(full.tuner.backup.state_scale.items()) == [("roll", 0.1), ("rate", 5.0)]
    assert (full.objective.unit, full.constraints[1].unit, full.constraints[1].quantity) == (
        "m/s",
        "rad",
        "pitch",
    )


def test_a_quantity_without_unit_has_none_that_could_be_printed() -> None:
    study = parse_study(GAITS.replace("{name: height}", '{name: height, unit: "1"}')).study
    without = replace(INFO, margins=(QuantityInfo("height", "1"), QuantityInfo("pitch", "1")))
    assert [c.unit for c in with_defaults(study, without).constraints] == ["", ""]


def test_a_study_made_in_python_is_checked_too() -> None:
    study = Study.model_validate(yaml.safe_load(GAITS.replace("[0, 10]", "[10, 0]")))
    with pytest.raises(StudyError, match=r"parameters\[0\].bounds: \[10, 0\] is reversed"):
        check_study(study)


@pytest.mark.parametrize(
    ("name", "options", "answer"),
    [
        ("leged", {}, "unknown evaluator 'leged'; did you mean 'legged'?"),
        ("no_such_module:f", {}, "no module named 'no_such_module'"),
        ("closed_form_runs:bow", {}, "module 'closed_form_runs' has no 'bow'; did you mean 'bowl'?"),
        ("closed_form_runs:bowl", {"pase": 1}, r"bowl\(\) has no argument 'pase' \(allowed: seed, pause, repeatable\)"),
        ("closed_form_runs:bowl", {"repeatable": "yes"}, "must be true or false"),
        ("closed_form_runs:STUDY", {}, "is no evaluator"),
        ("subprocess", {}, "must be a list of texts, the program and its arguments"),
        ("subprocess", {"comand": ["true"]}, "unknown option 'comand'; did you mean 'command'?"),
        ("subprocess", {"command": ["true"], "timeout": 0}, "must be a number of seconds > 0"),
    ],
)  # fmt: skip
def test_evaluators_that_do_not_exist_or_refuse_their_options(name: str, options: dict, answer: str) -> None:
    text = STUDY.replace("closed_form_runs:bowl", name).replace("{repeatable: true}", json.dumps(options))
    file = parse_study(text, Path("s.yaml"))
    with pytest.raises(EvaluatorOptionError, match=answer) as caught:
        EvaluatorSource(file.study).make()
    assert "s.yaml:3: evaluator" in str(file.option_error(caught.value)) or "s.yaml:4: evaluator" in str(
        file.option_error(caught.value)
    )


def test_key_paths_read_like_the_file() -> None:
    assert key_path_text(("parameters", 1, "bounds")) == "parameters[1].bounds"
    assert key_path_text(()) == "(the whole file)"


def test_shipped_studies_are_registered() -> None:
    assert "go1-trot" in registered_studies()
