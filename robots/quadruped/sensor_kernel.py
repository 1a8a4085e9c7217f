"""The arithmetic of `safebo.hardware.guardian.sensors`, compiled: one call for every new state of the robot.

Times are those of the robot's own clock, so lost states change nothing; after a gap (`SensorNumbers.gap`) what goes by
sums begins anew.
"""

from __future__ import annotations

import math

from safebo.boundary.compiled import njit
from safebo.robots.quadruped.interface import GRAVITY
from safebo.robots.quadruped.sensor_legs import feet_now, standing_feet, stride_heights, up_of
from safebo.robots.quadruped.sensor_memory import (
    ANGLE,
    ENCODER,
    ENCODERS,
    FROZEN_STATES,
    GAP,
    GRAVITY_FILTER,
    GYRO,
    IMU,
    LONG,
    MOVED,
    MOVED_TORQUE,
    MOVING,
    QUIET_RATE,
    QUIET_SPEED,
    QUIET_TIME,
    REACH,
    REACH_EVERY,
    REACH_RAD,
    SENSORS,
    SHORT,
    SIZE,
    STILL,
    WHICH_ANGLE,
    WHICH_ENCODER,
    WHICH_IMU,
    WHICH_REACH,
    SensorMemory,
)
from safebo.types import FloatArray

_NAN = math.nan


@njit(cache=True)
def look(
    memory: SensorMemory,
    legs: FloatArray,
    step: float,
    q: FloatArray,
    qd: FloatArray,
    quaternion: FloatArray,
    gyroscope: FloatArray,
    accelerometer: FloatArray,
    torque: FloatArray,
    target: FloatArray,
    feed_forward: FloatArray,
    kp: FloatArray,
    standing: bool,
    walking: bool,
) -> None:
    """Take a new state into the memory, and find what can be found.

    Args:
        memory: see `SENSORS`; `found` and `blame` are written anew.
        legs: geometry, `4 x 7 x 3`.
        step: of the robot's clock since the state before, s; 0 begins anew.
        q: joint angles, rad, 12.
        qd: joint speeds, rad/s, 12.
        quaternion: the attitude, 4.
        gyroscope: rad/s, 3.
        accelerometer: m/s^2, 3.
        torque: as the robot estimates it, N m, 12.
        target: of the last command, rad, 12.
        feed_forward: of the last command, N m, 12.
        kp: of the last command, N m/rad, 12.
        standing: it stands where it got up, at rest.
        walking: its controller runs.
    """
    m = memory.view(SENSORS)[0]
    found = m["found"]
    for k in range(found.shape[0]):
        found[k] = _NAN
    if step <= 0.0 or m["known"][0] == 0.0:
        _begin(memory, torque, target)
    else:
        _frozen(memory, step, q, quaternion, gyroscope, accelerometer, torque, target, kp)
        _pace(memory, step)
        if step > m["numbers"][GAP]:
            _forget(memory)
        _angles(memory, step, q, qd)
        _turning(memory, step, quaternion, gyroscope)
        _reach(memory, q, target, kp)
        _gravity(memory, step, qd, quaternion, gyroscope, accelerometer)
        if standing or walking:
            feet_now(memory, legs, q, qd)
        standing_feet(memory, step, q, quaternion, torque, target, feed_forward, kp, standing)
        stride_heights(memory, step, quaternion, torque, walking)
    m["known"][0] += 1.0
    for j in range(12):
        m["joints"][0, j], m["joints"][1, j] = q[j], qd[j]
    _note_imu(m["imu"], quaternion, gyroscope, accelerometer)


@njit(cache=True)
def _note_imu(
    imu: FloatArray, quaternion: FloatArray, gyroscope: FloatArray, accelerometer: FloatArray
) -> None:
    for k in range(4):
        imu[k] = quaternion[k]
    for k in range(3):
        imu[4 + k], imu[7 + k] = gyroscope[k], accelerometer[k]


@njit(cache=True)
def _begin(memory: SensorMemory, torque: FloatArray, target: FloatArray) -> None:
    """Nothing is known but this state."""
    m = memory.view(SENSORS)[0]
    m["known"][0] = 0.0
    for k in range(3):
        m["imu_same"][k, 0] = m["imu_same"][k, 1] = 0.0
    for j in range(12):
        m["same"][j, 0] = m["same"][j, 1] = 0.0
        m["all_same"][0] = m["all_same"][1] = 0.0
        m["then"][j, 0], m["then"][j, 1] = target[j], torque[j]
    m["steps"][:] = _NAN
    _forget(memory)


@njit(cache=True)
def _forget(memory: SensorMemory) -> None:
    """What goes by sums begins anew."""
    m = memory.view(SENSORS)[0]
    m["integral"][:] = 0.0
    m["angles"][:] = _NAN
    m["turned"][:] = 0.0
    m["turned"][0] = 1.0
    m["turns"][:] = _NAN
    m["reach"][:] = _NAN
    m["quiet"][0] = m["forces"][0] = m["stood"][0] = 0.0
    m["carried"][:] = 0.0


