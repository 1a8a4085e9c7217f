"""Cyclone DDS's types of ROS 2 messages. Import this only where Cyclone DDS is known to be there.

The declarations give the types their names and structure on the network. Samples are serialised bytes, which
`safebo.hardware.ros2.cdr` writes and reads. Requests and responses begin with the header that stands before them on the
wire: Cyclone 11 writes and takes no sample whose bytes are not those of its type.
"""

# mypy: ignore-errors
from __future__ import annotations

from functools import cache
from typing import Any

import cyclonedds.idl as idl
import cyclonedds.idl.annotations as annotate
import cyclonedds.idl.types as types

from safebo.hardware.dds import serialised
from safebo.hardware.ros2.interfaces import Field, dds_name, fields_of, is_service

_KINDS = {
    "bool": bool,
    "byte": types.uint8,
    "uint8": types.uint8,
    "int8": types.int8,
    "int32": types.int32,
    "uint32": types.uint32,
    "int64": types.int64,
    "uint64": types.uint64,
    "float64": types.float64,
    "string": str,
}


@cache
def topic_type(name: str) -> Any:
    """Cyclone's type of a message, such as `std_msgs/msg/String`; its samples are their own serialised bytes."""
    return serialised(_declared(name, f"{name.split('/')[-1]}_sample"))


@cache
def _part(name: str) -> Any:
    return _declared(name, f"{name.split('/')[-1]}_")


def _declared(name: str, called: str) -> Any:
    fields = {field.name: _kind(field) for field in fields_of(name)}
    if is_service(name):
        fields = {"client_": types.uint64, "number_": types.int64, **fields}
    made = idl.make_idl_struct(called, dds_name(name).replace("::", "."), fields)
    return annotate.final(annotate.autoid("sequential")(made))


def _kind(field: Field) -> Any:
    kind = _KINDS.get(field.kind) or _part(field.kind)
    if not field.many:
        return kind
    if field.fixed is not None:
        return types.array[kind, field.fixed]
    return types.sequence[kind] if field.most is None else types.sequence[kind, field.most]
