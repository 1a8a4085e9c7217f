"""Words on the page of a benchmark."""

from __future__ import annotations

RULE = (
    "The rule: the beta that a task tells its methods lets a certified trial violate with probability at most "
    "Phi(-beta) per constraint, and so a run with at most that times its trials; 5 % of runs are always allowed. "
    "A method that promises safety is flagged when significantly more runs have a violation, or significantly "
    "more trials violate, over all tasks or on one (5 %, corrected for the number of tests). Tasks that tell a "
    "wrong prior on purpose are not held against anyone, as a certificate rests on its prior. Flagged methods are "
    "not ranked."
)
"""When a method is flagged, for people; `safebo.experiments.bench.promises` has it in full."""

GLOSSARY = (
    (
        "regret",
        "The optimum minus the true objective of the answer at the end, divided by the regret at the start of the same "
        "task and seed, where the start is the best truly safe input measured before the first trial. 0: the best safe "
        "input; 1: no better than the start. An answer that is truly unsafe counts as 1 or more. 0 may be out of reach "
        "where the safe inputs form islands. Of a method that promises safety the answer is its certified "
        "recommendation; of one that promises nothing, the best truly safe input that it tried.",
    ),
    (
        "interval",
        "Interquartile mean over all runs with a 95 % percentile interval from 2,000 stratified bootstrap samples, "
        "which draw seeds anew within each task (Agarwal et al. 2021).",
    ),
    ("mean rank", "Over blocks of one seed of one task; 1 is best, equal regrets share their ranks."),
    (
        "90 % after (ever)",
        "Median number of trials until the answer is 90 % of the way from the safe start to the optimum (normalised "
        "regret at most 0.1), a dash where not more than half ever were, and the share of runs that were.",
    ),
    (
        "regret of trials",
        "Interquartile mean of the mean normalised regret of the trials themselves, the cumulative regret divided by "
        "trials and by the regret at the start: what learning costs. An unsafe trial counts 1 or more.",
    ),
    (
        "certified share",
        "Share of the safe inputs that can be reached from the seeds (of all safe inputs where there is no grid) which "
        "the method's model certifies at the end. Of a baseline: what a certificate would say of its data.",
    ),
    ("violation", "A trial whose true margin, without noise, is below 0."),
    (
        "falls, backups",
        "Trials in which a robot fell; in which a backup took over. Shown where there are any.",
    ),
    ("ask", "Seconds of one proposal over all trials: median, 95th percentile, largest."),
    ("memory", "Largest resident memory of the process over all runs, in 10^6 bytes."),
)
"""What the columns mean."""
