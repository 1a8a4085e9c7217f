"""A trial as an action of ROS 2: safebo is its client, a program on the robot's side its server.

An action `/run_trial` is three services and two topics below `/run_trial/_action/`: `send_goal`, `cancel_goal`,
`get_result`, `feedback` and `status` (the design article "Actions" at design.ros2.org). Each of the action's types has
the goal's UUID before what the action's file declares. A client gives the goal its number, and asks for the result as
soon as the goal is accepted; the answer to that comes when the goal has ended. `status` is not read: the result has it.

Neither goal nor question for the result is ever sent twice: a trial is walked once.
"""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import Any

from safebo.hardware.dds import Participant, Quality
from safebo.hardware.errors import LinkError, WireError
from safebo.hardware.ros2.cdr import decode
from safebo.hardware.ros2.names import topic_name
from safebo.hardware.ros2.services import ServiceClient
from safebo.types import OUTCOMES

RUN_TRIAL = "safebo_interfaces/action/RunTrial"
ANSWER_S = 10.0
"""For a server to accept or reject a goal, and to answer a cancellation."""
MEETING_S = 0.5
"""For a server to find where its answers go: rmw_cyclonedds_cpp waits for that, others answer nobody."""
LOOK_S = 0.1
"""Between two looks for a result."""
CANCEL_ANSWER_S = 0.4
"""For the answer to a cancellation where this program is being ended: half a second later it is killed."""

Say = Callable[[str], None]


class Status(IntEnum):
    """Of a goal, numbered as in `action_msgs/msg/GoalStatus`."""

    UNKNOWN = 0
    ACCEPTED = 1
    EXECUTING = 2
    CANCELING = 3
    SUCCEEDED = 4
    CANCELED = 5
    ABORTED = 6


CANCEL_ANSWERS = (
    "the trial is being cancelled",
    "the server goes on with the trial: it refuses to cancel it",
    "the server knows nothing of this trial",
    "the trial had ended already",
)
"""By the codes in `action_msgs/srv/CancelGoal`."""


class TrialAction:
    """The client of one action server. Used by one thread.

    Args:
        participant: this process in the server's domain.
        action: its name, such as `/run_trial`.
        say: is told what happens, in words.
    """

    def __init__(self, participant: Participant, action: str, say: Say) -> None:
        from safebo.hardware.ros2.topic_types import topic_type

        self.action, self._say = action, say
        node = f"{action}/_action"
        once = math.inf
        self._goals = ServiceClient(participant, node, "send_goal", f"{RUN_TRIAL}_SendGoal", once)
        self._results = ServiceClient(participant, node, "get_result", f"{RUN_TRIAL}_GetResult", once)
        self._cancels = ServiceClient(participant, node, "cancel_goal", "action_msgs/srv/CancelGoal")
        feedback = topic_type(f"{RUN_TRIAL}_FeedbackMessage")
        self._feedback = participant.reader(topic_name(f"{node}/feedback"), feedback, Quality(depth=64))
        self._id: list[int] | None = None
        self._asked = False  # for the result
        self._there = True

    def begin(self, trial: Mapping[str, Any], wait: float) -> None:
        """Ask for a trial. A server that does not answer may have begun it: that is said, and its result waited for.

        Args:
            trial: `id`, `parameters`, `context`, `context_name` and `seed`, as a program that evaluates trials gets it.
            wait: seconds for the server to be found.

        Raises:
            LinkError: nobody offers the action, or the goal is rejected: it did not begin.
            WireError: a trial that does not fit into the goal.
        """
        if not all(client.ready(wait) for client in (self._goals, self._results, self._cancels)):
            raise LinkError(
                f"nobody offers the action {self.action} ({wait:g} s waited); is its server up, with this "
                "ROS_DOMAIN_ID, RMW_IMPLEMENTATION=rmw_cyclonedds_cpp and this type of action?"
            )
        number = list(uuid.uuid4().bytes)
        time.sleep(MEETING_S)
        self._goals.send({"goal_id": {"uuid": number}, "goal": goal_of(trial)}, wait)
        self._id, self._asked = number, False
        answer = self._goals.reply(ANSWER_S)
        if answer is None:
            silent = f"{self.action}: no answer to trial {trial['id']} within {ANSWER_S:g} s"
            self._say(f"{silent}; it may have begun, and its result is waited for. Look at the robot")
        elif not answer["accepted"]:
            raise LinkError(f"{self.action}: the server rejected trial {trial['id']}: it did not begin")

    def ended(self, seconds: float) -> dict[str, Any] | None:
        """The measurement when the trial has ended within so many seconds; None before.

        Raises:
            LinkError: it ended without one; the message says how.
            WireError: the result is none.
        """
        if not self._asked and self._results.ready(seconds):
            self._results.send({"goal_id": {"uuid": self._id}}, seconds)
            self._asked = True
        answer = self._results.reply(seconds) if self._asked else None
        self._hear_feedback()
        if answer is None:
            self._look_for_server()
            return None
        return measurement_of(answer, self.action)

    def cancel(self, seconds: float = ANSWER_S) -> None:
        """Ask for the end of the trial that was begun. What the server answers is said."""
        if self._id is None:
            return
        try:
            answer = self._cancels.call({"goal_info": {"goal_id": {"uuid": self._id}}}, seconds)
        except (LinkError, WireError) as error:
            self._say(f"the trial may still go on: {error}")
            return
        code = answer["return_code"]
        known = 0 <= code < len(CANCEL_ANSWERS)
        self._say(CANCEL_ANSWERS[code] if known else f"the server answers {code} to the cancellation")

    def _hear_feedback(self) -> None:
        for data in self._feedback.take():
            try:
                message = decode(f"{RUN_TRIAL}_FeedbackMessage", data)
            except WireError as error:
                self._say(str(error))
                continue
            if message["goal_id"]["uuid"] == self._id:
                feedback = message["feedback"]
                self._say(f"{feedback['time']:.1f} s: {feedback['message']}")

    def _look_for_server(self) -> None:
        there = self._results.offered()
        if there != self._there:
            self._there = there
            gone = f"{self.action}: the server is gone; nobody knows how the trial ends. Look at the robot"
            self._say("the server is there again" if there else gone)


