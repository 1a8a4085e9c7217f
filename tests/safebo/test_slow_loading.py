"""An evaluator that takes long to load is waited for, and that is said."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path

import pytest
from closed_form_runs import STUDY

from safebo.errors import EvaluatorError
from safebo.runs import evaluator_workers
from safebo.runs.evaluator_workers import EvaluatorWorkers
from safebo.study.reading import parse_study
from safebo.types import EvaluatorInfo


def test_it_is_said_again_and_again_that_an_evaluator_is_still_being_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluator_workers, "LOADING_S", (0.01, 0.02))
    workers, described = EvaluatorWorkers(parse_study(STUDY), tmp_path), Future[EvaluatorInfo]()
    (tmp_path / "run.log").write_text("connecting to the license server\n")
    heard: list[str] = []

    def tell(text: str) -> None:
        heard.append(text)
        if len(heard) == 2:
            described.set_exception(EvaluatorError("given up"))

    with pytest.raises(EvaluatorError, match="given up"):
        workers.check(described, tell)
    assert [f"not loaded after {s} s" in text for s, text in zip(("0.01", "0.03"), heard, strict=True)] == [
        True
    ] * 2
    assert f"What the evaluator printed is in {tmp_path / 'run.log'}" in heard[0]