@njit(cache=True)
def _frozen(
    memory: SensorMemory,
    step: float,
    q: FloatArray,
    quaternion: FloatArray,
    gyroscope: FloatArray,
    accelerometer: FloatArray,
    torque: FloatArray,
    target: FloatArray,
    kp: FloatArray,
) -> None:
    """Values that are the same to the bit, state after state."""
    m = memory.view(SENSORS)[0]
    found, blame, imu, before, then = m["found"], m["blame"], m["imu"], m["joints"][0], m["then"]
    found[IMU] = 0.0
    for k in range(3):
        same = True
        if k == 0:
            for i in range(4):
                same = same and quaternion[i] == imu[i]
        else:
            unit = gyroscope if k == 1 else accelerometer
            for i in range(3):
                same = same and unit[i] == imu[1 + 3 * k + i]
        lasting = _lasting(m["imu_same"][k], same, step)
        if lasting > found[IMU]:
            found[IMU], blame[WHICH_IMU] = lasting, float(k)
    longest, all_same, any_moved = 0.0, True, False
    for j in range(12):
        same = q[j] == before[j]
        if not (same and kp[j] > 0.0):  # a joint that is not driven may well be as still as that
            then[j, 0], then[j, 1] = target[j], torque[j]
        moved = (
            abs(target[j] - then[j, 0]) > m["numbers"][MOVED]
            or abs(torque[j] - then[j, 1]) > m["numbers"][MOVED_TORQUE]
        )
        all_same, any_moved = all_same and same, any_moved or moved
        lasting = _lasting(m["same"][j], same and moved, step)
        if lasting > longest:
            longest, blame[WHICH_ENCODER] = lasting, float(j)
    found[ENCODER] = longest
    found[ENCODERS] = _lasting(m["all_same"], all_same and any_moved, step)


@njit(cache=True)
def _lasting(count: FloatArray, same: bool, step: float) -> float:
    """For how long a value has been the same, s; counted up in `count`, and 0 before enough states have said so."""
    if not same:
        count[0] = count[1] = 0.0
        return 0.0
    count[0] += step
    count[1] += 1.0
    return float(count[0]) if count[1] >= FROZEN_STATES else 0.0


@njit(cache=True)
def _pace(memory: SensorMemory, step: float) -> None:
    """Shortest and longest step of the robot's clock from one state to the next, of the last ones, s."""
    m = memory.view(SENSORS)[0]
    steps, found = m["steps"], m["found"]
    steps[int(m["known"][0]) % steps.shape[0]] = step
    short, long = 1e9, 0.0
    for k in range(steps.shape[0]):
        if math.isnan(steps[k]):
            return
        short, long = min(short, steps[k]), max(long, steps[k])
    found[SHORT], found[LONG] = short, long


@njit(cache=True)
def _angles(memory: SensorMemory, step: float, q: FloatArray, qd: FloatArray) -> None:
    """By how much a joint's angle has changed otherwise than its speed says, rad."""
    m = memory.view(SENSORS)[0]
    found, blame, integral, angles, before = (
        m["found"],
        m["blame"],
        m["integral"],
        m["angles"],
        m["joints"][1],
    )
    place = int(m["known"][0]) % angles.shape[0]
    worst = -1.0
    for j in range(12):
        integral[j] += 0.5 * step * (qd[j] + before[j])
        now = q[j] - integral[j]
        error = abs(now - angles[place, j])
        if error > worst:
            worst, blame[WHICH_ANGLE] = error, float(j)
        angles[place, j] = now
    if worst >= 0.0:
        found[ANGLE] = worst


@njit(cache=True)
def _turning(memory: SensorMemory, step: float, quaternion: FloatArray, gyroscope: FloatArray) -> None:
    """By how much the attitude has changed otherwise than the gyroscope says, rad."""
    m = memory.view(SENSORS)[0]
    g, turns, imu = m["turned"], m["turns"], m["imu"]
    x = 0.25 * step * (gyroscope[0] + imu[4])
    y = 0.25 * step * (gyroscope[1] + imu[5])
    z = 0.25 * step * (gyroscope[2] + imu[6])
    a, b, c, d = g[0] - g[1] * x - g[2] * y - g[3] * z, 0.0, 0.0, 0.0
    b = g[1] + g[0] * x + g[2] * z - g[3] * y
    c = g[2] + g[0] * y + g[3] * x - g[1] * z
    d = g[3] + g[0] * z + g[1] * y - g[2] * x
    length = math.sqrt(a * a + b * b + c * c + d * d)
    g[0], g[1], g[2], g[3] = a / length, b / length, c / length, d / length
    # attitude times the inverse of what the gyroscope has added up: the same at all times, or they disagree
    w, i, j, k = quaternion[0], quaternion[1], quaternion[2], quaternion[3]
    e0 = w * g[0] + i * g[1] + j * g[2] + k * g[3]
    e1 = -w * g[1] + i * g[0] - j * g[3] + k * g[2]
    e2 = -w * g[2] + i * g[3] + j * g[0] - k * g[1]
    e3 = -w * g[3] - i * g[2] + j * g[1] + k * g[0]
    place = int(m["known"][0]) % turns.shape[0]
    old = turns[place]
    if not math.isnan(old[0]):
        norm = math.sqrt(
            (w * w + i * i + j * j + k * k) * (old[0] ** 2 + old[1] ** 2 + old[2] ** 2 + old[3] ** 2)
        )
        cosine = abs(e0 * old[0] + e1 * old[1] + e2 * old[2] + e3 * old[3]) / norm
        m["found"][GYRO] = 2.0 * math.acos(min(1.0, cosine))
    old[0], old[1], old[2], old[3] = e0, e1, e2, e3


