"""A ROS 2 node or client over Cyclone DDS that shares no code with safebo: own types, Cyclone's own codec, own header.

It does what rmw_cyclonedds_cpp does with a service: sixteen bytes, the client's number and the request's, stand before
request and reply. Run as `python ros2_peer.py DOMAIN SECONDS` it is a node `/foreign` with four parameters.
"""

# mypy: ignore-errors
# The fields are in Cyclone's own notation, which type checkers cannot read.
import sys
import time
from dataclasses import dataclass, field

from cyclonedds.domain import Domain, DomainParticipant
from cyclonedds.idl import IdlStruct
from cyclonedds.idl.types import float64, int32, int64, sequence, uint8, uint32, uint64
from cyclonedds.pub import DataWriter
from cyclonedds.qos import Policy, Qos
from cyclonedds.sub import DataReader
from cyclonedds.topic import Topic

BOOL, INTEGER, DOUBLE, DOUBLE_ARRAY = 1, 2, 3, 8
MSG, SRV = "rcl_interfaces.msg.dds_.", "rcl_interfaces.srv.dds_."


@dataclass
class ParameterValue(IdlStruct, typename=MSG + "ParameterValue_"):
    type: uint8 = 0
    bool_value: bool = False
    integer_value: int64 = 0
    double_value: float64 = 0.0
    string_value: str = ""
    byte_array_value: sequence[uint8] = field(default_factory=list)
    bool_array_value: sequence[bool] = field(default_factory=list)
    integer_array_value: sequence[int64] = field(default_factory=list)
    double_array_value: sequence[float64] = field(default_factory=list)
    string_array_value: sequence[str] = field(default_factory=list)


@dataclass
class Parameter(IdlStruct, typename=MSG + "Parameter_"):
    name: str
    value: ParameterValue


@dataclass
class SetParametersResult(IdlStruct, typename=MSG + "SetParametersResult_"):
    successful: bool
    reason: str = ""


@dataclass
class FloatingPointRange(IdlStruct, typename=MSG + "FloatingPointRange_"):
    from_value: float64
    to_value: float64
    step: float64 = 0.0


@dataclass
class IntegerRange(IdlStruct, typename=MSG + "IntegerRange_"):
    from_value: int64
    to_value: int64
    step: uint64 = 0


@dataclass
class ParameterDescriptor(IdlStruct, typename=MSG + "ParameterDescriptor_"):
    name: str
    type: uint8
    description: str = ""
    additional_constraints: str = ""
    read_only: bool = False
    dynamic_typing: bool = False
    floating_point_range: sequence[FloatingPointRange, 1] = field(default_factory=list)
    integer_range: sequence[IntegerRange, 1] = field(default_factory=list)


@dataclass
class ListParametersResult(IdlStruct, typename=MSG + "ListParametersResult_"):
    names: sequence[str]
    prefixes: sequence[str] = field(default_factory=list)


@dataclass
class ListRequest(IdlStruct, typename=SRV + "ListParameters_Request_"):
    client_: uint64
    number_: int64
    prefixes: sequence[str] = field(default_factory=list)
    depth: uint64 = 0


@dataclass
class ListResponse(IdlStruct, typename=SRV + "ListParameters_Response_"):
    client_: uint64
    number_: int64
    result: ListParametersResult


@dataclass
class DescribeRequest(IdlStruct, typename=SRV + "DescribeParameters_Request_"):
    client_: uint64
    number_: int64
    names: sequence[str]


@dataclass
class DescribeResponse(IdlStruct, typename=SRV + "DescribeParameters_Response_"):
    client_: uint64
    number_: int64
    descriptors: sequence[ParameterDescriptor]


@dataclass
class GetRequest(IdlStruct, typename=SRV + "GetParameters_Request_"):
    client_: uint64
    number_: int64
    names: sequence[str]


@dataclass
class GetResponse(IdlStruct, typename=SRV + "GetParameters_Response_"):
    client_: uint64
    number_: int64
    values: sequence[ParameterValue]


@dataclass
class AtomicRequest(IdlStruct, typename=SRV + "SetParametersAtomically_Request_"):
    client_: uint64
    number_: int64
    parameters: sequence[Parameter]


@dataclass
class AtomicResponse(IdlStruct, typename=SRV + "SetParametersAtomically_Response_"):
    client_: uint64
    number_: int64
    result: SetParametersResult


@dataclass
class Time(IdlStruct, typename="builtin_interfaces.msg.dds_.Time_"):
    sec: int32
    nanosec: uint32


@dataclass
class Header(IdlStruct, typename="std_msgs.msg.dds_.Header_"):
    stamp: Time
    frame_id: str


@dataclass
class String(IdlStruct, typename="std_msgs.msg.dds_.String_"):
    data: str


@dataclass
class JointState(IdlStruct, typename="sensor_msgs.msg.dds_.JointState_"):
    header: Header
    name: sequence[str]
    position: sequence[float64]
    velocity: sequence[float64]
    effort: sequence[float64]


