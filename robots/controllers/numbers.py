"""Limits and time constants of a controller in a process of its own; the bridge's table of constants lists them too."""

MIN_ANSWER_BUDGET_S = 1e-4
MAX_ANSWER_BUDGET_S = 0.0015
"""What a controller file may ask for, s."""

PROOF_TIMEOUT_S = 5.0
"""Within which a controller has to answer with gains that were written, unless its file says otherwise."""

RELAY_START_TIMEOUT_S = 60.0
"""That the relay to a node of ROS 2 gets to start: two seconds, and far more on a computer that does much else."""

RESTART_TIMEOUT_S = 10.0
"""That the command gets which restarts a controller, unless its file says otherwise."""

READ_BACK_TOLERANCE = 1e-6
"""Relative, of a gain; single precision rounds by 6e-8."""

ANSWER_TIMEOUT_S = 5.0
"""That a simulation, whose clock stands still meanwhile, waits for the answer of one tick."""

STOP_TIMEOUT_S = 2.0
"""That a controller's process gets to end by itself."""
