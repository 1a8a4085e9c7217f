"""Every message of the link, by kind. The byte tables in docs/link.md are printed from these declarations.

Requests are acknowledged and idempotent: the guardian answers a repeated request id with the first answer.
Datagrams are neither: the newest counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from safebo.hardware.link.frame import MAX_BODY
from safebo.hardware.link.layout import Body, f32s, f64, f64s, raw, rest, text, u8, u16, u32, u64


class Code(IntEnum):
    """What a reply says."""

    OK = 0
    """Done."""
    NO_LEASE = 1
    """The lease epoch is not the present one: it expired, was released, or belongs to another client."""
    LEASE_HELD = 2
    """Another client holds the lease."""
    WRONG_STATE = 3
    """The state table has no answer to this request in the present state."""
    OUT_OF_BOUNDS = 4
    """A gain outside the guardian's hard bounds."""
    BAD_VALUE = 5
    """A value that cannot be, or a trial or latch of another number; the detail says which."""
    WRONG_TABLE = 6
    """The gains were sent in the order of another table."""
    DIGEST_MISMATCH = 7
    """What the client believes it sent is not what the guardian holds."""
    NOT_READY = 8
    """Something is missing, or still being prepared; ask again."""
    CAUSE_PRESENT = 9
    """A latch cannot be cleared while what caused it is still there."""
    WRONG_TOKEN = 10
    """Not the token that the last Arm or Acknowledge gave."""
    REQUEST_REUSED = 11
    """The request id was used for another request."""
    UNKNOWN_REQUEST = 12
    """Reserved: a guardian of version 1 leaves packets of unknown kind unanswered."""


@dataclass(frozen=True)
class Hello(Body, kind=0x01):
    """Client: asks for a session. The only client packet with session 0."""

    nonce: int = u64("random; the answer repeats it, which proves that the answer is fresh")
    lowest: int = u8("lowest protocol version the client speaks")
    highest: int = u8("highest one")
    name: str = text(32, "who asks, for people")


@dataclass(frozen=True)
class Welcome(Body, kind=0x02):
    """Guardian: the session's number, and what stands at this end."""

    nonce: int = u64("of the Hello")
    session: int = u64("to be put into every header from now on")
    version: int = u8("protocol version of the session")
    virtual: int = u8("1: a virtual robot; 0: a physical one")
    rate: int = u16("control ticks per second")
    gains: int = u16("number of gains in the table")
    table: int = u64("identifies names, units and order of the gains")
    robot: str = text(32, "name of the robot")
    serial: str = text(32, "serial number of the robot")


@dataclass(frozen=True)
class RequestMessage(Body):
    """What all requests begin with."""

    request: int = u32("request id: a retry repeats it, a new request has a new one")
    epoch: int = u32("of the lease; 0 where none is needed")


@dataclass(frozen=True)
class AcquireLease(RequestMessage, kind=0x10):
    """The right to command. One client has it; heartbeats keep it. The reply's value is the epoch."""

    name: str = text(32, "who will hold it, for people")


@dataclass(frozen=True)
class ReleaseLease(RequestMessage, kind=0x11):
    """Gives the lease back. A standing robot lies down."""


@dataclass(frozen=True)
class ResetTrial(RequestMessage, kind=0x12):
    """Forgets gains, backups, walk and monitor that were sent before."""


@dataclass(frozen=True)
class SetGains(RequestMessage, kind=0x13):
    """A full set of gains, all or none. The reply's data is the SHA-256 of the values now held."""

    slot: int = u16("0: the trial's gains; k: gains of backup k - 1")
    table: int = u64("of the Welcome")
    values: bytes = rest("one f64 per gain, in the order of the table")


@dataclass(frozen=True)
class GetGains(RequestMessage, kind=0x14):
    """Read back: the reply's data is the values, f64 each."""

    slot: int = u16("0: the trial's gains; k: gains of backup k - 1; 65535: those at work now")


