"""An action server of ROS 2 over Cyclone DDS that shares no code with safebo: own types, Cyclone's own codec.

Written from the design article "Actions" (design.ros2.org) and the message files of action_msgs. Run as
`python ros2_action_peer.py DOMAIN BEHAVIOUR`; it prints what is asked of it.
"""

# mypy: ignore-errors
# The fields are in Cyclone's own notation, which type checkers cannot read.
import signal
import sys
import time
from dataclasses import dataclass, field

from cyclonedds.idl import IdlStruct
from cyclonedds.idl.types import array, float64, int8, int64, sequence, uint8, uint32, uint64
from cyclonedds.pub import DataWriter
from cyclonedds.sub import DataReader
from cyclonedds.topic import Topic
from ros2_peer import LATE, QUALITY, Time, participant

OURS, MSG, SRV = "safebo_interfaces.action.dds_.RunTrial_", "action_msgs.msg.dds_.", "action_msgs.srv.dds_."
ACCEPTED, EXECUTING, CANCELING, SUCCEEDED, CANCELED, ABORTED = 1, 2, 3, 4, 5, 6


@dataclass
class UUID(IdlStruct, typename="unique_identifier_msgs.msg.dds_.UUID_"):
    uuid: array[uint8, 16]


@dataclass
class GoalInfo(IdlStruct, typename=MSG + "GoalInfo_"):
    goal_id: UUID
    stamp: Time


@dataclass
class GoalStatus(IdlStruct, typename=MSG + "GoalStatus_"):
    goal_info: GoalInfo
    status: int8


@dataclass
class GoalStatusArray(IdlStruct, typename=MSG + "GoalStatusArray_"):
    status_list: sequence[GoalStatus]


@dataclass
class CancelRequest(IdlStruct, typename=SRV + "CancelGoal_Request_"):
    client_: uint64
    number_: int64
    goal_info: GoalInfo


@dataclass
class CancelResponse(IdlStruct, typename=SRV + "CancelGoal_Response_"):
    client_: uint64
    number_: int64
    return_code: int8
    goals_canceling: sequence[GoalInfo] = field(default_factory=list)


@dataclass
class Goal(IdlStruct, typename=OURS + "Goal_"):
    trial: uint32
    names: sequence[str]
    values: sequence[float64]
    context: str
    context_names: sequence[str]
    context_values: sequence[float64]
    seed: uint64


@dataclass
class Result(IdlStruct, typename=OURS + "Result_"):
    objective: float64 = 0.0
    margin_names: sequence[str] = field(default_factory=list)
    margins: sequence[float64] = field(default_factory=list)
    outcome: str = ""
    fell: bool = False
    message: str = ""


@dataclass
class Feedback(IdlStruct, typename=OURS + "Feedback_"):
    time: float64
    message: str


@dataclass
class SendRequest(IdlStruct, typename=OURS + "SendGoal_Request_"):
    client_: uint64
    number_: int64
    goal_id: UUID
    goal: Goal


@dataclass
class SendResponse(IdlStruct, typename=OURS + "SendGoal_Response_"):
    client_: uint64
    number_: int64
    accepted: bool
    stamp: Time


@dataclass
class ResultRequest(IdlStruct, typename=OURS + "GetResult_Request_"):
    client_: uint64
    number_: int64
    goal_id: UUID


@dataclass
class ResultResponse(IdlStruct, typename=OURS + "GetResult_Response_"):
    client_: uint64
    number_: int64
    status: int8
    result: Result


@dataclass
class FeedbackMessage(IdlStruct, typename=OURS + "FeedbackMessage_"):
    goal_id: UUID
    feedback: Feedback


class Service:
    def __init__(self, there, name, request, reply):
        self.reader = DataReader(there, Topic(there, f"rq/run_trial/_action/{name}Request", request), QUALITY)
        self.writer = DataWriter(there, Topic(there, f"rr/run_trial/_action/{name}Reply", reply), QUALITY)

    def take(self):
        return [request for request in self.reader.take(16) if hasattr(request, "client_")]


class Server:
    """Walks a trial in half a second; `behaviour` says how it goes wrong."""

    def __init__(self, domain, behaviour):
        there = participant(domain)
        self.behaviour = behaviour
        self.goals = Service(there, "send_goal", SendRequest, SendResponse)
        self.results = Service(there, "get_result", ResultRequest, ResultResponse)
        self.cancels = Service(there, "cancel_goal", CancelRequest, CancelResponse)
        self.status = DataWriter(there, Topic(there, "rt/run_trial/_action/status", GoalStatusArray), LATE)
        feedback = Topic(there, "rt/run_trial/_action/feedback", FeedbackMessage)
        self.feedback = DataWriter(there, feedback, QUALITY)
        self.goal = self.asks = None
        self.state, self.begun = 0, 0.0

    def to(self, state):
        self.state = state
        info = GoalInfo(self.goal.goal_id, Time(0, 0))
        self.status.write(GoalStatusArray([GoalStatus(info, state)]))

    def serve(self):
        for request in self.goals.take():
            accepted = self.behaviour != "reject" and self.goal is None
            self.goals.writer.write(SendResponse(request.client_, request.number_, accepted, Time(1, 2)))
            print(f"goal {request.goal}", flush=True)
            if accepted:
                self.goal, self.begun = request, time.monotonic()
                self.to(EXECUTING)
        for request in self.results.take():
            assert list(request.goal_id.uuid) == list(self.goal.goal_id.uuid)
            self.asks = request
        for request in self.cancels.take():
            known = self.goal and list(request.goal_info.goal_id.uuid) == list(self.goal.goal_id.uuid)
            code = 2 if not known else 1 if self.behaviour == "stubborn" else 0
            going = [request.goal_info] if code == 0 else []
            self.cancels.writer.write(CancelResponse(request.client_, request.number_, code, going))
            print(f"cancel {code}", flush=True)
            if code == 0:
                self.to(CANCELING)
                self.end(CANCELED, Result(message="somebody cancelled it"))
        if self.asks and self.state == EXECUTING and time.monotonic() - self.begun > 0.5:
            self.walked()

    def walked(self):
        goal = self.goal.goal
        for number in (self.goal.goal_id, UUID([7] * 16)):  # the other is another client's
            self.feedback.write(FeedbackMessage(number, Feedback(0.5, f"walks {number.uuid[0] == 7}")))
        sums = Result(sum(goal.values), ["tilt", "torque"], [0.25, goal.values[0]], "", False, "as asked")
        if self.behaviour == "walk":
            self.end(SUCCEEDED, sums)
        elif self.behaviour == "fall":
            self.end(ABORTED, Result(0.0, ["tilt", "torque"], [-0.5, 1.0], "", True, "it lies"))
        elif self.behaviour == "abort":
            self.end(ABORTED, Result(message="no battery"))
        elif self.behaviour == "torn":
            self.end(SUCCEEDED, Result(1.0, ["tilt", "torque"], [0.1]))

    def end(self, state, result):
        if self.asks:
            asks = self.asks
            self.results.writer.write(ResultResponse(asks.client_, asks.number_, state, result))
        self.to(state)


def main(domain, behaviour):
    told = []
    signal.signal(signal.SIGTERM, lambda *unused: told.append(True))
    server = Server(domain, behaviour)
    print("ready", flush=True)
    end = time.monotonic() + 60.0
    while time.monotonic() < end and not told:
        server.serve()
        time.sleep(0.002)
    del server  # its ends leave the network, which others see at once


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
