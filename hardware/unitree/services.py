"""The robot's services over DDS: calling them, and answering them as a virtual robot.

A Go2 starts with its own motion service in charge of the joints. Joint commands of others are free when
`motion_switcher` reports an empty name; `release_motion_service` gets there the way the vendor's examples do:
ask for the name, lie down, release, ask again.
"""

from __future__ import annotations

import contextlib
import json
import math
import sys
import time
from collections.abc import Callable
from typing import Any

from safebo.hardware.constants import CALL_AGAIN_S
from safebo.hardware.errors import LinkError, WireError
from safebo.hardware.unitree.dds import DdsParticipant
from safebo.hardware.unitree.rpc_messages import (
    API_NOT_IMPLEMENTED,
    OK,
    PARAMETER_WRONG,
    SERVER_INTERNAL,
    RpcRequest,
    RpcResponse,
    decode_request,
    decode_response,
    encode_request,
    encode_response,
)

MOTION_SWITCHER = "motion_switcher"
SPORT = "sport"
ROBOT_STATE = "robot_state"
ABSENT = ("vui", "obstacles_avoid", "videohub", "audiohub")
"""Services of a physical Go2 that a virtual one has not: every call of theirs is answered with 3203."""

API_VERSION = 1  # every service
CHECK_MODE, SELECT_MODE, RELEASE_MODE, SET_SILENT, GET_SILENT = range(1001, 1006)  # motion_switcher
SERVICE_SWITCH, REPORT_FREQUENCY, SERVICE_LIST = 1001, 1002, 1003  # robot_state
SPORT_MODE = "sport_mode"
SPORT_NAMES = {
    1001: "Damp",
    1002: "BalanceStand",
    1003: "StopMove",
    1004: "StandUp",
    1005: "StandDown",
    1006: "RecoveryStand",
    1008: "Move",
}
STAND_DOWN = 1005
VERSION_TEXT = "1.0.0.1"

Speed = tuple[float, float, float]
"""Forward, leftward, m/s, and yaw rate, rad/s."""

Answer = Callable[[str, RpcRequest], tuple[int, str]]


def request_topic(service: str) -> str:
    """Topic of a service's requests."""
    return f"rt/api/{service}/request"


def response_topic(service: str) -> str:
    """Topic of a service's responses."""
    return f"rt/api/{service}/response"


