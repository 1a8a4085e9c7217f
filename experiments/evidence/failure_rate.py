"""How often something fails at most, from how often it failed (Clopper and Pearson 1934)."""

from __future__ import annotations

from scipy.stats import beta


def failure_rate_bound(failures: int, walks: int, confidence: float = 0.95) -> float:
    """Upper confidence bound of a failure probability: the largest under which so few failures are not rarer than
    `1 - confidence`.

    Exact and one-sided: with p the answer, `P(Binomial(walks, p) <= failures) = 1 - confidence`.

    Example:
        >>> round(failure_rate_bound(0, 59), 4)  # 59 walks without a failure: at most 5 %
        0.0495
    """
    if not 0 <= failures <= walks or walks < 1:
        raise ValueError(f"failures must be from 0 to the number of walks, got {failures} of {walks}")
    return 1.0 if failures == walks else float(beta.ppf(confidence, failures + 1, walks - failures))
