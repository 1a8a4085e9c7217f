"""Go2's low-level command and state: the C layout, the CDR body on the wire, and the way between them.

A message is a numpy record (shape `()`) of `LOW_CMD` or `LOW_STATE`, the vendor's C struct with all its fields:
`record["motor_cmd"]["q"]` are the 20 position targets. The checksum covers the C struct without its last word.
The wire carries XCDR1, little-endian, after four bytes of encapsulation; CDR has no padding at the ends of
structs, so motor 0's `mode` sits directly behind the field before it and everything after lies four bytes
earlier than in the C struct:

    LowCmd    C 812 bytes, CDR 808      mode of motor 0: C 24, CDR 22
    LowState  C 1180 bytes, CDR 1176    mode of motor 0: C 80, CDR 77

Layouts were read in the vendor's public type definitions. Units are SI unless a name below says otherwise.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from safebo.hardware.errors import WireError
from safebo.hardware.unitree.crc import crc32_words
from safebo.hardware.unitree.joints import MOTOR_SLOTS
from safebo.hardware.unitree.records import (
    ENCAPSULATION,
    HEAD,
    HEADER,
    Bytes,
    Record,
    new_command,
    new_record,
)

MODE_SERVO = 0x01  # field-oriented control: the motor law tau + kp (q* - q) + kd (dq* - dq) is on
MOTOR_CMD = np.dtype(
    [
        ("mode", "u1"),
        ("q", "<f4"),
        ("dq", "<f4"),
        ("tau", "<f4"),
        ("kp", "<f4"),
        ("kd", "<f4"),
        ("reserve", "<u4", (3,)),
    ],
    align=True,
)
BMS_CMD = np.dtype([("off", "u1"), ("reserve", "u1", (3,))], align=True)
LOW_CMD = np.dtype(
    [
        *HEADER,
        ("motor_cmd", MOTOR_CMD, (MOTOR_SLOTS,)),
        ("bms_cmd", BMS_CMD),
        ("wireless_remote", "u1", (40,)),
        ("led", "u1", (12,)),
        ("fan", "u1", (2,)),
        ("gpio", "u1"),
        ("reserve", "<u4"),
        ("crc", "<u4"),
    ],
    align=True,
)
IMU_STATE = np.dtype(
    [
        ("quaternion", "<f4", (4,)),  # w, x, y, z
        ("gyroscope", "<f4", (3,)),  # rad/s, trunk frame
        ("accelerometer", "<f4", (3,)),  # m/s^2, specific force
        ("rpy", "<f4", (3,)),  # rad
        ("temperature", "u1"),  # degrees Celsius
    ],
    align=True,
)
MOTOR_STATE = np.dtype(
    [
        ("mode", "u1"),
        ("q", "<f4"),
        ("dq", "<f4"),
        ("ddq", "<f4"),
        ("tau_est", "<f4"),
        ("q_raw", "<f4"),
        ("dq_raw", "<f4"),
        ("ddq_raw", "<f4"),
        ("temperature", "u1"),  # degrees Celsius
        ("lost", "<u4"),
        ("reserve", "<u4", (2,)),
    ],
    align=True,
)
BMS_STATE = np.dtype(
    [
        ("version_high", "u1"),
        ("version_low", "u1"),
        ("status", "u1"),
        ("soc", "u1"),  # per cent
        ("current", "<i4"),  # mA
        ("cycle", "<u2"),
        ("bq_ntc", "u1", (2,)),  # degrees Celsius
        ("mcu_ntc", "u1", (2,)),  # degrees Celsius
        ("cell_vol", "<u2", (15,)),  # mV
    ],
    align=True,
)
LOW_STATE = np.dtype(
    [
        *HEADER,
        ("imu_state", IMU_STATE),
        ("motor_state", MOTOR_STATE, (MOTOR_SLOTS,)),
        ("bms_state", BMS_STATE),
        ("foot_force", "<i2", (4,)),  # raw, feet in the order FR, FL, RR, RL
        ("foot_force_est", "<i2", (4,)),
        ("tick", "<u4"),  # ms of the motion controller's clock
        ("wireless_remote", "u1", (40,)),
        ("bit_flag", "u1"),
        ("adc_reel", "<f4"),
        ("temperature_ntc1", "u1"),
        ("temperature_ntc2", "u1"),
        ("power_v", "<f4"),
        ("power_a", "<f4"),
        ("fan_frequency", "<u2", (4,)),
        ("reserve", "<u4"),
        ("crc", "<u4"),
    ],
    align=True,
)

BMS_OFF_AT = int(LOW_CMD.fields["bms_cmd"][1])  # type: ignore[index]


def _paint(dtype: np.dtype[Any], base: int, mask: NDArray[np.uint8]) -> None:
    """Mark the bytes of `dtype` at `base` that are fields and not padding."""
    for name in dtype.names or ():
        field, offset = dtype.fields[name][:2]  # type: ignore[index]
        items, shape = field.subdtype or (field, ())
        for i in range(int(np.prod(shape, dtype=int))):
            start = base + offset + i * items.itemsize
            if items.names:
                _paint(items, start, mask)
            else:
                mask[start : start + items.itemsize] = 0xFF


class _Layout:
    """One message type: its name, its C layout and where CDR drops padding.

    The C struct is `body[:mode] + pad + body[mode] + 000 + body[floats:]` of the CDR body, where `mode` is the
    CDR offset of motor 0's mode and `floats` that of the number behind it.
    """

    def __init__(self, name: str, dtype: np.dtype[Any], motors: str) -> None:
        self.name, self.dtype = name, dtype
        self.size = dtype.itemsize
        self.motor = int(dtype.fields[motors][1])  # type: ignore[index]  # C offset of motor 0
        self.floats = self.motor  # CDR: four bytes before the C offset `motor + 4`
        self.mode = max(
            int(dtype.fields[field][1]) + _used(dtype.fields[field][0])  # type: ignore[index]
            for field in dtype.names or ()
            if dtype.fields[field][1] < self.motor  # type: ignore[index]
        )
        self.body = self.size - 4
        mask = np.zeros(self.size, dtype=np.uint8)
        _paint(dtype, 0, mask)
        self._mask = mask

    def encode(self, raw: bytearray) -> bytes:
        """The wire bytes of a C struct; its checksum is written into `raw` as well."""
        clean = bytearray(np.bitwise_and(np.frombuffer(raw, np.uint8), self._mask))
        clean[-4:] = crc32_words(memoryview(clean)[:-4]).to_bytes(4, "little")
        gap = bytes(self.floats - self.mode - 1)
        return b"".join(
            (
                ENCAPSULATION,
                memoryview(clean)[: self.mode],
                memoryview(clean)[self.motor : self.motor + 1],
                gap,
                memoryview(clean)[self.motor + 4 :],
            )
        )

    def decode(self, data: Bytes, verify_crc: bool) -> Record:
        """The record in wire bytes; it owns its memory."""
        if len(data) != self.body + 4:
            raise WireError(
                f"{self.name}: {len(data)} bytes, expected {self.body + 4} (4 of encapsulation, {self.body} of CDR)"
            )
        if bytes(data[:2]) != ENCAPSULATION[:2]:
            raise WireError(
                f"{self.name}: encapsulation {bytes(data[:4]).hex(' ')}, expected "
                f"{ENCAPSULATION.hex(' ')} (XCDR1, little-endian)"
            )
        if data[4] != HEAD[0] or data[5] != HEAD[1]:
            raise WireError(f"{self.name}: head {bytes(data[4:6]).hex(' ')}, expected fe ef")
        raw = bytearray(self.size)
        raw[: self.mode] = data[4 : 4 + self.mode]
        raw[self.motor] = data[4 + self.mode]
        raw[self.motor + 4 :] = data[4 + self.floats :]
        clean = bytearray(np.bitwise_and(np.frombuffer(raw, np.uint8), self._mask))
        if verify_crc:
            expected = crc32_words(memoryview(clean)[:-4])
            found = int.from_bytes(clean[-4:], "little")
            if found != expected:
                raise WireError(f"{self.name}: checksum 0x{found:08x}, the content has 0x{expected:08x}")
        return np.frombuffer(clean, self.dtype).reshape(())


def _used(dtype: np.dtype[Any]) -> int:
    """Bytes up to the end of the last field, without padding at the end."""
    if dtype.names is None:
        return dtype.itemsize
    return max(
        int(dtype.fields[name][1]) + _used(dtype.fields[name][0])  # type: ignore[index]
        for name in dtype.names
    )


_CMD = _Layout("LowCmd", LOW_CMD, "motor_cmd")
_STATE = _Layout("LowState", LOW_STATE, "motor_state")
CMD_BYTES = _CMD.body + 4
STATE_BYTES = _STATE.body + 4


def new_low_cmd() -> Record:
    """A low-level command that asks every motor for nothing: servo mode, no position, no velocity, no gains."""
    return new_command(LOW_CMD, MODE_SERVO)


def new_low_state() -> Record:
    """A state with the head of a low-level message and zeros elsewhere."""
    return new_record(LOW_STATE)


def set_joints(record: Record, values: NDArray[np.float64], slots: NDArray[np.intp]) -> None:
    """Write a joint command into a low-level command.

    Args:
        record: the command to change; motors not in `slots` stay as they are.
        values: position, velocity, torque, kp, kd: `5 x n`, SI units.
        slots: motor of every joint, `n`.
    """
    motors = record["motor_cmd"]
    for field, row in zip(("q", "dq", "tau", "kp", "kd"), values, strict=True):
        motors[field][slots] = row


def encode_low_cmd(record: Record) -> bytes:
    """Wire bytes of a command (`CMD_BYTES`), with its checksum.

    The byte that switches the battery off goes out as zero, whatever the record says: no caller of this bridge
    may cut a robot's power.
    """
    raw = bytearray(record.tobytes())
    raw[BMS_OFF_AT] = 0
    return _CMD.encode(raw)


def encode_low_state(record: Record) -> bytes:
    """Wire bytes of a state (`STATE_BYTES`), with its checksum."""
    return _STATE.encode(bytearray(record.tobytes()))


def decode_low_cmd(data: Bytes, verify_crc: bool = True) -> Record:
    """The command in wire bytes.

    Raises:
        WireError: length, encapsulation, head or checksum are wrong.
    """
    return _CMD.decode(data, verify_crc)


def decode_low_state(data: Bytes, verify_crc: bool = True) -> Record:
    """The state in wire bytes; see `decode_low_cmd`."""
    return _STATE.decode(data, verify_crc)