@njit(cache=True)
def _reach(memory: SensorMemory, q: FloatArray, target: FloatArray, kp: FloatArray) -> None:
    """How many times as far as the joint its target has gone, of joints whose target has gone far."""
    m = memory.view(SENSORS)[0]
    found, reach = m["found"], m["reach"]
    known = int(m["known"][0])
    if known % REACH_EVERY == 0:
        row = reach[(known // REACH_EVERY) % reach.shape[0]]
        for j in range(12):
            row[j] = target[j] if kp[j] > 0.0 else _NAN
            row[12 + j] = q[j]
    worst = 0.0
    for j in range(12):
        low, high, least, most = 1e9, -1e9, 1e9, -1e9
        for k in range(reach.shape[0]):
            aim, at = reach[k, j], reach[k, 12 + j]
            if math.isnan(aim):
                low, high = 0.0, 0.0
                break
            low, high, least, most = min(low, aim), max(high, aim), min(least, at), max(most, at)
        if high - low > m["numbers"][REACH_RAD]:
            times = (high - low) / max(most - least, 1e-6)
            if times > worst:
                worst, m["blame"][WHICH_REACH] = times, float(j)
    found[REACH] = worst


@njit(cache=True)
def _gravity(
    memory: SensorMemory,
    step: float,
    qd: FloatArray,
    quaternion: FloatArray,
    gyroscope: FloatArray,
    accelerometer: FloatArray,
) -> None:
    """The angle between gravity by the accelerometer and by the attitude, rad, and its size, m/s^2, both smoothed.

    What is said of a robot that is still has nothing of the motion before in it: that mean begins with the stillness.
    """
    m = memory.view(SENSORS)[0]
    found, numbers, up = m["found"], m["numbers"], up_of(quaternion)
    calm = True
    for k in range(3):
        calm = calm and abs(gyroscope[k]) < numbers[QUIET_RATE]
    for j in range(12):
        calm = calm and abs(qd[j]) < numbers[QUIET_SPEED]
    if calm:
        angle, size = _smoothed_gravity(
            m["still"], step, m["quiet"][0], numbers[GRAVITY_FILTER], accelerometer, up
        )
        m["quiet"][0] += step
        if m["quiet"][0] > numbers[QUIET_TIME]:
            found[STILL] = angle
            found[SIZE] = abs(size - GRAVITY)
    else:
        m["quiet"][0] = 0.0
    m["forces"][0] += step
    angle, _ = _smoothed_gravity(m["force"], step, m["forces"][0], numbers[GRAVITY_FILTER], accelerometer, up)
    if m["forces"][0] > 2.0 * numbers[GRAVITY_FILTER]:
        found[MOVING] = angle


@njit(cache=True)
def _smoothed_gravity(
    means: FloatArray,
    step: float,
    since: float,
    filter_time: float,
    accelerometer: FloatArray,
    up: FloatArray,
) -> tuple[float, float]:
    """The angle between mean specific force and mean vertical, rad, and the size of the force, m/s^2, after one more.

    Args:
        means: of specific force and vertical, `2 x 3`, changed in place.
        step: since the state before, s.
        since: s that went into the means; 0: they begin with this state.
        filter_time: s over which they are smoothed once so much went into them.
        accelerometer: specific force, m/s^2, `3`.
        up: the vertical by the attitude, `3`.
    """
    share = step / (step + min(since, filter_time))
    dot = size = length = 0.0
    for k in range(3):
        means[0, k] += share * (accelerometer[k] - means[0, k])
        means[1, k] += share * (up[k] - means[1, k])
    for k in range(3):
        dot += means[0, k] * means[1, k]
        size += means[0, k] * means[0, k]
        length += means[1, k] * means[1, k]
    norm = math.sqrt(size * length)
    return math.acos(max(-1.0, min(1.0, dot / norm))) if norm > 0.0 else math.pi, math.sqrt(size)
