"""A fault that only real processes can have: what the robot did, what the record says, what the operator saw.

The others of `safebo.experiments.robustness.process_faults` are run by hand: they take minutes of real time.
"""

from __future__ import annotations

import os

import pytest

from safebo.experiments.robustness.faults.report import Report
from safebo.experiments.robustness.process_faults import Chain, StepMissedError
from safebo.experiments.robustness.process_faults.tuner import optimizer_killed

pytestmark = pytest.mark.slow

pytest.importorskip("cyclonedds", reason="Cyclone DDS is not installed")


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """A virtual Go2 and its guardian, in processes of their own."""
    made = Chain(tmp_path_factory.mktemp("chain"), domain=20 + os.getpid() % 200)
    with made.up():
        yield made


def test_the_optimizer_is_killed_and_the_robot_comes_to_rest(chain) -> None:
    for attempt in range(3):
        try:
            report = Report(13, "optimizer process killed")
            optimizer_killed(report, chain)
            break
        except StepMissedError:  # a busy machine kept the tuner silent, and rightly nothing walked
            if attempt == 2:
                raise
            chain.clear()
    assert report.wrong == [], (report, chain.log.read_text()[-2000:])
