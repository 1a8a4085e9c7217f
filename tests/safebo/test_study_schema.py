"""The study file's schema and reference page: true to the models, and never stricter than the loader."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from safebo.cli.main import app
from safebo.errors import InputError, StudyError
from safebo.study import (
    ContextSpec,
    LineSpec,
    PriorDataSpec,
    ScenarioFeature,
    ScenariosSpec,
    Study,
    TimeSpec,
)
from safebo.study.methods import METHODS
from safebo.study.reading import parse_study
from safebo.study.reference import EXAMPLE, study_page, study_schema

DOCS = Path(__file__).parents[2] / "docs"
STUDIES = Path(__file__).parents[2] / "experiments" / "studies"
SCHEMA = study_schema()
VALIDATOR = Draft202012Validator(SCHEMA)


def every_key() -> dict[str, Any]:
    """A study with a value under every key."""
    study = parse_study(EXAMPLE).study.model_dump(mode="json")
    study["context"] = ContextSpec.model_validate(
        {"variables": [{"name": "v", "bounds": [0, 1]}], "schedule": [{"context": "default", "trials": 3}]}
    ).model_dump(mode="json")
    study["context"]["values"] = {"default": {"v": 0.5}}
    for axis in (*study["parameters"], *study["context"]["variables"]):
        axis.update(lengthscale=0.3, period=200.0)
    study["surrogate"].update(prior_data=PriorDataSpec().model_dump(mode="json"), groups=[["kp"], ["kd"]])
    study["surrogate"]["time"] = TimeSpec(memory=60.0, memories={"height": 60.0}, interval=5.0).model_dump(
        mode="json"
    )
    study["scenarios"] = ScenariosSpec(
        values={"loaded": {"mass": 2.0}}, features={"mass": ScenarioFeature(otherwise=0.0, lengthscale=0.5)}
    ).model_dump(mode="json")
    study["tuner"]["search"]["lines"] = LineSpec().model_dump(mode="json")
    study["tuner"].update(measured_noise=[0.1], lipschitz=[1.0], stage_trials=3, optimism=1.0)
    study["tuner"]["confidence"]["noise_bound"] = 0.1
    return study


def replaced(value: Any, junk: Any) -> Any:
    """The same document with `junk` in the place of everything that is no mapping and no list of mappings."""
    if isinstance(value, dict) and value:
        return {key: replaced(item, junk) for key, item in value.items()}
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        return [replaced(item, junk) for item in value]
    return junk


def key_path(path: Any) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


@pytest.mark.parametrize(
    "junk", ["text", -1, 0, 2.5, 10**9, True, None, [], ["a"], [1.0], [1, 2, 3], {}, {"x": 1}]
)
def test_what_the_schema_refuses_the_loader_refuses_at_the_same_key(junk: Any) -> None:
    document = replaced(every_key(), junk)
    # The schema's validator is not ours, nor does it know pydantic.
    refused = {key_path(e.absolute_path) for e in VALIDATOR.iter_errors(document)}
    with pytest.raises(StudyError) as error:
        parse_study(yaml.safe_dump(document, sort_keys=False))
    told = set(re.findall(r"study:\d+: ([^:]*): ", "\n".join(error.value.problems)))
    missed = {
        key for key in refused if not any(t == key or t.startswith((f"{key}[", f"{key}.")) for t in told)
    }
    assert not missed
    assert len(refused) > 20 or junk in (0, 1, 2.5, 10**9)


def test_unknown_and_missing_keys_are_refused_by_both_everywhere() -> None:
    def mappings(value: Any, schema: dict[str, Any]) -> list[dict[str, Any]]:
        """The mappings of a document whose keys are fixed by a model."""
        schema = schema.get("anyOf", [schema])[0]
        if "$ref" in schema:
            schema = SCHEMA["$defs"][schema["$ref"].split("/")[-1]]
        if isinstance(value, list):
            return [m for item in value for m in mappings(item, schema.get("items", {}))]
        found = [m for k, s in schema.get("properties", {}).items() for m in mappings(value[k], s)]
        return [value, *found] if schema.get("additionalProperties") is False else found

    count = len(mappings(every_key(), SCHEMA))
    assert count > 20
    for index in range(count):
        document = every_key()
        mappings(document, SCHEMA)[index]["no_such_key"] = 1
        assert not VALIDATOR.is_valid(document)
        with pytest.raises(StudyError, match="unknown key 'no_such_key'"):
            parse_study(json.dumps(document))
    for key, info in Study.model_fields.items():
        if info.is_required():
            document = {k: v for k, v in every_key().items() if k != key}
            assert not VALIDATOR.is_valid(document)


@pytest.mark.parametrize("path", sorted(STUDIES.glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_studies_pass_the_schema(path: Path) -> None:
    VALIDATOR.validate(yaml.safe_load(path.read_text()))


def test_the_example_of_the_page_passes_both_and_so_does_every_method() -> None:
    VALIDATOR.validate(yaml.safe_load(EXAMPLE))
    for name in METHODS:
        study = every_key()
        study["tuner"]["method"] = name.replace("_", "-")
        VALIDATOR.validate(study)


def test_the_schema_is_one_itself() -> None:
    Draft202012Validator.check_schema(study_schema())


def test_the_shipped_schema_and_page_are_what_the_models_say() -> None:
    runner = CliRunner()
    schema = runner.invoke(app, ["schema"])
    assert schema.output == (DOCS / "study.schema.json").read_text(), (
        "run: safebo schema docs/study.schema.json"
    )
    page = runner.invoke(app, ["schema", "--page"])
    assert page.output == (DOCS / "study-file.md").read_text(), "run: safebo schema docs/study-file.md --page"


def test_every_key_of_every_model_is_described_on_the_page() -> None:
    page, schema = study_page(), study_schema()
    for model in (schema, *schema["$defs"].values()):
        assert model["description"]
        for key, field in model["properties"].items():
            assert field["description"]
            assert f"| `{key}` |" in page


def test_a_schema_goes_to_a_file_and_a_folder_that_is_missing_is_said(tmp_path: Path) -> None:
    runner = CliRunner()
    assert runner.invoke(app, ["schema", str(tmp_path / "s.json")]).exit_code == 0
    assert json.loads((tmp_path / "s.json").read_text()) == study_schema()
    result = runner.invoke(app, ["schema", str(tmp_path / "none" / "s.json")])
    assert isinstance(result.exception, InputError)
