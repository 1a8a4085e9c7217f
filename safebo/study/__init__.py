"""The study: its models, how files of it are read, and every check of it. Loads no torch."""

from safebo.study.model import (
    MAX_SEED,
    MAX_TRIALS,
    ContextSpec,
    ContextVariable,
    EvaluatorSpec,
    FunctionSpec,
    ObjectiveSpec,
    Parameter,
    SchedulePhase,
    Seed,
    Study,
    Warp,
    quantity_of,
)
from safebo.study.model_parts import ParameterValue
from safebo.study.scenario_model import ScenarioFeature, ScenariosSpec
from safebo.study.surrogate_model import PriorDataSpec, SurrogateSpec, TimeSpec
from safebo.study.tuner_model import (
    LEARNED_RULE,
    BackupSpec,
    ConfidenceSpec,
    GlobalSpec,
    LineSpec,
    SearchSpec,
    TransductiveSpec,
    TunerSpec,
)

__all__ = [
    "LEARNED_RULE",
    "MAX_SEED",
    "MAX_TRIALS",
    "BackupSpec",
    "ConfidenceSpec",
    "ContextSpec",
    "ContextVariable",
    "EvaluatorSpec",
    "FunctionSpec",
    "GlobalSpec",
    "LineSpec",
    "ObjectiveSpec",
    "Parameter",
    "ParameterValue",
    "PriorDataSpec",
    "ScenarioFeature",
    "ScenariosSpec",
    "SchedulePhase",
    "SearchSpec",
    "Seed",
    "Study",
    "SurrogateSpec",
    "TimeSpec",
    "TransductiveSpec",
    "TunerSpec",
    "Warp",
    "quantity_of",
]