def goal_of(trial: Mapping[str, Any]) -> dict[str, Any]:
    """The goal of a trial; gains and context keep their order."""
    parameters, context = dict(trial["parameters"]), dict(trial.get("context", {}))
    return {
        "trial": trial["id"],
        "names": list(parameters),
        "values": [float(value) for value in parameters.values()],
        "context": trial.get("context_name", ""),
        "context_names": list(context),
        "context_values": [float(value) for value in context.values()],
        "seed": trial.get("seed", 0),
    }


def measurement_of(answer: Mapping[str, Any], action: str) -> dict[str, Any]:
    """The measurement in a result, as a program that evaluates trials writes it.

    A goal that was aborted and brings margins is a trial that ended early (outcome `aborted`); one without margins, or
    one that was cancelled, says nothing of its gains.

    Raises:
        LinkError: there is none. WireError: the result is none.
    """
    result = answer["result"]
    said = f": {result['message']}" if result["message"] else ""
    names, margins = result["margin_names"], result["margins"]
    if len(names) != len(margins):
        raise WireError(f"{action}: the result names {len(names)} margins and has {len(margins)} values")
    status = answer["status"]
    if status == Status.CANCELED:
        raise LinkError(f"{action}: the trial was cancelled{said}")
    if status == Status.ABORTED and not names:
        raise LinkError(f"{action}: the server aborted the trial{said}")
    if status not in (Status.SUCCEEDED, Status.ABORTED):
        known = Status(status).name if status in list(Status) else status
        raise LinkError(f"{action}: the trial ended with status {known}, which is no end{said}")
    outcome = result["outcome"] or ("completed" if status == Status.SUCCEEDED else "aborted")
    if outcome not in OUTCOMES:
        raise WireError(f"{action}: outcome {outcome!r} (allowed: {', '.join(OUTCOMES)})")
    measured = {"margins": dict(zip(names, margins, strict=True)), "outcome": outcome, "fell": result["fell"]}
    if outcome == "completed":
        measured["objective"] = result["objective"]
    if result["message"]:
        measured["message"] = result["message"]
    return measured


def run_trial(client: TrialAction, trial: Mapping[str, Any], wait: float) -> dict[str, Any]:
    """One trial from begin to end, however long it takes: whoever asks for it has the time limit. On an interrupt it is
    cancelled.

    Raises:
        LinkError, WireError: as `begin` and `ended`.
        KeyboardInterrupt: was pressed, or the process was told to end; the server has been asked to cancel.
    """
    try:
        client.begin(trial, wait)
        while True:
            if (measured := client.ended(LOOK_S)) is not None:
                return measured
    except KeyboardInterrupt:
        client.cancel(CANCEL_ANSWER_S)
        raise
