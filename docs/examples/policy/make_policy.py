"""Write `policy.onnx`, a network that steps forward: one linear layer from the gait's clock to thighs and calves.

Run it: `python make_policy.py`. It stands for a trained network, which you would export from your trainer; it is
written byte by byte here (onnx.proto: IR version 8, opset 13), so that no package is needed for it.
"""

import struct

import numpy as np

WIDTH = 3 + 3 + 3 + 12 + 12 + 12 + 2  # as policy.yaml lists what it sees


def field(number, value):
    """One field of a protocol buffer."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def varint(value):
    """A whole number in groups of seven bits."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def linear_network(weights, bias):
    """A model: action = observation @ weights + bias."""

    def tensor(name, values):
        data = b"".join(field(1, size) for size in values.shape) + field(2, 1) + field(8, name)
        return data + field(9, struct.pack(f"<{values.size}f", *values.ravel()))

    def value(name, width):
        shape = b"".join(field(1, field(1, size)) for size in (1, width))
        return field(1, name) + field(2, field(1, field(1, 1) + field(2, shape)))

    def node(kind, inputs, output):
        return b"".join(field(1, name) for name in inputs) + field(2, output) + field(4, kind)

    graph = field(1, node("MatMul", ("observation", "w"), "product"))
    graph += field(1, node("Add", ("product", "b"), "action"))
    graph += field(2, "linear") + field(5, tensor("w", weights)) + field(5, tensor("b", bias))
    graph += field(11, value("observation", weights.shape[0])) + field(12, value("action", weights.shape[1]))
    return field(1, 8) + field(7, graph) + field(8, field(2, 13))


weights = np.zeros((WIDTH, 12))
for leg, sign in enumerate((-1.0, 1.0, 1.0, -1.0)):  # FL, FR, RL, RR: FR and RL step together
    thigh, calf = 3 * leg + 1, 3 * leg + 2
    weights[-1, thigh] = -0.6 * sign  # the clock's cosine: back while it stands, forward while it swings
    weights[-2, calf] = 1.2 * sign  # its sine: up while it swings
with open("policy.onnx", "wb") as file:
    file.write(linear_network(weights, np.zeros(12)))
print("policy.onnx: 45 numbers in, 12 out")
