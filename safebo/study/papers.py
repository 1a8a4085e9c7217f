"""Which paper each method is from: what to cite, as facts. Loads no torch.

The page on citing and CITATION.cff are written from here (`python -m safebo.experiments.site`); a method of safebo
without an entry fails there and in the tests.
"""

from __future__ import annotations

from dataclasses import dataclass

from safebo.errors import StudyError


@dataclass(frozen=True)
class Paper:
    """A paper.

    Args:
        title: of the paper.
        authors: family and given names, `Family, Given`.
        venue: conference or journal; of a preprint `arXiv` and its number.
        year: of publication.
        kind: `conference-paper`, `article` or `preprint`.
    """

    title: str
    authors: tuple[str, ...]
    venue: str
    year: int
    kind: str = "conference-paper"


_KRAUSE, _HUBOTTER, _SUKHIJA = "Krause, Andreas", "Hübotter, Jonas", "Sukhija, Bhavya"
_BERKENKAMP, _SCHOELLIG, _SUI = "Berkenkamp, Felix", "Schoellig, Angela P.", "Sui, Yanan"
_BURDICK, _TRIMPE, _ERIKSSON = "Burdick, Joel", "Trimpe, Sebastian", "Eriksson, David"
_ISE = ("Bottero, Alessandro G.", "Luis, Carlos E.", "Vinogradska, Julia", _BERKENKAMP, "Peters, Jan")
_ICML, _NEURIPS = (
    "International Conference on Machine Learning",
    "Advances in Neural Information Processing Systems",
)

PAPERS: dict[str, Paper] = {
    "widmer2023": Paper(
        "Tuning Legged Locomotion Controllers via Safe Bayesian Optimization",
        ("Widmer, Daniel", "Kang, Dongho", _SUKHIJA, _HUBOTTER, _KRAUSE, "Coros, Stelian"),
        "Conference on Robot Learning",
        2023,
    ),
    "sukhija2023": Paper(
        "GoSafeOpt: Scalable safe exploration for global optimization of dynamical systems",
        (_SUKHIJA, "Turchetta, Matteo", "Lindner, David", _KRAUSE, _TRIMPE, "Baumann, Dominik"),
        "Artificial Intelligence 320",
        2023,
        "article",
    ),
    "sui2015": Paper(
        "Safe Exploration for Optimization with Gaussian Processes",
        (_SUI, "Gotovos, Alkis", _BURDICK, _KRAUSE),
        _ICML,
        2015,
    ),
    "berkenkamp2016": Paper(
        "Safe Controller Optimization for Quadrotors with Gaussian Processes",
        (_BERKENKAMP, _SCHOELLIG, _KRAUSE),
        "IEEE International Conference on Robotics and Automation",
        2016,
    ),
    "berkenkamp2021": Paper(
        "Bayesian Optimization with Safety Constraints: Safe and Automatic Parameter Tuning in Robotics",
        (_BERKENKAMP, _KRAUSE, _SCHOELLIG),
        "Machine Learning",
        2021,
        "article",
    ),
    "sui2018": Paper(
        "Stagewise Safe Bayesian Optimization with Gaussian Processes",
        (_SUI, "Zhuang, Vincent", _BURDICK, "Yue, Yisong"),
        _ICML,
        2018,
    ),
    "turchetta2019": Paper(
        "Safe Exploration for Interactive Machine Learning",
        ("Turchetta, Matteo", _BERKENKAMP, _KRAUSE),
        _NEURIPS,
        2019,
    ),
    "hubotter2024": Paper(
        "Transductive Active Learning: Theory and Applications",
        (_HUBOTTER, _SUKHIJA, "Treven, Lenart", "As, Yarden", _KRAUSE),
        _NEURIPS,
        2024,
    ),
    "mackay1992": Paper(
        "Information-Based Objective Functions for Active Data Selection",
        ("MacKay, David J. C.",),
        "Neural Computation 4",
        1992,
        "article",
    ),
    "menet2025": Paper(
        "LITE: Efficiently Estimating Gaussian Probability of Maximality",
        ("Menet, Nicolas", _HUBOTTER, "Kassraie, Parnian", _KRAUSE),
        "International Conference on Artificial Intelligence and Statistics",
        2025,
    ),
    "bottero2022": Paper(
        "Information-Theoretic Safe Exploration with Gaussian Processes", _ISE, _NEURIPS, 2022
    ),
    "bottero2024": Paper(
        "Information-Theoretic Safe Bayesian Optimization", _ISE, "arXiv 2402.15347", 2024, "preprint"
    ),
    "wang2017": Paper(
        "Max-value Entropy Search for Efficient Bayesian Optimization",
        ("Wang, Zi", "Jegelka, Stefanie"),
        _ICML,
        2017,
    ),
    "srinivas2010": Paper(
        "Gaussian Process Optimization in the Bandit Setting: No Regret and Experimental Design",
        ("Srinivas, Niranjan", _KRAUSE, "Kakade, Sham", "Seeger, Matthias"),
        _ICML,
        2010,
    ),
    "chowdhury2017": Paper(
        "On Kernelized Multi-armed Bandits", ("Chowdhury, Sayak Ray", "Gopalan, Aditya"), _ICML, 2017
    ),
    "fiedler2024": Paper(
        "On Safety in Safe Bayesian Optimization",
        ("Fiedler, Christian", "Menn, Johanna", "Kreisköther, Lukas", _TRIMPE),
        "Transactions on Machine Learning Research",
        2024,
        "article",
    ),
    "wang2024": Paper(
        "Safe Bayesian Optimization for Complex Control Systems via Additive Gaussian Processes",
        ("Wang, Hongxuan", "Li, Xiaocong", "Zheng, Lihao", "Bhaumik, Adrish", "Vadakkepat, Prahlad"),
        "arXiv 2408.16307",
        2024,
        "preprint",
    ),
    "kirschner2019": Paper(
        "Adaptive and Safe Bayesian Optimization in High Dimensions via One-Dimensional Subspaces",
        ("Kirschner, Johannes", "Mutný, Mojmír", "Hiller, Nicole", "Ischebeck, Rasmus", _KRAUSE),
        _ICML,
        2019,
    ),
    "bogunovic2018": Paper(
        "Adversarially Robust Optimization with Gaussian Processes",
        ("Bogunovic, Ilija", "Scarlett, Jonathan", "Jegelka, Stefanie", "Cevher, Volkan"),
        _NEURIPS,
        2018,
    ),
    "jones1998": Paper(
        "Efficient Global Optimization of Expensive Black-Box Functions",
        ("Jones, Donald R.", "Schonlau, Matthias", "Welch, William J."),
        "Journal of Global Optimization 13",
        1998,
        "article",
    ),
    "gardner2014": Paper(
        "Bayesian Optimization with Inequality Constraints",
        (
            "Gardner, Jacob R.",
            "Kusner, Matt J.",
            "Xu, Zhixiang",
            "Weinberger, Kilian Q.",
            "Cunningham, John P.",
        ),
        _ICML,
        2014,
    ),
    "ament2023": Paper(
        "Unexpected Improvements to Expected Improvement for Bayesian Optimization",
        ("Ament, Sebastian", "Daulton, Samuel", _ERIKSSON, "Balandat, Maximilian", "Bakshy, Eytan"),
        _NEURIPS,
        2023,
    ),
    "eriksson2021": Paper(
        "Scalable Constrained Bayesian Optimization",
        (_ERIKSSON, "Poloczek, Matthias"),
        "International Conference on Artificial Intelligence and Statistics",
        2021,
    ),
    "lin2022": Paper(
        "Preference Exploration for Efficient Bayesian Optimization with Multiple Outcomes",
        ("Lin, Zhiyuan Jerry", "Astudillo, Raul", "Frazier, Peter I.", "Bakshy, Eytan"),
        "International Conference on Artificial Intelligence and Statistics",
        2022,
    ),
    "chu2005": Paper(
        "Preference Learning with Gaussian Processes", ("Chu, Wei", "Ghahramani, Zoubin"), _ICML, 2005
    ),
    "balandat2020": Paper(
        "BoTorch: A Framework for Efficient Monte-Carlo Bayesian Optimization",
        (
            "Balandat, Maximilian",
            "Karrer, Brian",
            "Jiang, Daniel R.",
            "Daulton, Samuel",
            "Letham, Benjamin",
            "Wilson, Andrew Gordon",
            "Bakshy, Eytan",
        ),
        _NEURIPS,
        2020,
    ),
}
"""Papers by a key."""

