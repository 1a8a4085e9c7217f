"""The cart of `loaded_carts` as a program that speaks JSON; it needs nothing that is not in Python itself."""

import json
import sys

trial = json.load(sys.stdin)
p, d = trial["parameters"]["p"] / 10.0, trial["parameters"]["d"] / 4.0
mass, slip = trial["conditions"]["mass"], trial["conditions"]["slip"]
speed = -1.5 * (p - 0.65 + 0.2 * slip) ** 2 - (d - 0.5 - 0.1 * mass) ** 2
margins = {"grip": 0.5 - (p - 0.3) ** 2 - 0.5 * slip * p, "tilt": 0.4 - (d - 0.5) ** 2 - 0.3 * mass * p}
print(json.dumps({"objective": speed, "margins": margins, "message": trial["scenario"]}))