@dataclass(frozen=True)
class SetWalk(RequestMessage, kind=0x15):
    """Gait and speed of the trial."""

    gait: tuple[float, ...] = f64s(
        5, "duty factor; stride duration, s; phase offsets of FL, RR, RL against FR, strides"
    )
    velocity: tuple[float, ...] = f64s(3, "forward, leftward, m/s; yaw rate, rad/s")
    ramp: float = f64("seconds in which the speed grows from rest")
    settle: float = f64("seconds of standing before the gait starts")


@dataclass(frozen=True)
class Upload(RequestMessage, kind=0x16):
    """A piece of the monitor's arrays. Pieces may come in any order and again."""

    total: int = u32("bytes of the whole")
    offset: int = u32("of this piece")
    data: bytes = rest("the piece")


@dataclass(frozen=True)
class SetMonitor(RequestMessage, kind=0x17):
    """The boundary condition over the uploaded arrays; its backups are the gains of slots 1 to `policies`."""

    rule: str = text(24, "lipschitz, gaussian_tail, kernel_covariance or cost_to_go")
    numbers: tuple[float, ...] = f64s(6, "of the rule, in the order of its table, then zeros")
    width: int = u16("numbers per state, k")
    states: int = u32("stored states, m")
    policies: int = u16("backups, p")
    digest: bytes = raw(32, "SHA-256 of the uploaded arrays")


@dataclass(frozen=True)
class Arm(RequestMessage, kind=0x18):
    """Makes the trial ready to start; the robot stays on baseline gains. The reply's value is a token."""

    trial: int = u64("number of the trial, at least 1")
    digest: bytes = raw(32, "of the whole trial as the client sent it")


@dataclass(frozen=True)
class Disarm(RequestMessage, kind=0x19):
    """Back to standing."""


@dataclass(frozen=True)
class Start(RequestMessage, kind=0x1A):
    """Begins the armed trial. It ends by itself after `duration`."""

    token: int = u64("of the Arm reply")
    duration: float = f64("seconds of walking at most, after settling")


@dataclass(frozen=True)
class Abort(RequestMessage, kind=0x1B):
    """Ends the trial: baseline gains, brake, stand. Not a latch."""

    trial: int = u64("number of the trial")


@dataclass(frozen=True)
class Stand(RequestMessage, kind=0x1C):
    """Stands up."""


@dataclass(frozen=True)
class LieDown(RequestMessage, kind=0x1D):
    """Lies down; a running trial ends."""


@dataclass(frozen=True)
class Acknowledge(RequestMessage, kind=0x1E):
    """First step of clearing: a person has seen this latch. The reply's value is a token."""

    latch: int = u32("number of the latch, as shown in State")


@dataclass(frozen=True)
class Clear(RequestMessage, kind=0x1F):
    """Second step of clearing. Starts no motion."""

    token: int = u64("of the Acknowledge reply")


@dataclass(frozen=True)
class GetStatus(RequestMessage, kind=0x20):
    """The reply's data is the body of a State."""


@dataclass(frozen=True)
class Fetch(RequestMessage, kind=0x21):
    """Telemetry of the last trial, or of the running one so far. The reply's value is the size of the whole, its data
    the piece.
    """

    trial: int = u64("number of the trial")
    offset: int = u32("byte at which to begin")
    length: int = u16("bytes at most")


@dataclass(frozen=True)
class Describe(RequestMessage, kind=0x22):
    """What guards: versions, robot, limits, baseline gains, names of telemetry's columns, as JSON. The reply's value is
    the size of the whole, its data the piece.
    """

    offset: int = u32("byte at which to begin")
    length: int = u16("bytes at most")


@dataclass(frozen=True)
class Reply(Body, kind=0x30):
    """Guardian: the answer to a request."""

    request: int = u32("id of the request")
    code: int = u8("0: done; otherwise refused, and nothing has changed")
    value: int = u64("as the request's table says; 0 otherwise")
    detail: str = text(160, "for people: why it was refused")
    data: bytes = rest("as the request's table says")


