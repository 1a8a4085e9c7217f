"""The bowl of bowl.py as a program of its own, with children: one in its session, and one that left it.

Both would outlive it for a minute if nobody ended them.
"""

import json
import math
import os
import sys
import time

sleep = ["sleep", "60"]
os.posix_spawnp("sleep", sleep, os.environ)
os.posix_spawnp("sleep", sleep, os.environ, setsid=True)
gains = json.load(sys.stdin)["parameters"]
time.sleep(float(sys.argv[1]))
stiffness, damping = gains["stiffness"], gains["damping"]
objective = -((stiffness - 6.0) ** 2) / 10.0 - math.log(damping) ** 2
json.dump({"objective": objective, "margins": {"height": (8.0 - stiffness) / 4.0}}, sys.stdout)
