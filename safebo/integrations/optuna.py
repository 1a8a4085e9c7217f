"""Safe Bayesian optimization as an Optuna sampler.

    study = optuna.create_study(sampler=SafeSampler(search_space, constraints_func, safe_seeds, ...))

Optuna's storage is the whole state: a study that is loaded again, in this process or in another one, gets the
proposals that the uninterrupted one would have got.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

try:
    import optuna
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler
    from optuna.study import StudyDirection
    from optuna.trial import FrozenTrial, TrialState
except ImportError as error:  # pragma: no cover - a message for people
    raise ImportError("SafeSampler needs Optuna: pip install 'safebo[optuna]'") from error

from safebo.acquisition import acquisition_class, method
from safebo.errors import InputError, MeasurementError, ParameterError, StudyError
from safebo.evaluators.gate import failed
from safebo.integrations.optuna_records import (
    CONSTRAINTS,
    PROPOSAL,
    UNKNOWN,
    Records,
    checked_constraints,
    proposal_attribute,
)
from safebo.integrations.optuna_study import (
    Prior,
    context_of,
    distributions_of,
    optuna_values,
    settings,
    study_of,
    study_values,
)
from safebo.study import Study
from safebo.study.reading import check_study
from safebo.tuner import Tuner
from safebo.types import Measurement, Trial

ConstraintsFunction = Callable[[FrozenTrial], Sequence[float]]

_logger = optuna.logging.get_logger("optuna.safebo")

_PLANNING = threading.Lock()
"""Threads of one process plan in turn: each sees what the others are about to try."""


class SafeSampler(BaseSampler):
    """Proposes parameters whose constraints hold with high probability, starting from safe seeds.

    The seeds are tried first. After them every proposal lies in the certified set of what was measured: its
    constraints' upper confidence bounds `mean + beta * std` are at most 0. While nothing is certified, seeds
    are repeated, five times at most. What a person enqueues is tried as it is; a warning says when it is not
    certified.

    Threads of one process plan in turn and see each other's proposals as pending; processes that ask in the same
    instant may get the same one.

    Guarantee: as good as the priors. If constraints are functions as smooth as kernel, lengthscale and std
    say, and noise is no larger than `noise_std`, a proposal violates with the small probability that `beta`
    leaves. Source: Widmer et al., CoRL 2023, Berkenkamp et al., Machine Learning 2021.

    Args:
        search_space: distributions by name: floats and ints, linear or log, with or without steps, and categorical
            choices, of which none is nearer to one than to another. The objective function suggests exactly these.
        constraints_func: from a finished trial to one number per constraint, feasible when at most 0, as in
            Optuna's other samplers. It is called once, when a trial completes or is pruned.
        safe_seeds: parameters known to be feasible, one dict each.
        objective: prior of the value.
        constraints: priors of what `constraints_func` returns, by name, in its order.
        lengthscale: over which fraction of a parameter's range values change, for all or by name.
        kernel: `matern12`, `matern32`, `matern52` or `rbf`.
        hyperparameters: `fixed`, or `map` to refit them under priors centred on the declared ones.
        beta: how many standard deviations certification keeps; multiplies the standard deviation.
        parameter_constraints: linear inequalities between parameters that are numbers, such as `kd <= 0.1 * kp`. Every
            proposal keeps them.
        method: a method of `safebo.acquisition` that proposes certified points alone, such as `safe_ucb`
            or `safeopt`.
        seed: of everything random. The same storage and seed give the same proposal.

    Raises:
        StudyError, ParameterError: arguments that cannot be run safely.
    """

    def __init__(
        self,
        search_space: Mapping[str, BaseDistribution],
        constraints_func: ConstraintsFunction,
        safe_seeds: Sequence[Mapping[str, Any]],
        *,
        objective: Prior,
        constraints: Mapping[str, Prior],
        lengthscale: float | Mapping[str, float] = 0.3,
        kernel: str = "matern32",
        hyperparameters: str = "fixed",
        beta: float = 4.0,
        method: str = "safe_ucb",
        seed: int = 0,
        parameter_constraints: Sequence[str] = (),
    ) -> None:
        surrogate, tuner = settings(kernel, hyperparameters, beta, method)
        studies = {
            sign: study_of(
                search_space,
                safe_seeds,
                objective,
                constraints,
                lengthscale,
                surrogate,
                tuner,
                sign,
                parameter_constraints,
            )
            for sign in (1.0, -1.0)
        }
        self._start(constraints_func, studies, None, seed, search_space)

    @classmethod
    def from_study(
        cls,
        study: Study,
        constraints_func: ConstraintsFunction,
        context: str | None = None,
        seed: int | None = None,
    ) -> SafeSampler:
        """A sampler for one context of a safebo study, with all of its settings.

        The study's functions keep safebo's signs: a constraint's margin is the negative of what
        `constraints_func` returns, and where Optuna's study minimises, the objective is the negative value.

        Args:
            study: parameters, priors, seeds and tuner.
            constraints_func: one number per constraint of the study, in its order, feasible when at most 0.
            context: name of the context; the one that has seeds when None.
            seed: of everything random; None takes the study's.

        Raises:
            StudyError: see `SafeSampler`, or when the context is not clear.
        """
        sampler = cls.__new__(cls)
        sampler._start(
            constraints_func,
            {1.0: study, -1.0: study},
            context,
            study.seed if seed is None else seed,
            distributions_of(study),
        )
        return sampler

    def _start(
        self,
        constraints_func: ConstraintsFunction,
        studies: Mapping[float, Study],
        context: str | None,
        seed: int,
        search_space: Mapping[str, BaseDistribution],
    ) -> None:
        if not callable(constraints_func):
            raise InputError(
                f"constraints_func is {constraints_func!r}: give a function from a trial to constraint values"
            )
        study = studies[1.0]
        chosen = method(study.tuner.method)
        if chosen.exploration is not None or not acquisition_class(chosen.local or "").certified_only:
            raise StudyError(
                f"method {study.tuner.method!r} tries what is not certified: SafeSampler allows methods that "
                "never leave the certified set, such as safe_ucb and safeopt"
            )
        if study.surrogate.time is not None:
            raise StudyError(
                "surrogate.time is declared, and Optuna's trials have no operating time: nothing would say when a "
                "certificate expires. Run the study with safebo (`safebo tune`, or `Tuner.ask(operating_time=...)`)"
            )
        if study.scenarios is not None:
            raise StudyError(
                "scenarios are declared, and a trial of Optuna's has one value of every function: nothing would say "
                "what each scenario showed. Run the study with safebo (`safebo tune`)"
            )
        if read := [v.name for v in study.context.variables if v.measured]:
            raise StudyError(
                f"context variable {read[0]!r} is measured, and nothing reads it before a trial of Optuna's: run the "
                "study with safebo (`safebo tune`)"
            )
        check_study(study)
        self._constraints_func = constraints_func
        self._studies = dict(studies)
        self._context = context_of(study, context)
        self._seed = seed
        self._search_space = dict(search_space)
        self._constraint_names = tuple(c.name for c in study.constraints)
        self._warned: set[int] = set()
        Tuner(study, seed)  # refuses what cannot be run, here rather than in the first trial

    @property
    def search_space(self) -> dict[str, BaseDistribution]:
        """The distributions by name, for `study.ask(sampler.search_space)`."""
        return dict(self._search_space)

    # -- what Optuna calls -------------------------------------------------------------------------------

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Warn when a person enqueued parameters that are not certified now."""
        enqueued = trial.system_attrs.get("fixed_params", {})
        if not all(name in enqueued for name in self._search_space):
            return
        values = study_values(self._search_space, enqueued)
        if any(values == seed.parameters for seed in self._studies[1.0].seeds):
            return
        with _PLANNING:
            certificate = self.tuner(study).certify(values, self._context)
        if not certificate.certified:
            margins = {n: f"{-certificate.bounds[n].lower:.4g}" for n in self._constraint_names}
            _logger.warning(
                f"Trial {trial.number} was enqueued and is not certified: its constraint values may reach "
                f"{', '.join(f'{n} = {v}' for n, v in margins.items())} (feasible is <= 0)"
            )

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """The declared search space: parameters are certified together."""
        self._raise_error_if_multi_objective(study)
        return self.search_space

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The next proposal, of all parameters together.

        Raises:
            ParameterError: when some parameters were enqueued and others not.
            UnsafeSeedError: when a seed was measured infeasible.
            EmptySafeSetError: when nothing can be certified although the seeds were measured feasible.
        """
        enqueued = [n for n in trial.system_attrs.get("fixed_params", {}) if n in self._search_space]
        if enqueued:
            missing = [name for name in self._search_space if name not in enqueued]
            raise ParameterError(
                f"trial {trial.number} was enqueued with {', '.join(enqueued)} but without "
                f"{', '.join(missing)}: parameters are certified together; enqueue all of them or none"
            )
        sign = self._sign(study)
        with _PLANNING:
            tuner = self.tuner(study)
            proposal = tuner.ask(self._context)
            study._storage.set_trial_system_attr(
                trial._trial_id, PROPOSAL, proposal_attribute(proposal, tuner.encoding.names, sign)
            )
        return optuna_values(self._search_space, proposal.parameters)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Refused: a parameter outside the declared search space cannot be certified.

        Raises:
            ParameterError: always.
        """
        declared = self._search_space.get(param_name)
        if declared is None:
            raise ParameterError(
                f"trial {trial.number} suggests {param_name!r}, which search_space does not declare: "
                f"conditional and undeclared parameters cannot be certified; declared are "
                f"{', '.join(self._search_space)}"
            )
        raise ParameterError(
            f"trial {trial.number} suggests {param_name!r} from {param_distribution}, which does not hold the "
            f"certified proposal: search_space declares {declared}"
        )

    def after_trial(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """Store the constraint values where Optuna looks for them.

        Raises:
            MeasurementError: when they are missing, too few or not finite; the trial is then infeasible for
                Optuna and teaches nothing.
            ParameterError: when the objective function did not suggest every declared parameter.
        """
        if state not in (TrialState.COMPLETE, TrialState.PRUNED):
            return
        constraints = (UNKNOWN,) * len(self._constraint_names)
        try:
            missing = [name for name in self._search_space if name not in trial.params]
            if missing and state == TrialState.COMPLETE:
                raise ParameterError(
                    f"trial {trial.number} suggested no {', '.join(missing)}, which search_space declares"
                )
            constraints = checked_constraints(
                self._constraints_func(trial), self._constraint_names, trial.number
            )
        finally:
            study._storage.set_trial_system_attr(trial._trial_id, CONSTRAINTS, constraints)

    def reseed_rng(self) -> None:
        """Nothing to do: randomness comes from the seed and the storage, and pending trials tell apart."""

    # -- what safebo knows -------------------------------------------------------------------------------

    def tuner(self, study: optuna.Study) -> Tuner:
        """The tuner in the state of Optuna's storage, for `best`, `certify`, `bounds` and pictures.

        It keeps safebo's signs (the objective is maximised, margins are safe when at least 0) and is a copy:
        what is told to it does not reach Optuna.

        Raises:
            ValueError: for a study of several objectives.
        """
        self._raise_error_if_multi_objective(study)
        sign = self._sign(study)
        tuner = Tuner(self._studies[sign], self._seed)
        records = Records(tuner.encoding, self._context, sign)
        known: list[tuple[Trial, Measurement | None]] = []
        # The storage itself: a pruner may show its sampler only a part of the trials.
        for frozen in study._storage.get_all_trials(study._study_id, deepcopy=False):
            measurement: Measurement | None
            try:
                trial = records.trial(frozen)
            except ParameterError as error:
                self._warn_unusable(frozen.number, error)
                continue
            if trial is None:
                continue
            try:
                measurement = records.measurement(frozen)
            except MeasurementError as error:
                self._warn_unusable(frozen.number, error)
                measurement = failed(str(error))
            known.append((trial, measurement))
        tuner.restore(known)
        return tuner

    def _sign(self, study: optuna.Study) -> float:
        return 1.0 if study.direction == StudyDirection.MAXIMIZE else -1.0

    def _warn_unusable(self, number: int, error: Exception) -> None:
        if number not in self._warned:
            self._warned.add(number)
            _logger.warning(f"Trial {number} teaches SafeSampler nothing: {error}")


__all__ = ["Prior", "SafeSampler"]
