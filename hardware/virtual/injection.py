"""What faults do: to the body, to the record of a state, to its bytes, and to their order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from safebo.hardware.unitree.joints import JOINT_NAMES, motors_of
from safebo.hardware.unitree.records import Record
from safebo.hardware.unitree.remote import encode_remote
from safebo.hardware.virtual.faults import InjectedFault
from safebo.hardware.virtual.plant import NO_INFLUENCE, Influence
from safebo.hardware.virtual.sensor_faults import SensorFaults

_HOT = motors_of()[JOINT_NAMES.index("FL_thigh")]
_PRESSED = np.frombuffer(encode_remote(["L2", "B"]), np.uint8)


class Injector:
    """Faults that come and go with the robot's clock.

    Args:
        faults: what is to happen.
        seed: of what is drawn by lot.
        head: where a packet's first head byte is.
        cell_scale: V per count of a battery cell.

    Attributes:
        active: faults of this tick.
        begun: faults that began with this tick.
        ended: faults that ended with it.
    """

    def __init__(
        self, faults: Sequence[InjectedFault] = (), seed: int = 0, head: int = 4, cell_scale: float = 1e-3
    ) -> None:
        self._faults = tuple(faults)
        self._random = np.random.default_rng(seed)
        self._head, self._cell_scale = head, cell_scale
        self.active: tuple[InjectedFault, ...] = ()
        self.begun: tuple[InjectedFault, ...] = ()
        self.ended: tuple[InjectedFault, ...] = ()
        self._on: set[int] = set()
        self._over: set[int] = set()
        self._freezes = any(fault.kind == "freeze" for fault in self._faults)
        self._newest: Record | None = None
        self._sensors = SensorFaults(self._faults)
        self._sent = 0
        self._now = 0.0
        self._began: dict[int, float] = {}
        self._held: bytes | None = None

    @property
    def names(self) -> list[str]:
        """Kinds that are active now."""
        return [fault.kind for fault in self.active]

    def on(self, kind: str) -> bool:
        """Whether a fault of this kind is active."""
        return any(fault.kind == kind for fault in self.active)

    def look(self, now: float, reached: Mapping[str, float]) -> None:
        """Which faults are active at a robot time, s.

        Args:
            now: s.
            reached: when the marks were reached, s; see `safebo.hardware.virtual.faults.MARKS`.
        """
        if not self._faults:
            return
        self._now = now
        active, begun, ended = [], [], []
        for number, fault in enumerate(self._faults):
            if number in self._over or fault.since not in reached:
                continue
            begin = reached[fault.since] + fault.at
            if now < begin - 1e-9:
                continue
            was = number in self._on
            if not was:
                begun.append(fault)
                self._began[number] = now
            if was and now >= begin + fault.lasts - 1e-9:
                self._over.add(number)
                ended.append(fault)
            else:
                self._on.add(number)
                active.append(fault)
        self.active, self.begun, self.ended = tuple(active), tuple(begun), tuple(ended)

    def influence(self) -> Influence:
        """What the active faults do to the body."""
        if not self.active:
            return NO_INFLUENCE
        body = Influence()
        for fault in self.active:
            if fault.kind == "push":
                body.force = body.force + fault.value
            elif fault.kind == "tip_over":
                body.torque[0] += fault.value
            elif fault.kind == "joint_stuck":
                body.stuck[list(fault.value)] = True
            elif fault.kind == "motor_weak":
                body.strength = body.strength * fault.value
            elif fault.kind == "motor_off":
                body.strength[list(fault.value)] = 0.0
            elif fault.kind == "encoder_offset":
                body.encoder = body.encoder + fault.value
            elif fault.kind == "encoder_drift":
                lasted = self._now - self._began[self._faults.index(fault)]
                body.encoder = body.encoder + lasted * np.array(fault.value)
            elif fault.kind == "reboot":
                body.limp = True
            elif fault.kind == "remote_stop":
                body.damped = True
        return body

    def record(self, record: Record) -> Record:
        """The state as it goes out; `record` itself is not changed."""
        if self.on("freeze") and self._newest is not None:
            return self._newest
        if self._freezes:
            self._newest = record.copy()
        return distorted(self._sensors.change(record, self.active), self.active, self._cell_scale)

    def packets(self, data: bytes) -> list[bytes]:
        """What goes out for one encoded state, in this order."""
        if not self.active:
            return self._released([data])
        if self.on("silence") or self.on("reboot") or self._drawn("loss"):
            return []
        self._sent += 1
        if any(fault.kind == "rarer" and self._sent % round(fault.value) for fault in self.active):
            return []
        if self._drawn("bad_crc"):
            data = data[:-1] + bytes([data[-1] ^ 0x5A])
        if self._drawn("bad_head"):
            data = data[: self._head] + b"\x00" + data[self._head + 1 :]
        if self._drawn("truncated"):
            data = data[: len(data) // 2]
        if self._held is None and self._drawn("reorder"):
            self._held = data
            return []
        return self._released([data, data] if self._drawn("duplicate") else [data])

    def _released(self, packets: list[bytes]) -> list[bytes]:
        if self._held is not None:
            packets = [*packets, self._held]
            self._held = None
        return packets

    def _drawn(self, kind: str) -> bool:
        return any(fault.kind == kind and self._random.random() < fault.value for fault in self.active)


def distorted(record: Record, faults: Iterable[InjectedFault], cell_scale: float = 1e-3) -> Record:
    """A state as some faults make it say; `record` itself is not changed."""
    changed = record
    for fault in faults:
        if fault.kind not in _DISTORTIONS:
            continue
        if changed is record:
            changed = record.copy()
        _DISTORTIONS[fault.kind](changed, fault.value, cell_scale)
    return changed


def _nan(record: Record, joints: tuple[int, ...], _: float) -> None:
    record["motor_state"]["q"][motors_of()[list(joints)]] = np.nan
    record["imu_state"]["gyroscope"] = np.nan


def _impossible(record: Record, joints: tuple[int, ...], _: float) -> None:
    record["motor_state"]["q"][motors_of()[list(joints)]] = 50.0
    record["motor_state"]["dq"][motors_of()[list(joints)]] = 900.0


def _low_battery(record: Record, charge: float, _: float) -> None:
    record["bms_state"]["soc"] = round(charge)


def _cell_spread(record: Record, volts: float, scale: float) -> None:
    cells = record["bms_state"]["cell_vol"]
    cells[0] = max(1, int(cells[0]) - round(volts / scale))


def _hot_motor(record: Record, degrees: float, _: float) -> None:
    record["motor_state"]["temperature"][_HOT] = round(degrees)


def _motor_off(record: Record, joints: tuple[int, ...], _: float) -> None:
    record["motor_state"]["mode"][motors_of()[list(joints)]] = 0


def _remote_stop(record: Record, _value: None, _: float) -> None:
    record["wireless_remote"] = _PRESSED


_DISTORTIONS: dict[str, Callable[[Record, Any, float], None]] = {
    "nan": _nan,
    "impossible": _impossible,
    "low_battery": _low_battery,
    "cell_spread": _cell_spread,
    "hot_motor": _hot_motor,
    "motor_off": _motor_off,
    "remote_stop": _remote_stop,
}
