"""The main job, small: a simulated Go1 is tuned, the report is made, the tuned gains walk."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from in_process import in_process

pytestmark = pytest.mark.slow


def as_a_process(*arguments: object) -> str:
    code = "import sys; from safebo.cli.main import main; sys.argv[0] = 'safebo'; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    return done.stdout


def test_a_go1_is_tuned_reported_and_walks_with_its_new_gains(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def safebo(*arguments: object) -> str:
        answer = in_process(capfd, *arguments)
        assert answer.code == 0, answer.err + answer.out
        return answer.out

    run = tmp_path / "run"
    safebo("tune", "go1-trot", "--trials", 5, "--out", run)
    trials = json.loads(safebo("show", run, "--json"))["trials"]
    assert [t["phase"] for t in trials] == ["seed", "local", "local", "local", "local"]
    assert all(t["outcome"] == "completed" and not t["fell"] for t in trials)
    assert all(t["certified"] for t in trials[1:])  # the seed is declared safe, not certified
    assert all(min(t["true_margins"].values()) >= 0 for t in trials)
    assert max(t["objective"] for t in trials) > trials[0]["objective"]

    safebo("report", run)
    page = (run / "report.html").read_text()
    assert "joint.thigh.kd" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert list((run / "report").glob("*.png"))

    best = json.loads(safebo("best", run, "--json"))
    assert best["certified"] is True
    line = as_a_process(
        "robots", "walk", "go1", "--disturbance", "paper", "--gains", run / "best.yaml", "--seconds", 1
    )
    assert "no fall" in line