@dataclass(frozen=True)
class Heartbeat(Body, kind=0x40):
    """Client: proof of life. Only one that answers a recent State counts."""

    epoch: int = u32("of the lease; 0: a viewer, who gets State but keeps nothing alive")
    echo: int = u64("sequence of the newest State received; 0 before the first")
    every: int = u16("wants every n-th State, at least 1")


@dataclass(frozen=True)
class Stop(Body, kind=0x41):
    """Client: software stop, without lease, from any state. To be sent again until State shows it."""

    level: int = u8("1: baseline gains, stand; 2: stand down; 3 and above: joint damping")
    reason: str = text(64, "for people")


@dataclass(frozen=True)
class StateMessage(Body, kind=0x50):
    """Guardian: how everything stands."""

    time: float = f64("guardian's clock, s")
    tick: int = u32("of the newest robot state")
    age: int = u32("time since that tick advanced, microseconds")
    state: int = u8("see states")
    response: int = u8(
        "severity of the present response: 0 none, 1 no new trial, 2 hold, 3 stand down, 4 damp"
    )
    cause: int = u8("number of the limit or event behind the latch, or behind a refusal; 0: none")
    backup: int = u8("index of the backup at work; 255: none")
    latch: int = u32("number of the latch, counts up; 0: nothing is latched")
    epoch: int = u32("of the present lease; 0: nobody holds it")
    trial: int = u64("number of the armed, running or last trial; 0: none")
    outcome: int = u8("of that trial: 0 not over, 1 completed, 2 ended by request, 3 ended by trouble")
    elapsed: float = f64("seconds since the walk of the running trial began; negative while it settles")
    stop_seen: int = u64("sequence of the newest Stop of this session that was acted on")
    accepted: int = u32("robot states used")
    missed: int = u32("control ticks without a new one")
    rejected: int = u32("robot states refused: damaged, not finite, impossible")
    overruns: int = u32("control cycles longer than allowed")
    refused: int = u32("packets on this link that were refused")
    battery: int = u8("state of charge, percent; 255: unknown")
    hottest: int = u8("hottest motor, degrees Celsius; 255: unknown")
    attitude: tuple[float, ...] = f32s(2, "roll and pitch, rad")
    height: tuple[float, ...] = f32s(1, "of the trunk above the lowest foot, m")
    position: tuple[float, ...] = f32s(12, "joint angles, rad")
    velocity: tuple[float, ...] = f32s(12, "joint speeds, rad/s")
    torque: tuple[float, ...] = f32s(12, "estimated joint torques, N m")
    target: tuple[float, ...] = f32s(12, "commanded joint angles, rad")
    message: str = text(96, "for people: the cause")


REQUESTS: tuple[type[RequestMessage], ...] = (
    AcquireLease,
    ReleaseLease,
    ResetTrial,
    SetGains,
    GetGains,
    SetWalk,
    Upload,
    SetMonitor,
    Arm,
    Disarm,
    Start,
    Abort,
    Stand,
    LieDown,
    Acknowledge,
    Clear,
    GetStatus,
    Fetch,
    Describe,
)
DATAGRAMS: tuple[type[Body], ...] = (Heartbeat, Stop)
ANSWERS: tuple[type[Body], ...] = (Welcome, Reply, StateMessage)
FROM_CLIENT: dict[int, type[Body]] = {
    Hello.KIND: Hello,
    **{kind.KIND: kind for kind in REQUESTS},
    **{kind.KIND: kind for kind in DATAGRAMS},
}
FROM_GUARDIAN: dict[int, type[Body]] = {kind.KIND: kind for kind in ANSWERS}

PIECE = MAX_BODY - 200
"""Bytes of data in one Upload, Fetch or Describe: leaves room for the other fields of any message."""
