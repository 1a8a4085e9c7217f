"""Trials of a legged study on a robot: what the simulation's evaluator does, with a guardian and a robot behind it."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from safebo.hardware.errors import HardwareError, HardwareInputError
from safebo.hardware.guardian.bounds import ControllerGains, quadruped_table
from safebo.hardware.link import messages as m
from safebo.hardware.link.describe import describe
from safebo.hardware.records.robot_drawing import RobotDrawing
from safebo.hardware.tuning import preflight
from safebo.hardware.tuning.addresses import commands_of, latch_watch, network_session
from safebo.hardware.tuning.disk import Disk
from safebo.hardware.tuning.own_controller import controller_of
from safebo.hardware.tuning.readings import READINGS, readings_of, without_readings
from safebo.hardware.tuning.recording import (
    TrialRecorder,
    digest,
    new_recorder,
    read_telemetry,
    trial_metadata,
)
from safebo.hardware.tuning.risen import RisenWatch
from safebo.hardware.tuning.robot_trial import RobotTrial
from safebo.hardware.tuning.running_walk import RunningWalk
from safebo.hardware.tuning.scoring import NAMES, measure
from safebo.hardware.tuning.session import Session, get_clear, get_ready
from safebo.hardware.tuning.viewing import view
from safebo.robots.evaluation.evaluator import CONTEXTS, LeggedEvaluator
from safebo.types import (
    Check,
    Ended,
    EvaluatorInfo,
    FloatArray,
    Ledger,
    Measurement,
    Monitor,
    NotStartedError,
    RobotAddress,
    Trial,
    TrialUnknownError,
)


class RobotEvaluator:
    """Walks a quadruped behind a guardian with the gains of each trial, and scores the raw record.

    Gait, speed, length, objective and limits come from the study, as in simulation. Between trials the robot stands on
    its baseline gains; when it waits for long it lies down.

    Args:
        options: of the study's `legged` evaluator. `disturbance` and `noise_free` mean nothing here; `controller`
            is what the guardian was started with (docs/controllers.md).
        address: where the guardian is.
        session: speaks to it; None for one over the network.

    Raises:
        ValueError: an option that cannot be used on a robot.
        HardwareError: no guardian answers there, or the key cannot be read.
    """

    path_options: ClassVar = LeggedEvaluator.path_options
    view = staticmethod(view)

    def __init__(
        self, options: Mapping[str, Any], address: RobotAddress, session: Session | None = None
    ) -> None:
        own, rest = controller_of(options)
        self._legged = LeggedEvaluator(rest)
        if self._legged.settings.estimator == "truth":
            raise ValueError("estimator: 'truth' is known only in simulation; a robot needs 'kalman'")
        if own is not None and self._legged.settings.adaptive_contact:
            raise ValueError("adaptive_contact: behind a guardian it is for the built-in controller alone")
        if self._legged.scoring.simulated:
            names = ", ".join(self._legged.scoring.simulated)
            raise ValueError(f"margins and objective: {names} is recorded only in simulation, not on a robot")
        self._address = address
        self._own = own
        adaptive = self._legged.settings.adaptive_contact
        self._table: ControllerGains = (
            quadruped_table(adaptive_contact=adaptive) if own is None else own.table
        )
        self._drawing = RobotDrawing(self._legged.robot)
        self._session = session or network_session(address)
        self._welcome = self._session.open()
        self._ledger: Ledger | None = None
        self._stops: Callable[[], int] = lambda: 0
        self._folder: Path | None = None
        self._relative_to: Path | None = None

    watch = staticmethod(latch_watch)

    # -- what a run asks ------------------------------------------------------------------------------

    def info(self) -> EvaluatorInfo:
        """As in simulation, and that a robot moves: nothing is repeated by itself."""
        seen = self._legged.info()
        return replace(
            seen,
            parameters=seen.parameters if self._own is None else self._own.parameters,
            contexts=(*(c for c in seen.contexts if c.name in CONTEXTS), *READINGS),
            reads=tuple(reading.name for reading in READINGS),
            repeatable=False,
            tries_switches=False,
            robot="virtual" if self._welcome.virtual else "physical",
            serial=self._welcome.serial,
        )

    def record_into(self, folder: Path, relative_to: Path) -> None:
        """Where raw records go, and what their names in measurements start from."""
        self._folder, self._relative_to = folder, relative_to

    def supervise(self, ledger: Ledger, stops: Callable[[], int]) -> None:
        """Where steps are kept, and who says how often a person has asked to stop."""
        self._ledger, self._stops = ledger, stops
        if self._session.background:
            threading.Thread(target=self._watch_stops, name="stops", daemon=True).start()

    def _watch_stops(self) -> None:
        """Damp the joints when a person asks twice, whatever else this process does then."""
        while self._stops() < 2:
            time.sleep(0.01)
        for _ in range(10):
            with contextlib.suppress(HardwareError):
                if self._session.stop("asked twice at the tuner"):
                    return

    def preflight(self) -> list[Check]:
        """What is looked at before the first trial."""
        gains = {"gains of the study": self._values({})}
        with self._session.client() as client:
            if self._address.clears:
                get_clear(client)
            return list(
                preflight.checks(
                    client,
                    self._welcome,
                    self._legged.robot.name,
                    self._address.serial,
                    self._table,
                    gains,
                    self._folder,
                    self._address.trials,
                    commands_of(self._address),
                    self._legged.settings.seconds,
                )
            )

    def read_context(self) -> dict[str, float]:
        """What the guardian says of battery and motors now; without what the robot does not say."""
        self._session.open()
        with self._session.client() as client:
            return readings_of(client.status())

    def close(self) -> str:
        """Lie down and give the lease back; how the robot was left, for people."""
        return self._session.close()

    # -- one trial ------------------------------------------------------------------------------------

    def evaluate(self, trial: Trial, monitor: Monitor | None = None) -> Measurement:
        """Run one trial.

        Raises:
            NotStartedError: it could not begin; its gains moved nothing, and the message says whether the robot got up.
            TrialUnknownError: it began, and how it ended is not known.
        """
        disk, risen = Disk(self._session.background), RisenWatch()
        try:
            return self._evaluated(disk, risen, self._supervised(), trial, monitor)
        except NotStartedError as error:
            raise NotStartedError(f"{error}{risen.words}") from error
        finally:
            disk.close()

    def _evaluated(
        self, disk: Disk, risen: RisenWatch, ledger: Ledger, trial: Trial, monitor: Monitor | None
    ) -> Measurement:
        robot = f"{self._welcome.robot} {self._welcome.serial}"
        sent = RobotTrial(
            trial,
            self._legged,
            self._values,
            self._table.identity,
            robot,
            ledger,
            disk,
            self._stops,
            damps=not self._session.background,
        )
        try:
            self._session.open()
            with self._session.client() as client, risen.watching(client):
                get_ready(client, self._address.clears, commands_of(self._address))
                token = sent.arm(client, monitor)
                told = describe(client)
                recorder = disk.during(client, lambda: self._recorder(told, ledger, trial))
        except (HardwareError, OSError) as error:
            raise NotStartedError(str(error)) from error
        running = None
        if trial.early_end is not None and monitor is None:
            running = RunningWalk(
                self._legged,
                trial,
                without_readings(trial.context),
                trial.early_end,
                1.0 / self._welcome.rate,
            )
        with self._session.client() as client:
            ended, rows, why = sent.walk(client, token, recorder, self._name(recorder), running)
        # From here on the robot stands and heartbeats go on by themselves.
        disk.close()
        measurement = self._keep(ledger, trial, recorder, ended, rows, why)
        if running is not None and running.refused:
            words = "could not end early: the guardian gives no telemetry while a trial runs; update it"
            measurement = replace(measurement, message="; ".join(filter(None, (measurement.message, words))))
        return measurement

    def score(self, trial: Trial, ended: Mapping[str, Any]) -> Measurement:
        """What a trial showed, from its raw file; `ended` is what was recorded when it ended.

        Raises:
            HardwareInputError: the file is gone, holds no telemetry, or is not the one that was kept.
        """
        assert self._folder is not None
        path = self._folder / Path(str(ended["file"])).name
        if not path.exists():
            raise HardwareInputError(f"{path}: no such file")
        if digest(path) != ended["sha256"]:
            raise HardwareInputError(f"{path}: is not the file that was kept when the trial ended")
        if ended["cause"] == "reboot":
            raise TrialUnknownError("the robot restarted while it ran")
        rows = read_telemetry(path)
        outcome, cause, words = int(ended["outcome"]), str(ended["cause"]), str(ended["words"])
        return self._measure(trial, rows, outcome, cause, words, ended["file"], ended.get("ended", ""))

    def _supervised(self) -> Ledger:
        if self._ledger is None or self._folder is None:
            raise NotStartedError("a robot moves only in a run whose journal keeps every step")
        return self._ledger

    def _values(self, parameters: Mapping[str, float]) -> tuple[float, ...]:
        if self._own is not None:
            return self._own.full(parameters)
        gains = self._legged.settings.gains.replace(dict(parameters))
        return tuple(gains[name] for name in self._table.names)

    def _recorder(self, told: Mapping[str, Any], ledger: Ledger, trial: Trial) -> TrialRecorder:
        assert self._folder is not None
        gains = dict(zip(self._table.names, self._values(trial.parameters), strict=True))
        about = trial_metadata(trial, gains, self._legged.settings.seconds, told)
        return new_recorder(self._folder, trial.id, about, ledger.study(), self._drawing)

    def _keep(
        self,
        ledger: Ledger,
        trial: Trial,
        recorder: TrialRecorder,
        ended: m.StateMessage,
        rows: FloatArray,
        why: Ended,
    ) -> Measurement:
        """Have everything on disk, then score it from there."""
        recorder.telemetry(rows)
        sha, file = recorder.close(), self._name(recorder)
        outcome, cause, message = ended.outcome, NAMES.get(ended.cause, ""), ended.message
        about = {"file": file, "sha256": sha, "outcome": outcome, "cause": cause, "words": message}
        ledger.commit(trial.id, "ENDED", message, **about, **({"ended": why} if why else {}))
        if cause == "reboot":
            raise TrialUnknownError("the robot restarted while it ran")
        measurement = self._measure(trial, read_telemetry(recorder.path), outcome, cause, message, file, why)
        ledger.commit(trial.id, "SCORED", measurement.outcome)
        return measurement

    def _name(self, recorder: TrialRecorder) -> str:
        path = recorder.path
        return str(path if self._relative_to is None else path.relative_to(self._relative_to))

    def _measure(
        self,
        trial: Trial,
        rows: FloatArray,
        outcome: int,
        cause: str,
        message: str,
        file: object,
        ended: Ended,
    ) -> Measurement:
        period = 1.0 / self._welcome.rate
        seen = measure(
            rows, self._legged, without_readings(trial.context), outcome, cause, message, period, ended
        )
        return replace(seen, telemetry=str(file))
