"""Topic types of a Go2 for Cyclone DDS. Import this only where Cyclone DDS is known to be there.

The declarations give the types their names and structure on the network; command and state have the fields of the
records in `safebo.hardware.unitree.go2_messages`. Samples are serialised bytes, which
`safebo.hardware.unitree.go2_messages` and `safebo.hardware.unitree.rpc_messages` write and read: the general
codec takes a hundred times as long, and one damaged sample in a batch must not cost the others.

No postponed annotations here: Cyclone DDS reads them.
"""

# ruff: noqa: D101
# mypy: ignore-errors
# The fields are in Cyclone's own notation (`array[uint8, 2]`), which type checkers cannot read.
from typing import Any

import cyclonedds.idl as idl
import cyclonedds.idl.annotations as annotate
import cyclonedds.idl.types as types
import numpy as np

from safebo.hardware.dds import serialised
from safebo.hardware.unitree import go2_messages as wire

_NUMBERS = {
    "|u1": types.uint8,
    "<i2": types.int16,
    "<u2": types.uint16,
    "<i4": types.int32,
    "<u4": types.uint32,
    "<f4": types.float32,
}


def _record(name: str, layout: np.dtype, **parts: type) -> Any:
    """The type whose fields are those of a record of `go2_messages`; `parts` are the types of records inside it."""
    fields = {}
    for field in layout.names:
        items, shape = layout[field].subdtype or (layout[field], ())
        kind = parts.get(field) or _NUMBERS[items.str]
        fields[field] = types.array[(kind, *shape)] if shape else kind
    made = idl.make_idl_struct(name, f"unitree_go.msg.dds_.{name}", fields)
    return annotate.final(annotate.autoid("sequential")(made))


IMUState_ = _record("IMUState_", wire.IMU_STATE)
LowCmd_ = serialised(
    _record(
        "LowCmd_",
        wire.LOW_CMD,
        motor_cmd=_record("MotorCmd_", wire.MOTOR_CMD),
        bms_cmd=_record("BmsCmd_", wire.BMS_CMD),
    )
)
LowState_ = serialised(
    _record(
        "LowState_",
        wire.LOW_STATE,
        imu_state=IMUState_,
        motor_state=_record("MotorState_", wire.MOTOR_STATE),
        bms_state=_record("BmsState_", wire.BMS_STATE),
    )
)


@annotate.final
@annotate.autoid("sequential")
class TimeSpec_(idl.IdlStruct, typename="unitree_go.msg.dds_.TimeSpec_"):
    sec: types.int32
    nanosec: types.uint32


@annotate.final
@annotate.autoid("sequential")
class PathPoint_(idl.IdlStruct, typename="unitree_go.msg.dds_.PathPoint_"):
    t_from_start: types.float32
    x: types.float32
    y: types.float32
    yaw: types.float32
    vx: types.float32
    vy: types.float32
    vyaw: types.float32


@serialised
@annotate.final
@annotate.autoid("sequential")
class SportModeState_(idl.IdlStruct, typename="unitree_go.msg.dds_.SportModeState_"):
    stamp: TimeSpec_
    error_code: types.uint32
    imu_state: IMUState_
    mode: types.uint8
    progress: types.float32
    gait_type: types.uint8
    foot_raise_height: types.float32
    position: types.array[types.float32, 3]
    body_height: types.float32
    velocity: types.array[types.float32, 3]
    yaw_speed: types.float32
    range_obstacle: types.array[types.float32, 4]
    foot_force: types.array[types.int16, 4]
    foot_position_body: types.array[types.float32, 12]
    foot_speed_body: types.array[types.float32, 12]
    path_point: types.array[PathPoint_, 10]


@serialised
@annotate.final
@annotate.autoid("sequential")
class WirelessController_(idl.IdlStruct, typename="unitree_go.msg.dds_.WirelessController_"):
    lx: types.float32
    ly: types.float32
    rx: types.float32
    ry: types.float32
    keys: types.uint16


@annotate.final
@annotate.autoid("sequential")
class RequestIdentity_(idl.IdlStruct, typename="unitree_api.msg.dds_.RequestIdentity_"):
    id: types.int64
    api_id: types.int64


@annotate.final
@annotate.autoid("sequential")
class RequestLease_(idl.IdlStruct, typename="unitree_api.msg.dds_.RequestLease_"):
    id: types.int64


@annotate.final
@annotate.autoid("sequential")
class RequestPolicy_(idl.IdlStruct, typename="unitree_api.msg.dds_.RequestPolicy_"):
    priority: types.int32
    noreply: bool


@annotate.final
@annotate.autoid("sequential")
class RequestHeader_(idl.IdlStruct, typename="unitree_api.msg.dds_.RequestHeader_"):
    identity: RequestIdentity_
    lease: RequestLease_
    policy: RequestPolicy_


@serialised
@annotate.final
@annotate.autoid("sequential")
class Request_(idl.IdlStruct, typename="unitree_api.msg.dds_.Request_"):
    header: RequestHeader_
    parameter: str
    binary: types.sequence[types.uint8]


@annotate.final
@annotate.autoid("sequential")
class ResponseStatus_(idl.IdlStruct, typename="unitree_api.msg.dds_.ResponseStatus_"):
    code: types.int32


@annotate.final
@annotate.autoid("sequential")
class ResponseHeader_(idl.IdlStruct, typename="unitree_api.msg.dds_.ResponseHeader_"):
    identity: RequestIdentity_
    status: ResponseStatus_


@serialised
@annotate.final
@annotate.autoid("sequential")
class Response_(idl.IdlStruct, typename="unitree_api.msg.dds_.Response_"):
    header: ResponseHeader_
    data: str
    binary: types.sequence[types.uint8]