@dataclass
class KeyValue(IdlStruct, typename="diagnostic_msgs.msg.dds_.KeyValue_"):
    key: str
    value: str


@dataclass
class DiagnosticStatus(IdlStruct, typename="diagnostic_msgs.msg.dds_.DiagnosticStatus_"):
    level: uint8
    name: str
    message: str
    hardware_id: str
    values: sequence[KeyValue]


@dataclass
class DiagnosticArray(IdlStruct, typename="diagnostic_msgs.msg.dds_.DiagnosticArray_"):
    header: Header
    status: sequence[DiagnosticStatus]


SERVICES = {
    "list_parameters": (ListRequest, ListResponse),
    "describe_parameters": (DescribeRequest, DescribeResponse),
    "get_parameters": (GetRequest, GetResponse),
    "set_parameters_atomically": (AtomicRequest, AtomicResponse),
}
QUALITY = Qos(Policy.Reliability.Reliable(10**9), Policy.Durability.Volatile, Policy.History.KeepAll)
LATE = Qos(Policy.Reliability.Reliable(10**9), Policy.Durability.TransientLocal, Policy.History.KeepLast(1))


_domains = []


def participant(domain: int) -> DomainParticipant:
    _domains.append(
        Domain(
            domain,
            '<CycloneDDS><Domain Id="any"><General><Interfaces><NetworkInterface name="lo"/></Interfaces>'
            "</General></Domain></CycloneDDS>",
        )
    )
    return DomainParticipant(domain)


class Client:
    """Calls one service."""

    def __init__(self, participant: DomainParticipant, node: str, service: str, number: int) -> None:
        request, reply = SERVICES[service]
        self.header = [number, 0]
        requests = Topic(participant, f"rq{node}/{service}Request", request)
        replies = Topic(participant, f"rr{node}/{service}Reply", reply)
        self.reader = DataReader(participant, replies, QUALITY)
        self.writer = DataWriter(participant, requests, QUALITY)

    def call(self, request, timeout: float = 5.0):
        """The reply to `request`, given numbers of client and request; None when there is none in time."""
        self.header[1] += 1
        self.writer.write(request(*self.header))
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            for sample in self.reader.take(16):
                if hasattr(sample, "client_") and [sample.client_, sample.number_] == self.header:
                    return sample
            time.sleep(0.0002)
        return None


class Node:
    """A node with four parameters, whose own rule is that a damping is at most a tenth of the stiffness."""

    def __init__(self, participant: DomainParticipant, name: str) -> None:
        self.values = {
            "gains.kp": ParameterValue(DOUBLE, double_value=60.0),
            "gains.kd": ParameterValue(DOUBLE, double_value=3.0),
            "horizon": ParameterValue(INTEGER, integer_value=20),
            "weights": ParameterValue(DOUBLE_ARRAY, double_array_value=[1.0, 2.0, 3.0]),
        }
        self.ends = []
        self.done = 0
        for service, (request, reply) in SERVICES.items():
            requests = Topic(participant, f"rq{name}/{service}Request", request)
            replies = Topic(participant, f"rr{name}/{service}Reply", reply)
            reader = DataReader(participant, requests, QUALITY)
            self.ends.append((reader, DataWriter(participant, replies, QUALITY), getattr(self, service)))

    def serve(self) -> None:
        for reader, writer, answer in self.ends:
            for request in reader.take(16):
                if hasattr(request, "client_"):
                    kind, content = answer(request)
                    writer.write(kind(request.client_, request.number_, content))

    def list_parameters(self, request):
        return ListResponse, (ListParametersResult(list(self.values)))

    def describe_parameters(self, request):
        if not set(request.names) <= set(self.values):
            return DescribeResponse, ([])
        found = [ParameterDescriptor(name, self.values[name].type) for name in request.names]
        for each in found:
            if each.name == "gains.kp":
                each.floating_point_range = [FloatingPointRange(20.0, 150.0)]
        return DescribeResponse, (found)

    def get_parameters(self, request):
        known = [self.values[name] for name in request.names if name in self.values]
        return GetResponse, (known if len(known) == len(request.names) else [])

    def set_parameters_atomically(self, request):
        self.done += 1
        wanted = dict(self.values)
        for parameter in request.parameters:
            if parameter.name not in wanted or parameter.value.type != wanted[parameter.name].type:
                return AtomicResponse, (SetParametersResult(False, f"{parameter.name} does not suit me"))
            wanted[parameter.name] = parameter.value
        if wanted["gains.kd"].double_value > wanted["gains.kp"].double_value / 10.0:
            return AtomicResponse, (SetParametersResult(False, "kd may be a tenth of kp at most"))
        self.values = wanted
        return AtomicResponse, (SetParametersResult(True))


def main(domain: int, seconds: float) -> None:
    node = Node(participant(domain), "/foreign")
    print("ready", flush=True)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        node.serve()
        time.sleep(0.0002)


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
