"""A Go2 client by the vendor's protocol, sharing no code with the bridge but the names of topics.

Run as `python vendor_client.py DOMAIN`: asks who holds the joints, makes the robot lie down and let go, then sends 500
joint commands a second through three poses, as the vendor's standing example does. Prints a JSON line of what it saw.
The samples pass through Cyclone's general codec, the checksum is computed bit by bit.
"""

import json
import struct
import sys
import time
from dataclasses import dataclass

import cyclonedds.idl as idl
import cyclonedds.idl.annotations as annotate
import cyclonedds.idl.types as types
from cyclonedds.domain import Domain, DomainParticipant
from cyclonedds.pub import DataWriter
from cyclonedds.sub import DataReader
from cyclonedds.topic import Topic

from safebo.hardware.unitree.dds_types import (
    RequestHeader_,
    RequestIdentity_,
    RequestLease_,
    RequestPolicy_,
    ResponseHeader_,
    ResponseStatus_,
)

# The parts come without a constructor; Cyclone's general codec needs one.
for _part in (
    RequestHeader_, RequestIdentity_, RequestLease_, RequestPolicy_, ResponseHeader_, ResponseStatus_,
):  # fmt: skip
    dataclass(_part)


@dataclass
@annotate.final
@annotate.autoid("sequential")
class MotorCmd_(idl.IdlStruct, typename="unitree_go.msg.dds_.MotorCmd_"):
    mode: types.uint8
    q: types.float32
    dq: types.float32
    tau: types.float32
    kp: types.float32
    kd: types.float32
    reserve: types.array[types.uint32, 3]


@dataclass
@annotate.final
@annotate.autoid("sequential")
class BmsCmd_(idl.IdlStruct, typename="unitree_go.msg.dds_.BmsCmd_"):
    off: types.uint8
    reserve: types.array[types.uint8, 3]


@dataclass
@annotate.final
@annotate.autoid("sequential")
class IMUState_(idl.IdlStruct, typename="unitree_go.msg.dds_.IMUState_"):
    quaternion: types.array[types.float32, 4]
    gyroscope: types.array[types.float32, 3]
    accelerometer: types.array[types.float32, 3]
    rpy: types.array[types.float32, 3]
    temperature: types.uint8


@dataclass
@annotate.final
@annotate.autoid("sequential")
class MotorState_(idl.IdlStruct, typename="unitree_go.msg.dds_.MotorState_"):
    mode: types.uint8
    q: types.float32
    dq: types.float32
    ddq: types.float32
    tau_est: types.float32
    q_raw: types.float32
    dq_raw: types.float32
    ddq_raw: types.float32
    temperature: types.uint8
    lost: types.uint32
    reserve: types.array[types.uint32, 2]


@dataclass
@annotate.final
@annotate.autoid("sequential")
class BmsState_(idl.IdlStruct, typename="unitree_go.msg.dds_.BmsState_"):
    version_high: types.uint8
    version_low: types.uint8
    status: types.uint8
    soc: types.uint8
    current: types.int32
    cycle: types.uint16
    bq_ntc: types.array[types.uint8, 2]
    mcu_ntc: types.array[types.uint8, 2]
    cell_vol: types.array[types.uint16, 15]


@dataclass
@annotate.final
@annotate.autoid("sequential")
class LowCmd_(idl.IdlStruct, typename="unitree_go.msg.dds_.LowCmd_"):
    head: types.array[types.uint8, 2]
    level_flag: types.uint8
    frame_reserve: types.uint8
    sn: types.array[types.uint32, 2]
    version: types.array[types.uint32, 2]
    bandwidth: types.uint16
    motor_cmd: types.array[MotorCmd_, 20]
    bms_cmd: BmsCmd_
    wireless_remote: types.array[types.uint8, 40]
    led: types.array[types.uint8, 12]
    fan: types.array[types.uint8, 2]
    gpio: types.uint8
    reserve: types.uint32
    crc: types.uint32


