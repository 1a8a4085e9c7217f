"""A trial of chosen parameters: its id and seed, what is certified of it, and what it need not reach."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from safebo.errors import UnknownNameError
from safebo.study.scenarios import scenario_names, walks_chosen
from safebo.tuner.backups import guaranteed
from safebo.tuner.proposer import Proposal
from safebo.tuner.state import TunerState
from safebo.types import Phase, Trial


def trial_at(
    state: TunerState,
    seed: int,
    name: str,
    row: NDArray[np.float64],
    phase: Phase,
    reason: str,
    trial_id: int | None = None,
) -> Trial:
    """A trial with what is certified of it now.

    Args:
        state: of the tuner, asked about the time and the readings of the trial.
        seed: of the run; the trial's follows from it and from its id.
        name: of the context.
        row: raw parameters, `d`.
        phase: what chose it.
        reason: why it was chosen, in words.
        trial_id: of a trial that is edited; None for the next one.

    Raises:
        UnknownNameError: the context does not exist.
    """
    if name not in state.encoding.contexts:
        raise UnknownNameError("context", name, sorted(state.encoding.contexts))
    number = state.history.next_id if trial_id is None else trial_id
    certificate = state.certificate(row, name)
    evidence = state.evidence()
    return Trial(
        id=number,
        parameters=state.encoding.space.named(row),
        context=state.context_values(name),
        context_name=name,
        phase=phase,
        seed=int(np.random.SeedSequence([seed, number]).generate_state(1)[0]),
        certified=certificate.certified,
        predicted=certificate.bounds,
        reason=reason,
        evidence=evidence,
        certified_until=state.expires(row, name),
        dominated=_dominated(state, name) if phase == "local" else None,
        scenarios=scenario_names(state.study),
    )


def proposed_trial(state: TunerState, seed: int, name: str, plan: Proposal) -> Trial:
    """The trial of a plan: the reason says when the prior was dropped, and why scenarios were chosen."""
    dropped = state.models.prior.contradiction(state.observations())
    reason = plan.reason if dropped is None else f"{plan.reason}; {dropped}"
    trial = trial_at(state, seed, name, plan.row, plan.phase, reason)
    if plan.phase != "seed" and walks_chosen(state.study):
        chosen = state.next_scenarios(plan.row, name)
        why = ", ".join(f"{scenario} for {what}" for scenario, what in chosen.items())
        in_order = tuple(n for n in scenario_names(state.study) if n in chosen)
        trial = replace(trial, scenarios=in_order, reason=f"{reason}; scenarios {why}")
    if plan.watched:
        spec = state.study.tuner.backup
        trial = replace(trial, trigger_rule=spec.rule, trigger_guarantee=guaranteed(spec))
    return trial


def _dominated(state: TunerState, name: str) -> float | None:
    """The largest certified lower bound of the objective at tried gains, less twice its noise; None where the study
    does not ask for it, or nothing is certified.
    """
    if "dominated" not in state.study.early_end:
        return None
    tried = {tuple(state.points.raw(r.trial)): r.trial for r in state.history.of_context(name)}
    found = state.certificates([state.points.raw(trial) for trial in tried.values()], name)
    spec, warp = state.study.objective, state.encoding.warps[0]
    known = [float(warp.forward(c.bounds[spec.name].lower)) for c in found if c.certified]
    return float(warp.inverse(max(known) - 2.0 * spec.noise_std)) if known else None
