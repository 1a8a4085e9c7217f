"""The words that cross the borders between the packages: trials, measurements, monitors.

These are imported by the optimizer, by robots and by the bridge to hardware, so they depend on numpy
alone and load no torch: a worker that only simulates starts quickly.

Two conventions hold everywhere. The objective is maximised. A margin is safe when it is at least zero.
"""

from safebo.types.arrays import BoolArray, FloatArray, IntArray
from safebo.types.certificate import DRIFT, OR, Bounds, Certificate, Evidence, Recommendation
from safebo.types.evaluator import (
    Evaluator,
    EvaluatorInfo,
    NotStartedError,
    ParameterInfo,
    QuantityInfo,
    TrialUnknownError,
)
from safebo.types.measurement import (
    ENDED,
    OPERATING_TIME,
    OUTCOMES,
    WATCHED_PREFIX,
    Ended,
    Measurement,
    Outcome,
    Status,
    Strides,
    TrialRecord,
)
from safebo.types.preference import PREFERENCE_WORDS, PreferenceAnswer, PreferenceQuestion, PreferenceWord
from safebo.types.robot import Check, Ledger, RobotAddress, RobotStatus, RobotView, RobotWatch, StudyIdentity
from safebo.types.switching import Monitor, SwitchedTrial, SwitchPlan
from safebo.types.trial import PHASES, EarlyEnd, Phase, Scenario, Trial, trial_hash

__all__ = [
    "DRIFT",
    "ENDED",
    "OPERATING_TIME",
    "OR",
    "OUTCOMES",
    "PHASES",
    "PREFERENCE_WORDS",
    "WATCHED_PREFIX",
    "BoolArray",
    "Bounds",
    "Certificate",
    "Check",
    "EarlyEnd",
    "Ended",
    "Evaluator",
    "EvaluatorInfo",
    "Evidence",
    "FloatArray",
    "IntArray",
    "Ledger",
    "Measurement",
    "Monitor",
    "NotStartedError",
    "Outcome",
    "ParameterInfo",
    "Phase",
    "PreferenceAnswer",
    "PreferenceQuestion",
    "PreferenceWord",
    "QuantityInfo",
    "Recommendation",
    "RobotAddress",
    "RobotStatus",
    "RobotView",
    "RobotWatch",
    "Scenario",
    "Status",
    "Strides",
    "StudyIdentity",
    "SwitchPlan",
    "SwitchedTrial",
    "Trial",
    "TrialRecord",
    "TrialUnknownError",
    "trial_hash",
]