@dataclass
@annotate.final
@annotate.autoid("sequential")
class LowState_(idl.IdlStruct, typename="unitree_go.msg.dds_.LowState_"):
    head: types.array[types.uint8, 2]
    level_flag: types.uint8
    frame_reserve: types.uint8
    sn: types.array[types.uint32, 2]
    version: types.array[types.uint32, 2]
    bandwidth: types.uint16
    imu_state: IMUState_
    motor_state: types.array[MotorState_, 20]
    bms_state: BmsState_
    foot_force: types.array[types.int16, 4]
    foot_force_est: types.array[types.int16, 4]
    tick: types.uint32
    wireless_remote: types.array[types.uint8, 40]
    bit_flag: types.uint8
    adc_reel: types.float32
    temperature_ntc1: types.uint8
    temperature_ntc2: types.uint8
    power_v: types.float32
    power_a: types.float32
    fan_frequency: types.array[types.uint16, 4]
    reserve: types.uint32
    crc: types.uint32


@dataclass
@annotate.final
@annotate.autoid("sequential")
class Request_(idl.IdlStruct, typename="unitree_api.msg.dds_.Request_"):
    header: RequestHeader_
    parameter: str
    binary: types.sequence[types.uint8]


@dataclass
@annotate.final
@annotate.autoid("sequential")
class Response_(idl.IdlStruct, typename="unitree_api.msg.dds_.Response_"):
    header: ResponseHeader_
    data: str
    binary: types.sequence[types.uint8]


POSES = (
    (0.0, 1.36, -2.65, 0.0, 1.36, -2.65, -0.2, 1.36, -2.65, 0.2, 1.36, -2.65),
    (0.0, 0.67, -1.3, 0.0, 0.67, -1.3, 0.0, 0.67, -1.3, 0.0, 0.67, -1.3),
    (-0.35, 1.36, -2.65, 0.35, 1.36, -2.65, -0.5, 1.36, -2.65, 0.5, 1.36, -2.65),
)