METHOD_PAPERS: dict[str, tuple[str, ...]] = {
    "safe_ucb": ("srinivas2010", "sui2015"),
    "safeopt": ("sui2015", "berkenkamp2016", "berkenkamp2021"),
    "stageopt": ("sui2018",),
    "goose": ("turchetta2019",),
    "itl": ("hubotter2024",),
    "vtl": ("hubotter2024",),
    "ctl": ("hubotter2024",),
    "ctl_squared": ("hubotter2024",),
    "mm_itl": ("mackay1992", "hubotter2024"),
    "undirected": ("hubotter2024",),
    "ise": ("bottero2022",),
    "ise_bo": ("bottero2024",),
    "mes": ("wang2017",),
    "eubo": ("lin2022",),
    "random_safe": (),
    "real_beta_safeopt": ("fiedler2024", "sui2015"),
    "losbo": ("fiedler2024",),
    "los_gp_ucb": ("fiedler2024",),
    "gosafeopt": ("sukhija2023", "widmer2023"),
    "gp_ucb": ("srinivas2010",),
    "ei": ("jones1998",),
    "constrained_ei": ("gardner2014",),
    "qlognei": ("ament2023", "balandat2020"),
    "scbo": ("eriksson2021",),
    "random": (),
}
"""Papers of every method that safebo has; none where nothing is anyone's idea, or it is ours (cite safebo)."""

PART_PAPERS: dict[str, tuple[str, ...]] = {
    "gaits as contexts, robots (the system)": ("widmer2023",),
    "`certificate: measured`": ("fiedler2024",),
    "`confidence.schedule: srinivas2010`": ("srinivas2010",),
    "`confidence.schedule: sui2015`": ("sui2015",),
    "`confidence.schedule: chowdhury2017`": ("chowdhury2017",),
    "`confidence.schedule: fiedler2024`": ("fiedler2024",),
    "`confidence.schedule: logarithmic`": ("wang2024",),
    "`transductive.targets: lite`": ("menet2025",),
    "an objective by preferences": ("chu2005",),
    "search along lines": ("kirschner2019",),
    "scenarios, the worst counts": ("bogunovic2018",),
}
"""Papers of what may be chosen beside the method."""


def papers_of(method: str) -> tuple[Paper, ...]:
    """What to cite for a method of safebo.

    Raises:
        StudyError: a built-in method without an entry.
    """
    if method not in METHOD_PAPERS:
        raise StudyError(
            f"method {method!r} has no papers: add it to METHOD_PAPERS in safebo/study/papers.py, with an empty "
            "tuple where the method is safebo's own"
        )
    return tuple(PAPERS[key] for key in METHOD_PAPERS[method])
