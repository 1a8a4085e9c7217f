"""A kinematic Go2 in a process of its own: joints jump to their targets. Run as `python virtual_go2.py DOMAIN`."""

import sys
import time

import numpy as np

from safebo.hardware.unitree import go2_messages as wire
from safebo.hardware.unitree.dds import DdsNetwork
from safebo.hardware.unitree.go2_broadcasts import new_sport_mode_state
from safebo.hardware.unitree.go2_link import Go2RobotSide
from safebo.hardware.unitree.go2_messages import new_low_state
from safebo.hardware.unitree.remote import Remote, encode_remote

SERIAL = (2024, 77)


def main(domain: int, seconds: float) -> None:
    side = Go2RobotSide(DdsNetwork("lo", domain))
    state = new_low_state()
    state["sn"] = SERIAL
    state["imu_state"]["quaternion"] = (1, 0, 0, 0)
    state["imu_state"]["accelerometer"] = (0, 0, 9.81)
    state["bms_state"]["soc"] = 88
    state["bms_state"]["cell_vol"][:8] = np.arange(4000, 4008)
    state["wireless_remote"] = np.frombuffer(encode_remote(["L2", "B"]), np.uint8)
    motion = new_sport_mode_state()
    motion["body_height"] = 0.32
    motors = state["motor_state"]
    motors["temperature"] = np.arange(30, 50)
    motors["q"] = 0.01 * np.arange(20)
    print("ready", flush=True)
    start = time.monotonic()
    while (now := time.monotonic()) < start + seconds:
        side.serve()
        for command in side.commands():
            if not side.motion.name:
                motors["q"] = command["motor_cmd"]["q"]
                motors["tau_est"] = command["motor_cmd"]["kp"]
        state["tick"] = round((now - start) * 1000)
        state["reserve"] = side._commands.writers()
        side.publish_packet(wire.encode_low_state(state))
        side.publish_slow(state)
        side.publish_motion(motion)
        side.publish_remote(Remote(frozenset(("L2", "B"))))
        time.sleep(0.002)


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
