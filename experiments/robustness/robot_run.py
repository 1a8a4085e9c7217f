"""A tuner's trials on a robot with everything in one process, in lock-step: what the robot did, what the record says,
and what the operator saw can all be looked at after any trouble.

The guardian, its link and the network are those of `guardian_world`; the evaluator, the journal and its steps are the
real ones. Time passes only while somebody waits, so every run is the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safebo.experiments.robustness.guardian_world import World
from safebo.hardware.guardian.states import State
from safebo.hardware.guardian.walker import Walker
from safebo.hardware.link.client import GuardianClient
from safebo.hardware.link.proxy import Faults
from safebo.hardware.tuning.evaluator import RobotEvaluator
from safebo.hardware.tuning.session import Session
from safebo.robots.quadruped.interface import JointCommand
from safebo.storage.journal import Journal
from safebo.storage.trial_log import KIND, JournalLedger, all_steps
from safebo.study.reading import load_study, study_hash
from safebo.types import Measurement, RobotAddress, Trial, trial_hash

STUDY = "go1-trot"
SECONDS = 1.0  # of a walk; short, so that many fit into a test


class ScheduledWorld(World):
    """A world in which things happen at given times, and that remembers every command.

    Attributes:
        history: time, state after the tick, and command of every tick since `remember` was set.
    """

    def __init__(
        self,
        seed: int = 0,
        up: Faults | None = None,
        down: Faults | None = None,
        walker: Walker | None = None,
    ) -> None:
        super().__init__(seed, up, down, walker)
        self._due: list[tuple[Callable[[], bool], Callable[[], None]]] = []
        self.history: list[tuple[float, State, JointCommand]] = []
        self.remember = False

    def when(self, condition: Callable[[], bool], action: Callable[[], None]) -> None:
        """Do something once, before the first tick in which a condition holds."""
        self._due.append((condition, action))

    def into_walk(self, seconds: float, action: Callable[[], None]) -> None:
        """Do something once a walk has gone on for so long."""
        guardian = self.guardian
        self.when(
            lambda: guardian.state is State.RUNNING and guardian.run.elapsed(self.now) >= seconds, action
        )

    def tick(self) -> JointCommand:
        """One control period."""
        for item in [due for due in self._due if due[0]()]:
            self._due.remove(item)
            item[1]()
        now, command = self.now, super().tick()
        if self.remember:
            self.history.append((now, self.guardian.state, command))
        return command


@dataclass
class TrialStory:
    """What became of one trial.

    Args:
        measurement: None where there is none.
        error: what was raised instead.
        steps: the committed steps, in order.
        state: of the guardian in the end.
        words: what the operator reads: of the guardian and of the error.
        kinds: of the events the guardian kept, with their words.
    """

    measurement: Measurement | None
    error: Exception | None
    steps: list[str]
    state: State
    message: str
    kinds: list[tuple[str, str]] = field(default_factory=list)


class RobotRun:
    """A run's trials on the world's robot.

    Args:
        folder: an empty folder for journal and records.
        world: see `ScheduledWorld`.
        clears: clear latches without a person, as with `--approve-all`.
        client: the tuner's client where the robot stands already (`World.standing`); None for a robot that has to
            get up.
        options: of the evaluator, beside those of the study.
    """

    def __init__(
        self,
        folder: Path,
        world: ScheduledWorld,
        clears: bool = False,
        client: GuardianClient | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.world, self.folder = world, folder
        file = load_study(STUDY)
        self.study = file.study
        declared = {**self.study.evaluator.options, "seconds": SECONDS, "telemetry": False}
        self.journal = Journal.create(
            folder,
            study=self.study,
            declared=self.study,
            study_text=file.text,
            study_hash=study_hash(self.study),
            source=file.source,
            seed=0,
            trials=10,
        )
        self.stops = self._clients = 0
        self.session = Session(self._client, background=False)
        if client is None:
            world.run(1.1)
        else:
            self.session._client, self._clients = client, 1
        address = RobotAddress("in-process", 1, clears=clears)
        self.evaluator = RobotEvaluator({**declared, **(options or {})}, address, self.session)
        self.evaluator.record_into(folder / "trajectories", folder)
        self.evaluator.supervise(JournalLedger(folder), lambda: self.stops)

    @property
    def client(self) -> GuardianClient:
        """The tuner's client, once it has spoken to the guardian."""
        assert self.session._client is not None
        return self.session._client

    def _client(self) -> GuardianClient:
        self._clients += 1
        return self.world.client(f"tuner {self._clients}")

    def trial(self, number: int = 1, stiffness: float = 70.0) -> Trial:
        """A proposed and approved trial: the seed's gains with another stiffness of the hips."""
        seed = self.study.seeds[0]
        trial = Trial(
            id=number,
            parameters={**seed.parameters, "joint.hip.kp": stiffness},
            context=dict(self.study.context.values["trot"]),
            context_name="trot",
            phase="seed",
            seed=number,
            certified=True,
        )
        self.journal.ask(trial, number)
        return trial

    def approve(self, trial: Trial) -> None:
        """A person's approval."""
        data = {"state": "APPROVED", "hash": trial_hash(trial), "monotonic": time.monotonic()}
        self.journal.note(KIND, "", trial.id, data)

    def run(self, trial: Trial, approved: bool = True) -> TrialStory:
        """Approve and run a trial, whatever happens."""
        if approved:
            self.approve(trial)
        begin = len(self.world.events)
        self.world.remember = True
        measurement, error = None, None
        try:
            measurement = self.evaluator.evaluate(trial)
        except Exception as caught:
            error = caught
        self.world.remember = False
        guardian = self.world.guardian
        steps = [str(row["state"]) for row in all_steps(self.journal).get(trial.id, [])]
        message = measurement.message if measurement is not None else ""
        words = "; ".join(
            filter(None, (guardian.latch.message, message, "" if error is None else str(error)))
        )
        rows = [(row.kind, row.message) for row in self.world.events[begin:]]
        return TrialStory(measurement, error, steps, guardian.state, words, rows)

    def close(self) -> None:
        """Close the journal."""
        self.journal.close()