def checksum(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for (word,) in struct.iter_unpack("<I", data):
        crc ^= word
        for _ in range(32):
            crc = (crc << 1 ^ 0x04C11DB7 if crc & 0x80000000 else crc << 1) & 0xFFFFFFFF
    return crc


FORM = struct.Struct("<4B4IH2x" + "B3x5f3I" * 20 + "4B55Bx2I")


def packed(cmd: LowCmd_) -> bytes:
    parts = [*cmd.head, cmd.level_flag, cmd.frame_reserve, *cmd.sn, *cmd.version, cmd.bandwidth]
    for m in cmd.motor_cmd:
        parts += [m.mode, m.q, m.dq, m.tau, m.kp, m.kd, *m.reserve]
    parts += [cmd.bms_cmd.off, *cmd.bms_cmd.reserve, *cmd.wireless_remote, *cmd.led, *cmd.fan, cmd.gpio]
    return FORM.pack(*parts, cmd.reserve, cmd.crc)


TABLE = [0] * 256
for _i in range(256):
    _c = _i << 24
    for _ in range(8):
        _c = (_c << 1 ^ 0x04C11DB7 if _c & 0x80000000 else _c << 1) & 0xFFFFFFFF
    TABLE[_i] = _c


def table_checksum(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for i in range(0, len(data), 4):
        for byte in (data[i + 3], data[i + 2], data[i + 1], data[i]):
            crc = (crc << 8 & 0xFFFFFFFF) ^ TABLE[crc >> 24 ^ byte]
    return crc


class Client:
    def __init__(self, participant: DomainParticipant, service: str) -> None:
        self.requests = DataWriter(participant, Topic(participant, f"rt/api/{service}/request", Request_))
        self.responses = DataReader(participant, Topic(participant, f"rt/api/{service}/response", Response_))
        time.sleep(0.5)

    def call(self, api: int, parameter: str = "{}", seconds: float = 5.0) -> tuple[int, str | None]:
        number = time.monotonic_ns()
        header = RequestHeader_(RequestIdentity_(number, api), RequestLease_(0), RequestPolicy_(0, False))  # type: ignore[call-arg]
        self.requests.write(Request_(header, parameter, []))
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for answer in self.responses.take(8):
                if isinstance(answer, Response_) and answer.header.identity.id == number:
                    assert answer.header.identity.api_id == api
                    return answer.header.status.code, answer.data
            time.sleep(0.001)
        return 3104, None


def released(switcher: Client, sport: Client) -> list[str]:
    """Names of the services that had the robot, until none has it: it lies down, and each lets it go."""
    names = []
    while True:
        code, data = switcher.call(1001)
        assert code == 0, f"CheckMode: {code}"
        assert data is not None
        names.append(json.loads(data)["name"])
        if not names[-1]:
            return names
        assert sport.call(1005)[0] == 0
        assert switcher.call(1003)[0] == 0
        time.sleep(0.2)


def new_command() -> LowCmd_:
    """A command that asks for nothing."""
    zero = [0] * 3
    motors = [MotorCmd_(1, 2.146e9, 16000.0, 0.0, 0.0, 0.0, zero) for _ in range(20)]
    head, tail = ([0xFE, 0xEF], 0xFF, 0, [0, 0], [0, 0], 0), ([0] * 40, [0] * 12, [0, 0], 0, 0, 0)
    return LowCmd_(*head, motors, BmsCmd_(0, zero), *tail)


def main(domain: int) -> None:
    configuration = (
        '<CycloneDDS><Domain Id="any"><General><Interfaces><NetworkInterface name="lo"/></Interfaces></General>'
        "</Domain></CycloneDDS>"
    )
    keep = Domain(domain, configuration)
    participant = DomainParticipant(domain)
    writer = DataWriter(participant, Topic(participant, "rt/lowcmd", LowCmd_))
    states = DataReader(participant, Topic(participant, "rt/lowstate", LowState_))
    sport, switcher = Client(participant, "sport"), Client(participant, "motion_switcher")
    saw = {
        "unknown_api": switcher.call(4711)[0],
        "unknown_sport": sport.call(9999)[0],
        "version": sport.call(1),
        "names": released(switcher, sport),
    }
    cmd = new_command()
    assert checksum(packed(cmd)[:-4]) == table_checksum(packed(cmd)[:-4])
    state = None
    while state is None:
        state = next((s for s in states.take(1) if isinstance(s, LowState_)), None)
        time.sleep(0.01)
    begin = [m.q for m in state.motor_state[:12]]
    way = [
        (begin, POSES[0], 1.0),
        (POSES[0], POSES[1], 1.0),
        (POSES[1], POSES[1], 2.0),
        (POSES[1], POSES[2], 1.8),
    ]
    start, sent, ticks, reached = time.monotonic(), 0, [], []
    first = state.tick
    for since, target, seconds in way:
        # By the robot's clock: on a slow machine it runs slow, and the motion with it.
        left = round(seconds * 500)
        for i in range(left):
            share = (i + 1) / left
            for k in range(12):
                m = cmd.motor_cmd[k]
                m.q, m.dq, m.kp, m.kd, m.tau = (1 - share) * since[k] + share * target[k], 0.0, 60.0, 5.0, 0.0
            cmd.crc = table_checksum(packed(cmd)[:-4])
            writer.write(cmd)
            sent += 1
            for state in states.take(16):
                if isinstance(state, LowState_):
                    ticks.append(state.tick)
            late = start + sent * 0.002 - time.monotonic()
            if late > 0:
                time.sleep(late)
        reached.append([round(m.q, 3) for m in state.motor_state[:12]])
    saw |= {
        "sent": sent,
        "states": len(ticks),
        "ordered": ticks == sorted(ticks),
        "robot_seconds": (ticks[-1] - first) / 1000,
        "wall_seconds": time.monotonic() - start,
        "reached": reached,
        "targets": POSES,
        "serial": list(state.sn),
    }
    print(json.dumps(saw), flush=True)
    del keep


if __name__ == "__main__":
    main(int(sys.argv[1]))
