"""Shipped studies for comparisons that take priors as declared."""

from __future__ import annotations

from safebo.study import Study


def cautious(study: Study) -> Study:
    """The study whose declared prior is its cautious one, by which it certifies before anything is earned."""
    factor, surrogate = min(study.surrogate.caution), study.surrogate
    shorter = {
        "trust": "declared",
        "lengthscale": factor * surrogate.lengthscale,
        "context_lengthscale": factor * surrogate.context_lengthscale,
    }
    parameters = [
        p if p.lengthscale is None else p.model_copy(update={"lengthscale": factor * p.lengthscale})
        for p in study.parameters
    ]
    return study.model_copy(
        update={"surrogate": surrogate.model_copy(update=shorter), "parameters": parameters}
    )