class ServiceClient:
    """Calls one service of a robot.

    Args:
        participant: this process on the robot's network.
        service: such as `motion_switcher`.
        clock: monotonic seconds.
    """

    def __init__(
        self, participant: DdsParticipant, service: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.service = service
        self._clock = clock
        self._requests = participant.writer(request_topic(service), "Request_")
        self._responses = participant.reader(response_topic(service), "Response_", reliable=True)
        self._next = time.monotonic_ns()  # unlike any id of an earlier client

    def available(self) -> bool:
        """Whether somebody listens to requests and somebody answers them."""
        return self._requests.readers() > 0 and self._responses.writers() > 0

    def call(self, api: int, parameter: dict[str, Any] | None = None, timeout: float = 5.0) -> str:
        """Call a function of the service and wait for its data; it is called again every second without an answer.

        A robot that has not discovered this client yet answers into the void, and so does one whose answer is lost.
        So a function may be called twice: those that are called here ask for a name, a posture or a mode.

        Raises:
            LinkError: no answer in time, or an answer that says no.
        """
        end = self._clock() + timeout
        while not self.available():
            if self._clock() >= end:
                raise LinkError(
                    f"service {self.service!r}: nobody offers it ({timeout:g} s waited); is the robot on, and is this "
                    "its network?"
                )
            time.sleep(0.01)
        calls: dict[int, RpcRequest] = {}
        while (now := self._clock()) < end or not calls:
            call = self.send(api, parameter)
            calls[call.id] = call
            again = min(end, now + CALL_AGAIN_S)
            while self._responses.wait(max(0.0, again - self._clock())):
                for answer in self.take():
                    if answer.id in calls:
                        return _accepted(self.service, calls[answer.id], answer)
        raise LinkError(f"service {self.service!r}: no answer to call {api} within {timeout:g} s")

    def send(self, api: int, parameter: dict[str, Any] | None = None) -> RpcRequest:
        """Send a call and do not wait; its answer comes out of `take`."""
        self._next += 1
        request = RpcRequest(self._next, api, json.dumps(parameter or {}))
        self._requests.write(encode_request(request))
        return request

    def take(self) -> list[RpcResponse]:
        """Answers that have come since the last call, to whomever; never blocks. Damaged ones are left out."""
        answers = []
        for data in self._responses.take():
            with contextlib.suppress(WireError):  # no answer to us; whoever waits goes on waiting
                answers.append(decode_response(data))
        return answers


def _accepted(service: str, call: RpcRequest, answer: RpcResponse) -> str:
    if answer.api != call.api:
        raise LinkError(f"service {service!r}: answer to call {answer.api} where {call.api} was asked")
    if answer.code != OK:
        raise LinkError(f"service {service!r}: call {call.api} was refused with code {answer.code}")
    return answer.data


def active_motion_service(switcher: ServiceClient, timeout: float = 5.0) -> str:
    """Name of the vendor's motion service that commands the joints; empty when none does.

    Raises:
        LinkError: no answer, or one without a name.
    """
    return _name_in(switcher.call(CHECK_MODE, timeout=timeout))


def _name_in(data: str) -> str:
    try:
        name = json.loads(data)["name"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise LinkError(f"CheckMode answered {data!r}: no name in it") from error
    return str(name or "")


class MotionWatch:
    """Asks every now and then who commands the joints, and never waits for the answer.

    Args:
        switcher: the service that knows.
        every: seconds between two questions.

    Attributes:
        name: of the motion service in the last answer; empty for none, and before the first answer.
    """

    def __init__(self, switcher: ServiceClient, every: float = 1.0) -> None:
        self.name = ""
        self._switcher, self._every = switcher, every
        self._asked = -math.inf
        self._open = 0

    def look(self, now: float) -> str:
        """The name in the newest answer by `now` (monotonic s)."""
        for answer in self._switcher.take():
            if answer.id == self._open and answer.code == OK:
                with contextlib.suppress(LinkError):  # an answer without a name says nothing
                    self.name = _name_in(answer.data)
        if now >= self._asked + self._every:
            self._asked = now
            self._open = self._switcher.send(CHECK_MODE).id
        return self.name


def release_motion_service(
    switcher: ServiceClient, sport: ServiceClient, timeout: float = 15.0, lie_down: float = 3.0
) -> list[str]:
    """Make the vendor's motion service let go of the joints; the robot lies down first.

    Args:
        switcher: the service that says who commands the joints.
        sport: the service that makes the robot lie down.
        timeout: seconds for everything.
        lie_down: seconds given to the robot to lie down before the release takes its strength away.

    Returns:
        What was done, a line each.

    Raises:
        LinkError: it still holds them after `timeout` seconds, or does not answer.
    """
    end = time.monotonic() + timeout
    done = []
    while name := active_motion_service(switcher, _left(end)):
        if time.monotonic() >= end:
            raise LinkError(f"the motion service {name!r} still commands the joints after {timeout:g} s")
        sport.call(STAND_DOWN, timeout=_left(end))
        time.sleep(lie_down)
        switcher.call(RELEASE_MODE, timeout=_left(end))
        done.append(f"motion service {name!r}: lay down, released")
        time.sleep(0.05)
    return [*done, "no motion service commands the joints"]


def _left(end: float) -> float:
    return min(5.0, max(0.1, end - time.monotonic()))


class ServiceServer:
    """Answers the calls of one service, as a virtual robot does.

    Args:
        participant: the virtual robot on its network.
        service: such as `sport`.
        answer: gives code and data for the service's name and a request; it must not raise.
    """

    def __init__(self, participant: DdsParticipant, service: str, answer: Answer) -> None:
        self.service = service
        self.damaged = 0
        self._answer = answer
        self._requests = participant.reader(request_topic(service), "Request_", reliable=True)
        self._responses = participant.writer(response_topic(service), "Response_")

    def serve(self) -> list[RpcRequest]:
        """Answer what has come since the last call; never blocks. What was answered."""
        served = []
        for data in self._requests.take():
            try:
                request = decode_request(data)
            except WireError:
                self.damaged += 1
                continue
            code, text = (
                (OK, VERSION_TEXT) if request.api == API_VERSION else self._answer(self.service, request)
            )
            served.append(request)
            if not request.no_reply:
                self._responses.write(encode_response(RpcResponse(request.id, request.api, code, text)))
        return served


class MotionService:
    """What a Go2's own motion service says while it holds the joints, and when it lets go.

    Args:
        name: of the service in charge at the start; empty for none.
        form: the robot's kind, echoed by CheckMode.

    Attributes:
        name: of the service in charge now.
        asked: calls of `sport` that were answered with 0, and the speed of a Move, for whoever does them; oldest first.
        able: whether a call can be done now, by its name.
    """

    def __init__(self, name: str = "mcf", form: str = "0") -> None:
        self.name, self.form = name, form
        self.asked: list[tuple[str, Speed]] = []
        self.able: Callable[[str], bool] = lambda call: True
        self._silent = False

    def answer(self, service: str, request: RpcRequest) -> tuple[int, str]:
        """Code and data for a call of `motion_switcher`, `sport` or `robot_state`."""
        known: dict[str, Callable[[RpcRequest], tuple[int, str]]] = {
            MOTION_SWITCHER: self._switch,
            SPORT: self._sport,
            ROBOT_STATE: self._state,
        }
        return known[service](request) if service in known else (API_NOT_IMPLEMENTED, "")

    def _sport(self, request: RpcRequest) -> tuple[int, str]:
        name = SPORT_NAMES.get(request.api)
        if name is None:
            return API_NOT_IMPLEMENTED, ""
        speed: Speed = (0.0, 0.0, 0.0)
        if name == "Move":
            given = _parameters(request)
            found = [
                v
                for v in map(given.get, ("x", "y", "z"))
                # JSON's whole numbers have no end, and what is not a number is not below one either
                if isinstance(v, int | float) and abs(v) <= sys.float_info.max
            ]
            if len(found) != 3:
                return PARAMETER_WRONG, ""
            speed = (float(found[0]), float(found[1]), float(found[2]))
        if not self.name or not self.able(name):
            return SERVER_INTERNAL, ""
        self.asked.append((name, speed))
        return OK, ""

    def _switch(self, request: RpcRequest) -> tuple[int, str]:
        if request.api == CHECK_MODE:
            return OK, json.dumps({"form": self.form, "name": self.name})
        if request.api == RELEASE_MODE:
            self.name = ""
            return OK, ""
        given = _parameters(request)
        if request.api == SELECT_MODE:
            name = given.get("name")
            if not isinstance(name, str) or not name:
                return PARAMETER_WRONG, ""
            self.name = name
            return OK, ""
        if request.api == GET_SILENT:
            return OK, json.dumps({"silent": self._silent})
        if request.api == SET_SILENT:
            if not isinstance(given.get("silent"), bool):
                return PARAMETER_WRONG, ""
            self._silent = given["silent"]
            return OK, ""
        return API_NOT_IMPLEMENTED, ""

    def _state(self, request: RpcRequest) -> tuple[int, str]:
        """The service that starts and stops others; here there is one, under the vendor's older name for it.

        Its status is 0 while it is active, as the vendor's examples read it.
        """
        if request.api == SERVICE_LIST:
            return OK, json.dumps([{"name": SPORT_MODE, "status": int(not self.name), "protect": 0}])
        if request.api == SERVICE_SWITCH:
            given = _parameters(request)
            if given.get("name") not in (SPORT_MODE, self.name) or given.get("switch") not in (0, 1):
                return PARAMETER_WRONG, ""
            self.name = (self.name or "mcf") if given["switch"] else ""
            return OK, json.dumps({"name": given["name"], "status": int(not self.name)})
        return API_NOT_IMPLEMENTED, ""


def _parameters(request: RpcRequest) -> dict[str, Any]:
    """The parameters of a call; empty where they are none."""
    try:
        found = json.loads(request.parameter)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
