"""Go1's low-level command (614 bytes) and state (807 bytes) over UDP.

A message is a numpy record (shape `()`) of `LOW_CMD` or `LOW_STATE`, which are the packets byte for byte:
packed, little-endian, with numbers in the fixed point of the wire (`TAU_SCALE` and the like say how much one
count is). `set_torque` and `set_gains` convert a command's.

Where this comes from: the field order is the vendor's public C header; that the packets are shorter than that
header's structs, and where the shortened numbers lie, was found by others who watched the wire. Not
established by any public source, and to be checked on a robot before the first motion:

- which form of checksum a robot's firmware wants. Either covers the first `(614 >> 2) - 1` words of a command and
  `(807 >> 2) - 1` of a state. `sealed` is what was seen on the wire of earlier firmware; the vendor's library 3.8
  (for firmware from 0.1.35 on) sends `plain` and takes nothing else: tried. `ignored` asks states for none, and the
  error of a failed check says which form would have matched.
- the unit of `tick`: microseconds, as the vendor's header says.
- battery cells: 32 mV per count.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from safebo.hardware.errors import CommandError, WireError
from safebo.hardware.unitree.crc import crc32_words, seal
from safebo.hardware.unitree.joints import MOTOR_SLOTS
from safebo.hardware.unitree.records import HEAD, HEADER, Bytes, Record, new_command, new_record

Slots = Sequence[int] | NDArray[np.intp]
Checksum = Literal["sealed", "plain"]
StateCrc = Literal["sealed", "plain", "ignored"]

BANDWIDTH = 0xC03A
MODE_SERVO = 0x0A
MODE_DAMPING = 0x00
TICK_SECONDS = 1e-6

TAU_SCALE = 1.0 / 256.0  # N m per count, signed 16 bits
KP_SCALE = 1.0 / 32.0  # N m/rad per count, unsigned 16 bits
KD_SCALE = 1.0 / 16.0  # N m s/rad per count, unsigned 16 bits
CELL_SCALE = 0.032  # V per count

MOTOR_CMD = np.dtype(
    [
        ("mode", "u1"),
        ("q", "<f4"),
        ("dq", "<f4"),
        ("tau", "<i2"),
        ("kp", "<u2"),
        ("kd", "<u2"),
        ("reserve", "<u4", (3,)),
    ]
)
LOW_CMD = np.dtype(
    [
        *HEADER,
        ("motor_cmd", MOTOR_CMD, (MOTOR_SLOTS,)),
        ("bms_cmd", [("off", "u1"), ("reserve", "u1", (3,))]),
        ("wireless_remote", "u1", (40,)),
        ("reserve", "<u4"),
        ("crc", "<u4"),
    ]
)
MOTOR_STATE = np.dtype(
    [
        ("mode", "u1"),
        ("q", "<f4"),
        ("dq", "<f4"),
        ("ddq", "<i2"),  # rad/s^2
        ("tau_est", "<i2"),
        ("q_raw", "<f4"),
        ("dq_raw", "<f4"),
        ("ddq_raw", "<i2"),
        ("temperature", "i1"),  # degrees Celsius
        ("reserve", "<u4", (2,)),
    ]
)
LOW_STATE = np.dtype(
    [
        *HEADER,
        (
            "imu_state",
            [
                ("quaternion", "<f4", (4,)),  # w, x, y, z
                ("gyroscope", "<f4", (3,)),  # rad/s, trunk frame
                ("accelerometer", "<f4", (3,)),  # m/s^2, specific force
                ("rpy", "<f4", (3,)),  # rad
                ("temperature", "i1"),  # degrees Celsius
            ],
        ),
        ("motor_state", MOTOR_STATE, (MOTOR_SLOTS,)),
        (
            "bms_state",
            [
                ("version_high", "u1"),
                ("version_low", "u1"),
                ("status", "u1"),
                ("soc", "u1"),  # per cent
                ("current", "<i4"),  # mA
                ("cycle", "<u2"),
                ("bq_ntc", "i1", (2,)),  # degrees Celsius
                ("mcu_ntc", "i1", (2,)),  # degrees Celsius
                ("cell_vol", "u1", (10,)),
            ],
        ),
        ("foot_force", "<i2", (4,)),
        ("foot_force_est", "<i2", (4,)),
        ("tick", "<u4"),
        ("wireless_remote", "u1", (40,)),
        ("reserve", "<u4"),
        ("crc", "<u4"),
    ]
)
CMD_BYTES = LOW_CMD.itemsize
STATE_BYTES = LOW_STATE.itemsize
BMS_OFF_AT = int(LOW_CMD.fields["bms_cmd"][1])  # type: ignore[index]


def _covered(size: int) -> int:
    """Bytes that the checksum of a packet of `size` bytes covers."""
    return 4 * ((size >> 2) - 1)


def new_low_cmd() -> Record:
    """A command that asks every motor for nothing: damping mode, no position, no velocity, no gains."""
    record = new_command(LOW_CMD, MODE_DAMPING)
    record["bandwidth"] = BANDWIDTH
    return record


def new_low_state() -> Record:
    """A state with the head of a low-level message and zeros elsewhere."""
    record = new_record(LOW_STATE)
    record["bandwidth"] = BANDWIDTH
    return record


def fixed_point(values: ArrayLike, scale: float, kind: str, what: str) -> NDArray[Any]:
    """Counts of `scale` nearest to `values`.

    Raises:
        CommandError: not finite, or beyond what the integer type `kind` carries.
    """
    counts = np.rint(np.asarray(values, dtype=np.float64) / scale)
    limits = np.iinfo(kind)
    if not (np.all(counts >= limits.min) and np.all(counts <= limits.max)):
        raise CommandError(
            f"{what}: {np.asarray(values).tolist()} is beyond {limits.min * scale:g} .. {limits.max * scale:g}, "
            "what a Go1 packet carries"
        )
    return counts.astype(kind)


def set_torque(record: Record, slots: Slots, torque: ArrayLike) -> None:
    """Feed-forward torques of some motors, N m; what the wire carries is within 1/512 of them."""
    record["motor_cmd"]["tau"][slots] = fixed_point(torque, TAU_SCALE, "<i2", "torque")


def set_gains(record: Record, slots: Slots, kp: ArrayLike, kd: ArrayLike) -> None:
    """Stiffness (N m/rad, steps of 1/32) and damping (N m s/rad, steps of 1/16) of some motors."""
    motors = record["motor_cmd"]
    motors["kp"][slots] = fixed_point(kp, KP_SCALE, "<u2", "kp")
    motors["kd"][slots] = fixed_point(kd, KD_SCALE, "<u2", "kd")


def encode_low_cmd(record: Record, crc: Checksum = "sealed") -> bytes:
    """Packet of a command (`CMD_BYTES`), with its checksum.

    The byte that switches the battery off goes out as zero, whatever the record says.
    """
    raw = bytearray(record.tobytes())
    raw[BMS_OFF_AT] = 0
    return _summed(raw, crc)


def encode_low_state(record: Record, crc: Checksum = "sealed") -> bytes:
    """Packet of a state (`STATE_BYTES`), with its checksum; for a virtual robot."""
    return _summed(bytearray(record.tobytes()), crc)


def decode_low_cmd(data: Bytes, crc: Checksum = "sealed") -> Record:
    """The command in a packet.

    Raises:
        WireError: length, head or checksum are wrong.
    """
    return _checked("Go1 LowCmd", data, LOW_CMD, crc)


def decode_low_state(data: Bytes, crc: StateCrc = "sealed") -> Record:
    """The state in a packet.

    Args:
        data: the packet.
        crc: which form of checksum to ask for; `ignored` asks for none.

    Raises:
        WireError: length, head or checksum are wrong.
    """
    return _checked("Go1 LowState", data, LOW_STATE, crc)


def _summed(raw: bytearray, crc: Checksum) -> bytes:
    plain = crc32_words(memoryview(raw)[: _covered(len(raw))])
    raw[-4:] = (plain if crc == "plain" else seal(plain)).to_bytes(4, "little")
    return bytes(raw)


def _checked(name: str, data: Bytes, dtype: np.dtype[Any], crc: StateCrc) -> Record:
    if len(data) != dtype.itemsize:
        raise WireError(f"{name}: {len(data)} bytes, expected {dtype.itemsize}")
    raw = bytearray(data)
    if raw[0] != HEAD[0] or raw[1] != HEAD[1]:
        raise WireError(f"{name}: head {bytes(raw[:2]).hex(' ')}, expected fe ef")
    if crc != "ignored":
        plain = crc32_words(memoryview(raw)[: _covered(len(raw))])
        wanted = {"sealed": seal(plain), "plain": plain}
        found = int.from_bytes(raw[-4:], "little")
        if found != wanted[crc]:
            other = [form for form, value in wanted.items() if value == found]
            hint = f"; it matches the {other[0]} form" if other else ""
            raise WireError(
                f"{name}: checksum 0x{found:08x}, the content has 0x{wanted[crc]:08x} ({crc}){hint}"
            )
    return np.frombuffer(raw, dtype).reshape(())
