"""Every limit and time constant of the bridge that is a choice of ours, in one table: value, unit and meaning.

Two tables stand beside it because their rows hold more than a number: the limits that are watched tick by tick, with
their responses (`safebo.hardware.guardian.limits`), and the hard bounds of gains (`safebo.hardware.guardian.bounds`).
None of these numbers is validated for a physical robot.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from safebo.robots.controllers import numbers

_Number = TypeVar("_Number", int, float)


@dataclass(frozen=True)
class Constant:
    """One number: what it is called, its value, its unit and what it means."""

    name: str
    value: float
    unit: str
    meaning: str


TABLE: dict[str, Constant] = {}
"""All constants by name."""


def _c(name: str, value: _Number, unit: str, meaning: str) -> _Number:
    TABLE[name] = Constant(name, value, unit, meaning)
    return value


# fmt: off

# -- link: what both of its ends have to know -------------------------------------------------------------

UNKNOWN_BYTE = _c("unknown byte", 255, "", "of a percentage or a temperature that the robot does not say")
PORT = _c("port", 4750, "", "UDP port of the guardian unless it is told another one")
MIN_KEY_BYTES = _c("key", 16, "bytes", "shortest shared key that is accepted")
HEARTBEAT_S = _c("heartbeat", 0.02, "s", "recommended time between two heartbeats")
MAX_ECHO_AGE_S = _c("echo age", 0.15, "s", "a heartbeat counts when the State it echoes was sent no longer ago")
TUNER_SILENT_S = _c("tuner silence", 0.15, "s", "without proof of life: baseline gains, latched")
TUNER_GONE_S = _c("tuner gone", 0.9, "s", "without proof of life: standing down, latched")
LEASE_TIMEOUT_S = _c("lease timeout", 1.0, "s", "without proof of life: the lease is void, its epoch never comes back")
VIEWER_TIMEOUT_S = _c("viewer timeout", 3.0, "s", "without any packet: State is no longer sent to this session")
FIRST_RETRY_S = _c("first retry", 0.03, "s", "recommended pause before a request is sent again; then twice that")
LAST_RETRY_S = _c("last retry", 0.25, "s", "recommended longest pause between two sendings")
REQUEST_TIMEOUT_S = _c("request timeout", 2.0, "s", "recommended time after which a request counts as unanswered")
MAX_PENDING = _c("requests at once", 8, "", "recommended most requests under way; see the memory for replies")
MAX_REPLIES = _c("remembered", 64, "", "replies kept per session for retries")
REPLAY_WINDOW = _c("replay window", 64, "", "how far behind the newest an overtaken Stop or Heartbeat still counts")
MAX_SESSIONS = _c("sessions", 8, "", "kept; the one longest unheard gives way, never the one with the lease")
MAX_PACKETS_PER_TICK = _c("packets in a tick", 64, "", "taken from the socket at most; the rest waits")
CONNECT_TIME_S = _c("connect time", 1.0, "s", "robot states without a gap before DISCONNECTED ends")
STATE_LOST_TIMEOUT_S = _c("state lost timeout", 2.0, "s", "without a new robot state: STREAM_LOST")
BRAKE_TIME_S = _c("brake time", 0.8, "s", "stepping to rest on baseline gains after a trial, then standing")
SETTLE_TIME_S = _c("settle time", 0.5, "s", "of standing still before a trial can be armed")
ARM_TIMEOUT_S = _c("arm timeout", 60.0, "s", "after which an armed trial is disarmed")
MAX_TRIAL_S = _c("longest trial", 60.0, "s", "of walking")

# -- link: what only its own end needs --------------------------------------------------------------------

CONNECT_PAUSE_S = _c("connect pause", 0.1, "s", "listening after a session is opened or the lease is taken")
STOP_TIMEOUT_S = _c("stop timeout", 2.0, "s", "within which a State has to show a software stop")
REST_TIME_S = _c("rest time", 0.2, "s", "for which a robot is seen at rest before it counts as stopped")
REST_SPEED = _c("rest speed", 0.3, "rad/s", "of every joint, below which a damped robot is at rest")
REST_TORQUE = _c("rest torque", 3.0, "N m", "at every joint, below which it is damped and holds nothing")
REST_TURN = _c("rest turn", 0.05, "rad", "by which the trunk rolls or pitches at most while it is at rest")
REST_AGE_S = _c("rest age", 0.1, "s", "of the robot's newest state by which rest is judged")
DAMPED_TIMEOUT_S = _c("damped timeout", 2.5, "s", "of the guardian's clock for a damped robot to be seen at rest")
SAT_TIMEOUT_S = _c("sat timeout", 5.0, "s", "the same for a robot that stands down first")
WATCH_RETRY_S = _c("watch retry", 0.5, "s", "between two attempts of a watch to reach a guardian that is silent")
VIEW_SILENT_S = _c("view silence", 0.5, "s", "without a State after which a page shows no robot any more")
GUARDIAN_SILENT_S = _c("guardian silence", 1.0, "s", "without a State after which nothing can be seen of a robot")
LYING_HEIGHT_M = _c("lying height", 0.16, "m", "of the trunk over its lowest foot, below which it is said to lie")
ARM_WAIT_TIMEOUT_S = _c("arm wait timeout", 10.0, "s", "for a robot to calm down or a monitor to be built")
MAX_STATES = _c("monitor states", 200_000, "", "stored states of a monitor")
MAX_WIDTH = _c("monitor width", 128, "", "numbers in one state of a monitor")
MAX_POLICIES = _c("slots", 1000, "", "highest slot of a backup's gains")

# -- guardian: ticks and clocks ---------------------------------------------------------------------------

CONTROL_RATE_HZ = _c("control rate", 500.0, "1/s", "control ticks")
ROBOT_TIMEOUT_S = _c("robot timeout", 15.0, "s", "that a robot gets to answer when the guardian starts")
MAX_STATE_GAP_S = _c("state gap", 0.1, "s", "without a new state after which a stream is not sustained")
BLIND_TIMEOUT_S = _c("blind timeout", 0.1, "s", "age above which neither a step nor a pose uses the robot's state")
OVERRUN_PERIODS = _c("overrun", 2.0, "periods", "above which a cycle of the controller counts as an overrun")
TELEMETRY_MARGIN_S = _c("telemetry margin", 12.0, "s", "kept beyond the longest trial, for settling")
DAMAGE_WINDOW_S = _c("damage window", 1.0, "s", "over which damaged packets are counted")
REBOOT_MS = _c("reboot", 500, "ms", "that a tick has to fall back to mean a restart; less is an overtaken packet")
FOREIGN_TICKS = _c("foreign look", 25, "ticks", "between two looks at who else commands")
COLLECTING_TICKS = _c("collecting", 250, "ticks", "between two collections of garbage, after a tick's commands are out")
FINAL_DAMPING_S = _c("final damping", 0.2, "s", "of joint damping when the process ends")
SPEED_REPORT_S = _c("speed report", 5.0, "s", "between two looks at how fast the robot's clock runs")
SLOW_CLOCK = _c("slow clock", 0.97, "of real time", "share below which a virtual robot's clock is called slow")
SILENT_TICKS = _c("silent ticks", 3, "ticks", "without a state in a row that a lost or late state explains")
STATE_WAIT_S = _c("state wait", 0.012, "s", "after which a tick comes without a virtual robot's state")
CATCH_UP_S = _c("catch up", 0.006, "s", "per tick; with the state wait it stays below the limit of a command gap")
MAX_LOG_LINES = _c("log lines", 100_000, "lines", "of the event log that wait in memory for a disk")
SWITCH_INTERVAL_S = _c("switch interval", 0.0005, "s", "after which a thread hands over the interpreter when asked to")
LOOP_PRIORITY = _c("loop priority", 40, "", "of the control loop; interrupts of a PREEMPT_RT kernel have 50")
LINK_PRIORITY = _c("link priority", 30, "", "of threads that carry the robot's packets")
BACKGROUND_PRIORITY = _c("background priority", 10, "", "of work beside the control loop")
PUNCTUAL_SHARE = _c("punctual", 0.999, "of ticks", "that have to keep the tick time")
DRY_SPEED = _c("dry speed", 0.3, "m/s", "forward, of the walk that is run before there is a robot")
DRY_RAMP_S = _c("dry ramp", 0.5, "s", "in which that speed grows")
DRY_SETTLE_S = _c("dry settling", 0.1, "s", "of standing before it")
DRY_WALK_S = _c("dry walk", 0.2, "s", "of walking by which everything has run once")
DRY_STEP_S = _c("dry step", 0.02, "s", "of a tick while nothing walks then")
DRY_ROLL_RAD = _c("dry roll", 1.0, "rad", "of the trunk in it: far more than motors can right, so their limits bind")
DRY_STATES = _c("dry states", 2000, "", "of the monitor that is asked while ticks are measured")
DRY_FAR = _c("dry distance", 1e6, "", "of states that no monitor covers, or radius within which it covers all")
DRY_NOISE = _c("dry noise", 1e-6, "", "of encoders and inertial unit of a robot that is not there: rad, rad/s, m/s^2")
WARM_TICKS = _c("warm ticks", 100, "ticks", "before ticks are measured: what is loaded at its first use")
HISTOGRAM_BIN_S = _c("histogram bin", 50e-6, "s", "of times between ticks")
HISTOGRAM_BINS = _c("histogram bins", 2001, "", "the last one holds all that is longer")
MAX_TICK_S = _c("tick time", 0.003, "s", "between two ticks, at most, in 999 of 1,000, to guard a physical robot")
LATE_TICK_S = _c("late tick", 0.004, "s", "since the tick before, from which a tick is late and its cause is logged")
LATE_REPORT_S = _c("late report", 1.0, "s", "between two lines about late ticks; those between are counted")
START_CHECK_S = _c("start check", 5.0, "s", "of ticks that are measured before a physical robot is guarded")
MAX_WAITING_LINES = _c("waiting lines", 1000, "lines", "for a terminal that is held; the log has all")
LOG_CLOSE_TIMEOUT_S = _c("log timeout", 2.0, "s", "for the last lines of the event log when the process ends")
FLIGHT_BEFORE_S = _c("flight before", 10.0, "s", "before a latch that are kept in a file of its own")
FLIGHT_AFTER_S = _c("flight after", 2.0, "s", "after a latch that are kept with them")
FLIGHT_COPY_ROWS = _c("flight copy", 64, "ticks", "that are copied aside in one control tick")
FLIGHT_SPARE = _c("flight buffers", 2, "", "latches whose seconds wait in memory for a disk")
FLIGHT_PAUSE_S = _c("flight pause", 0.0002, "s", "after every tick written, for the control loop")
FLIGHT_CLOSE_TIMEOUT_S = _c("flight timeout", 20.0, "s", "for the file of a latch when the process ends")
MAX_FLIGHT_EVENTS = _c("flight events", 2000, "", "newest events from which those of a latch's file are taken")

# -- guardian: what a robot can say, and what it may be told ----------------------------------------------

MAX_JOINT_POSITION = _c("joint position", 7.0, "rad", "beyond which no such robot can be")
MAX_JOINT_VELOCITY = _c("joint velocity", 120.0, "rad/s", "beyond which no such robot can be")
MAX_ANGULAR_VELOCITY = _c("angular velocity", 60.0, "rad/s", "beyond which no such robot can be")
MAX_LINEAR_ACCELERATION = _c("linear acceleration", 500.0, "m/s^2", "beyond which no such robot can be")
MAX_JOINT_TORQUE = _c("joint torque", 200.0, "N m", "beyond which no such robot can be")
MIN_TEMPERATURE = _c("lowest temperature", -40.0, "deg C", "of a motor, below which its sensor is wrong")
MAX_TEMPERATURE = _c("highest temperature", 150.0, "deg C", "of a motor, above which its sensor is wrong")
WARM_TEMPERATURE = _c("warm temperature", 20.0, "deg C", "of another motor, above which 0 means a missing sensor")
MIN_SQUARED_NORM = _c("least squared norm", 0.81, "", "of an orientation that still counts as a unit quaternion")
MAX_SQUARED_NORM = _c("largest squared norm", 1.21, "", "of an orientation that still counts as a unit quaternion")
MAX_STIFFNESS = _c("stiffness", 250.0, "N m/rad", "at any joint")
MAX_DAMPING = _c("damping", 12.0, "N m s/rad", "at any joint")
MAX_FORWARD_SPEED = _c("forward speed", 1.5, "m/s", "of a walk")
MAX_LEFTWARD_SPEED = _c("leftward speed", 0.6, "m/s", "of a walk")
MAX_YAW_RATE = _c("yaw rate", 1.5, "rad/s", "of a walk")
MAX_RAMP_S = _c("longest ramp", 10.0, "s", "in which the speed of a walk grows")
MAX_SETTLE_S = _c("longest settling", 10.0, "s", "of standing before the gait starts")
MIN_STRIDE_S = _c("shortest stride", 0.1, "s", "of a gait")
MAX_STRIDE_S = _c("longest stride", 5.0, "s", "of a gait")
MIN_DUTY_FACTOR = _c("least duty factor", 0.2, "", "of a gait")

# -- guardian: checks of the robot's sensors; thresholds stand with the limits ---------------------------

SENSOR_GAP_S = _c("sensor gap", 0.03, "s", "between two states, after which what is summed up begins anew")
MOVED_RAD = _c("moved", 0.05, "rad", "by which target or leg have moved when a joint's encoder should have, too")
MOVED_TORQUE = _c("moved torque", 4.0, "N m", "by which a joint's torque has changed when its encoder should have, too")
REACH_RAD = _c("reach", 0.4, "rad", "that a target has to go before a joint's way is held against it")
QUIET_RATE = _c("quiet rate", 0.1, "rad/s", "of the trunk about every axis, below which it is still")
QUIET_SPEED = _c("quiet speed", 0.5, "rad/s", "of every joint, below which it is still")
QUIET_TIME_S = _c("quiet time", 0.25, "s", "of stillness before the accelerometer is held against the attitude")
GRAVITY_FILTER_S = _c("gravity filter", 0.4, "s", "over which the accelerometer is smoothed")
STAND_FILTER_S = _c("stand filter", 0.2, "s", "over which angles and torques of a standing robot are smoothed")
STRIDE_FILTER_S = _c("stride filter", 0.4, "s", "of carrying, over which the height of a foot is smoothed")
CLOCK_WINDOW_S = _c("clock window", 1.0, "s", "over which the robot's clock is held against ours")
CLOCK_GAP_S = _c("clock gap", 0.1, "s", "between two states, after which that begins anew")
REMEMBERED_STATES = _c("remembered states", 5000, "states", "among which a state that comes again is recognised")
BODY_SPEED = _c("body speed", 1.0, "rad/s", "of a joint, above which a robot moves and its feet have to feel it")
POWER_PATIENCE = _c("power patience", 5.0, "", "by which a battery may say the same for longer than feet")
STANCE_FORCE = _c("stance force", 20.0, "N", "on a foot, above which it carries")

# -- guardian: its own motions ----------------------------------------------------------------------------

BRAKE_RAMP_S = _c("brake ramp", 0.4, "s", "from full speed to rest")
FOLD_TIME_S = _c("fold time", 1.0, "s", "into the folded pose before the robot rises")
RISE_TIME_S = _c("rise time", 1.5, "s", "from the folded pose to standing")
STAND_TIME_S = _c("stand time", 0.4, "s", "into the standing pose at the end of a walk")
SINK_TIME_S = _c("sink time", 1.5, "s", "from standing into the folded pose")
POSE_MARGIN_RAD = _c("pose margin", 0.02, "rad", "of the folded pose inside every joint's range")

# -- robot links ------------------------------------------------------------------------------------------

MAX_COMMAND = _c("command", 1e10, "", "beyond every number of a command, and well within single precision")
CLOCK_RESTART_S = _c("clock restart", 0.5, "s", "by which another clock falls back or runs ahead of ours")
CLOCK_SLACK = _c("clock slack", 0.25, "periods", "by which a state may come early without a loss before it")
STEADY_STATES = _c("steady states", 50, "states", "in a row that make a stream steady before the guardian starts")
STEADY_GAP_S = _c("steady gap", 0.1, "s", "longest gap between two of them")
SOURCE_TIMEOUT_S = _c("source timeout", 0.1, "s", "of silence of the one publisher of states before another one counts")
OTHER_ROBOT_S = _c("other robot", 1.0, "s", "for which another robot counts that was heard on a Go2's network")
CALL_AGAIN_S = _c("call again", 1.0, "s", "without an answer of a robot's service after which it is called again")
DISCOVERY_TIME_S = _c("discovery time", 1.0, "s", "in which a Go2's other commanders are looked for before we publish")
LIE_DOWN_TIME_S = _c("lie down time", 3.0, "s", "for a physical robot before its motion service is released")

# -- a user's own controller ------------------------------------------------------------------------------

MAX_GAINS = _c("gains", 150, "", "of a controller; more do not fit into one message of the link")
ANSWER_BUDGET_S = _c("answer budget", 0.001, "s", "that a tick of a physical robot waits for its answer: half a period")
MIN_ANSWER_BUDGET_S = _c("shortest answer budget", numbers.MIN_ANSWER_BUDGET_S, "s", "of a controller file")
MAX_ANSWER_BUDGET_S = _c("longest answer budget", numbers.MAX_ANSWER_BUDGET_S, "s", "of a controller file")
VIRTUAL_BUDGET_S = _c("virtual budget", 0.01, "s", "the same for a virtual robot, whose clock may run slow")
MAX_ANSWER_AGE = _c("answer age", 2, "ticks", "beyond which an answer's command is used no more")
MAX_ANSWERS_PER_TICK = _c("answers in a tick", 64, "", "datagrams read at most")
ABSENT_TICKS = _c("absent", 25, "ticks", "without an answer in standby: not there, nothing is armed")
RESTART_TICKS = _c("restart", 500, "ticks", "without an answer in standby after which it is worth starting it anew")
GAINS_KEPT_S = _c("gains kept", 3.0, "s", "after the last question for a trial's gains for which they stay unarmed")
BASELINE_RETRY_S = _c("baseline retry", 5.0, "s", "between two attempts to bring baseline gains back")
PROOF_TIMEOUT_S = _c("proof timeout", numbers.PROOF_TIMEOUT_S, "s", "for a controller to answer with written gains")
RESTART_TIMEOUT_S = _c("restart timeout", numbers.RESTART_TIMEOUT_S, "s", "of a command that restarts a controller")
READ_BACK_TOLERANCE = _c("read back tolerance", numbers.READ_BACK_TOLERANCE, "", "relative; as singles round by 6e-8")

# -- tuner's side -----------------------------------------------------------------------------------------

DISK_PATIENCE_S = _c("disk patience", 30.0, "s", "of heartbeats while a disk is waited for, at most")
PUMP_TIME_S = _c("pump time", 0.02, "s", "of heartbeats at a time, between which others get the client")
REST_TIMEOUT_S = _c("rest timeout", 45.0, "s", "of waiting on its feet after which the robot lies down")
LYING_TIMEOUT_S = _c("lying timeout", 6.0, "s", "for lying down")
STANDING_TIMEOUT_S = _c("standing timeout", 8.0, "s", "for standing up")
CLEAR_TIMEOUT_S = _c("clear timeout", 5.0, "s", "within which the cause of a latch has to go away to be cleared")
APPROVAL_TIMEOUT_S = _c("approval timeout", 60.0, "s", "for which an approval holds")
MAX_LIVE_ROWS = _c("live rows", 16, "rows", "of a running trial's telemetry fetched at a time, for its early end")
LIVE_PIECE_TIMEOUT_S = _c("live piece timeout", 0.3, "s", "for each of them; one that is late is asked for later")
TRIAL_END_TIMEOUT_S = _c("trial end timeout", 15.0, "s", "beyond the walk for a slow robot to say that it is over")
LISTEN_TIME_S = _c("listen time", 1.0, "s", "for which the robot's states are counted before a run")
MAX_LOSS = _c("loss", 0.05, "of ticks", "without a state that a run may begin with")
MAX_STATE_AGE_S = _c("state age", 0.05, "s", "of the newest state that a run may begin with")
MIN_REAL_TIME = _c("real time", 0.95, "of real time", "below which a robot's clock is reported as slow")
DISK_RESERVE_BYTES = _c("disk reserve", 100_000_000, "bytes", "that stay free for everything else")
RECORD_BYTES_PER_SECOND = _c("record bytes", 700_000, "bytes/s", "of a record, at most: room for a trial's file")
POSE_RATE_HZ = _c("pose rate", 50.0, "1/s", "at which a record says where the robot's bodies are, for viewers")
MAX_MISSING_SHARE = _c("missing share", 0.25, "of ticks", "without a state, above which a trial cannot be scored")
