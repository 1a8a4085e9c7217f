"""Safe Bayesian optimization of controller gains.

What people need stands here and is loaded when it is first used, so that `import safebo` stays quick: torch comes with
`Tuner`, `GridTuner`, `GridSafeOpt` and what rests on them.

Example:
    >>> import safebo
    >>> safebo.load_study("pendulum").study.name
    'pendulum'
"""

from importlib import import_module

__version__ = "0.3.0"

_PLACES = {
    "safebo.study": ("Study",),
    "safebo.study.reading": ("load_study",),
    "safebo.study.methods": (
        "METHODS",
        "Method",
        "register_method",
    ),
    "safebo.tuner": ("Tuner",),
    "safebo.types": (
        "Bounds",
        "Certificate",
        "Evaluator",
        "EvaluatorInfo",
        "Measurement",
        "Recommendation",
        "Trial",
    ),
    "safebo.runs.runner": ("run",),
    "safebo.runs.opened": (
        "Run",
        "open_run",
    ),
    "safebo.runs.recommend": ("recommend",),
    "safebo.report": ("build_report",),
    "safebo.acquisition": (
        "GridSafeOpt",
        "GridTuner",
    ),
    "safebo.errors": (
        "EmptySafeSetError",
        "EvaluatorError",
        "EvaluatorOptionError",
        "ImpossibleSeedError",
        "InputError",
        "InterruptedRunError",
        "JournalError",
        "MeasurementError",
        "ModelAlarmError",
        "NoBackupError",
        "NotARunError",
        "ParameterError",
        "RunExistsError",
        "RunLockedError",
        "RunStoppedError",
        "SafeboError",
        "StudyChangedError",
        "StudyError",
        "UnknownNameError",
        "UnknownTrialError",
        "UnsafeSeedError",
    ),
}
"""Modules and the names that are public from them; `__init__.pyi` says the same to type checkers and editors."""

_MODULE_OF = {name: module for module, names in _PLACES.items() for name in names}

__all__ = ["__version__", *sorted(_MODULE_OF)]


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'safebo' has no attribute {name!r}")
    value = getattr(import_module(_MODULE_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
