"""The page: pictures and tables put into one HTML file that opens offline, the pictures as PNG beside it."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from safebo.errors import OtherFileError
from safebo.files.writing import write_whole
from safebo.models.trust import trust_rule
from safebo.report.coverage import LEVELS, coverage_table
from safebo.report.data import ContextReport, ReportData, objective_of
from safebo.report.figures.coverage import coverage_figure
from safebo.report.figures.evidence import evidence_figure
from safebo.report.figures.history import events_of, margins_figure, objective_figure
from safebo.report.figures.intervals import intervals_figure
from safebo.report.figures.preferences import utility_figure
from safebo.report.figures.prior import agreement_figure
from safebo.report.figures.slices import LINES_PER_FIGURE, lines_figure, planes_figure, relevance_figure
from safebo.report.figures.style import number, styled
from safebo.report.figures.tracking import tracking_figure, tracking_sentence
from safebo.report.html import page_environment
from safebo.report.intervals import interval_table
from safebo.report.picture import Picture, drawn
from safebo.report.scenarios import scenario_rows
from safebo.report.summary import summarize
from safebo.report.tables import backup_rows, gain_table, trial_rows
from safebo.runs.best_gains import BestGains, write_best_gains, written_by_run
from safebo.runs.recommendation import best_gains_path
from safebo.study.checks import tuned_contexts
from safebo.study.tuner_checks import prior_data
from safebo.text.file_names import file_name

GENERATOR = b'<meta name="generator" content="safebo'
"""In the head of every page: by it an older report is told from a page of the user's own."""

PICTURES = (
    "objective",
    "margins",
    "evidence",
    "coverage",
    "relevance",
    "prior",
    "utility",
    "safe-set-*",
    "bounds-*",
    "intervals-*",
    "tracking-*",
)
"""Names of the pictures that a report has; any others in its folder are left alone."""


@dataclass(frozen=True)
class Pictures:
    """All pictures of a report; None or an absent context where there is nothing to draw."""

    objective: Picture | None = None
    margins: Picture | None = None
    evidence: Picture | None = None
    coverage: Picture | None = None
    relevance: Picture | None = None
    agreement: Picture | None = None
    planes: dict[str, Picture | None] = field(default_factory=dict)
    lines: dict[str, list[Picture]] = field(default_factory=dict)
    tracking: dict[str, Picture | None] = field(default_factory=dict)
    intervals: dict[str, Picture | None] = field(default_factory=dict)
    utility: Picture | None = None

    def all(self) -> list[Picture]:
        """Every picture there is."""
        single = [
            self.objective,
            self.margins,
            self.evidence,
            self.coverage,
            self.relevance,
            self.agreement,
            self.utility,
            *self.planes.values(),
            *self.tracking.values(),
            *self.intervals.values(),
        ]
        return [p for p in single if p is not None] + [p for group in self.lines.values() for p in group]


def build_report(folder: str | Path) -> Path:
    """Make the report of the run in `folder`.

    Writes `report.html`, `report/*.png`, and the best gains as `best.yaml` or one `best-<context>.yaml` each.

    Args:
        folder: the run's folder; the journal is only read.

    Returns:
        Path of `report.html`.

    Raises:
        NotARunError: the folder holds no run.
        JournalError: its record cannot be read.
        OtherFileError: a page is there that is no report, or a file of gains that is not this run's; it is left as it
            is, and everything else is written.

    Example:
        >>> build_report("runs/pendulum").name  # of a run made before
        'report.html'
    """
    from safebo.report.run import read_run, told_trials

    folder = Path(folder)
    data = read_run(folder)
    page = write_report(data, folder)
    # A run that went on meanwhile keeps its own, newer gains.
    if told_trials(folder) == sum(e.measurement is not None for e in data.entries):
        try:
            write_gains(data, folder)
        except OtherFileError as error:
            raise OtherFileError(f"{page} is written, but not all gains. {error}") from error
    return page


def write_gains(data: ReportData, folder: Path) -> list[Path]:
    """Write the best gains of every context that has some; returns the files.

    Raises:
        OtherFileError: one of them is there and not this run's; the others are written all the same.
    """
    files, written, refused = gain_files(data, folder), [], []
    for context in data.contexts:
        if context.best is not None:
            try:
                write_best_gains(files[context.name], context.best)
            except OtherFileError as error:
                refused.append(error)
            else:
                written.append(files[context.name])
    if refused:
        raise OtherFileError("\n".join(map(str, refused)))
    return written


def write_report(data: ReportData, folder: Path) -> Path:
    """Write page and pictures of `data` into `folder`; returns the path of the page.

    Raises:
        OtherFileError: the page that is there is no report of safebo's.
    """
    page, images = folder / "report.html", folder / "report"
    if page.exists() and GENERATOR not in page.read_bytes()[:1000]:
        raise OtherFileError(
            f"{page}: was not made by safebo, so it is left as it is. Move it elsewhere and ask again"
        )
    files, pictures = gain_files(data, folder), draw(data)
    images.mkdir(parents=True, exist_ok=True)
    drawn_now = {images / f"{picture.name}.png": picture.png for picture in pictures.all()}
    for file, content in drawn_now.items():
        write_whole(file, content)
    for kind in PICTURES:  # of an earlier report of this run, which may have had more contexts
        for old in set(images.glob(f"{kind}.png")) - drawn_now.keys():
            old.unlink()
    own = {
        c.name: "" if c.best is None or _other(files[c.name], c.best) else files[c.name].name
        for c in data.contexts
    }
    write_whole(page, render(data, pictures, own))
    return page


def _other(file: Path, best: BestGains) -> bool:
    return file.exists() and not written_by_run(file, best.study, best.context)


def gain_files(data: ReportData, folder: Path) -> dict[str, Path]:
    """Where the gains of every context go."""
    several = len(tuned_contexts(data.study)) > 1  # as the run itself names them
    return {
        c.name: best_gains_path(folder, c.name, certified=c.tried, several=several) for c in data.contexts
    }


def draw(data: ReportData) -> Pictures:
    """Draw every picture for which there is something to show."""
    with styled():
        planes: dict[str, Picture | None] = {}
        lines: dict[str, list[Picture]] = {}
        tracking: dict[str, Picture | None] = {}
        intervals: dict[str, Picture | None] = {}
        for context in (c for c in data.contexts if c.tried):
            planes[context.name] = _planes_picture(data, context)
            lines[context.name] = _lines_pictures(data, context)
            tracking[context.name] = _tracking_picture(context)
            intervals[context.name] = _intervals_picture(context)
        measured = any(objective_of(e) is not None for e in data.entries)
        seen = any(e.measurement is not None and e.measurement.margins for e in data.entries)
        margins = seen and bool(data.study.constraints)
        return Pictures(
            objective=_objective_picture(data) if measured else None,
            margins=_margins_picture(data) if margins else None,
            evidence=_evidence_picture(data),
            coverage=_coverage_picture(data),
            relevance=_relevance_picture(data) if data.lengthscales else None,
            agreement=_agreement_picture(data),
            planes=planes,
            lines=lines,
            tracking=tracking,
            intervals=intervals,
            utility=_utility_picture(data),
        )


def render(data: ReportData, pictures: Pictures, files: dict[str, str]) -> str:
    """The page as text; `files` names the gains file of every context, or nothing where another file has its place."""
    environment = page_environment("safebo.report")
    environment.filters["number"] = number
    tables = {c.name: gain_table(data, c, files[c.name]) for c in data.contexts}
    try:
        installed = version("safebo")
    except PackageNotFoundError:
        installed = "(not installed)"
    values: dict[str, Any] = {
        "data": data,
        "summary": summarize(data),
        "planned": data.planned,
        "pictures": pictures,
        "gains": [tables[c.name] for c in data.contexts if c.tried],
        "predicted": [tables[c.name] for c in data.contexts if not c.tried],
        "tried": [_absences(c) for c in data.contexts if c.tried],
        "intervals": [table for c in data.contexts if (table := interval_table(c)) is not None],
        "coverage": coverage_table(data.residuals),
        "levels": [f"{100.0 * level:g} %" for level in LEVELS],
        "backups": backup_rows(data),
        "trials": trial_rows(data),
        "scenarios": scenario_rows(data.entries, data.study),
        "version": installed,
    }
    return environment.get_template("template.html").render(values)


def _absences(context: ContextReport) -> dict[str, str]:
    """What the page says in place of each picture that a context lacks."""
    if context.slices is None:
        planes = "No slices: the run has told no trial from which a surrogate could be made."
    else:
        planes = "A study of one gain has no pair of gains to show."
    if context.before is None or context.after is None:
        tracking = context.tracking_note or "No trajectory was saved, so there is no tracking to show."
    else:
        tracking = "The two recorded trajectories have no tracked signal in common."
    return {
        "name": context.name,
        "no_planes": planes,
        "no_slices": "No slices: the run has told no trial from which a surrogate could be made.",
        "no_tracking": tracking,
    }


def _scale_words(data: ReportData) -> str:
    if data.study.objective.warp.kind == "log":
        return " The axis has the logarithmic scale on which the study models the objective."
    return ""


def _utility_picture(data: ReportData) -> Picture | None:
    if data.preference is None or not data.preference.utilities:
        return None
    caption = (
        f"Confidence bounds (beta {data.study.tuner.beta:g}) of how much better than the first walk of its context "
        "each compared walk is, by the answers alone; 0 is the first walk. The scale is that of prior_std."
    )
    return drawn("utility", utility_figure(data), "Utility over the first walk's, per trial", caption)


def _objective_picture(data: ReportData) -> Picture:
    happened = any(events_of(e) for e in data.entries)
    strip = " The strip below marks what else happened." if happened else ""
    caption = (
        f"One marker per trial.{strip} Values far out of view are arrows at the edge with their number. "
        "“Best so far” counts completed trials whose measured margins are all at least zero."
        f"{_scale_words(data)}"
    )
    return drawn("objective", objective_figure(data), "Objective and best so far per trial", caption)


def _margins_picture(data: ReportData) -> Picture:
    caption = (
        "Each row is one constraint on the scale on which it is modelled; the dash is the lower bound that "
        "the surrogate had promised when it proposed the trial."
    )
    return drawn("margins", margins_figure(data), "Every margin per trial, with zero marked", caption)


def _evidence_picture(data: ReportData) -> Picture | None:
    shared = data.prior is not None and prior_data(data.study).correlation == "earned"
    rule = trust_rule(data.study, 0.5 if shared else 1.0)
    if rule is None or not any(e.trial.evidence for e in data.entries):
        return None
    last = next(e.trial.evidence for e in reversed(data.entries) if e.trial.evidence)
    states = "; ".join(f"{name} with {found.certifying}" for name, found in last.items())
    caption = (
        f"Above: how many times likelier the measurements are under the declared prior than under the cautious one; "
        f"from {rule.evidence:g} (dashed) the declared prior certifies. Below: under alternatives (shorter "
        f"lengthscales, more noise, a larger scale) than under the declared prior; from {1.0 / rule.refute:g} it is "
        f"refuted for good. The last trial was certified so: {states}."
    )
    return drawn(
        "evidence", evidence_figure(data, rule), "Evidence for and against the declared priors", caption
    )


def _coverage_picture(data: ReportData) -> Picture | None:
    if not any(len(values) for values in data.residuals.values()):
        return None
    caption = (
        "Where each measurement fell in the distribution that was predicted for it from those before, noise included. "
        "With a right model bars are level; the band holds 95 % of them. High ends: intervals too narrow. A hump in "
        "the middle: too wide. A slope: measurements drift away from their predictions."
    )
    return drawn("coverage", coverage_figure(data), "Measurements in their predicted distributions", caption)


def _relevance_picture(data: ReportData) -> Picture:
    caption = "The longer the bar, the faster the function changes along that input. " + (
        "Fitted to this run's trials." if data.fitted else "Declared in the study, not fitted to this run."
    )
    return drawn("relevance", relevance_figure(data), "One over lengthscale per input and function", caption)


def _agreement_picture(data: ReportData) -> Picture | None:
    if data.prior is None or not any(a.trials for a in data.prior.agreements):
        return None
    caption = (
        "Each point is a trial of this run, by its number. On the dashed line it showed what the prior's trials alone "
        "let expect at its gains. Axes have the scales on which the functions are modelled."
    )
    return drawn("prior", agreement_figure(data), "What the prior lets expect and what was measured", caption)


def _planes_picture(data: ReportData, context: ContextReport) -> Picture | None:
    if context.slices is None or not context.slices.planes:
        return None
    shown, total = len(context.slices.plane_parameters), len(data.study.parameters)
    caption = (
        f"Each panel varies two gains and holds the others at the {context.slices.anchor_kind}. "
        "Trials are drawn within one lengthscale of the slice."
    )
    if shown < total:
        caption += f" The {shown} most relevant of {total} gains are shown."
    alt = f"Safe set and objective over pairs of gains, context {context.name}"
    return drawn(f"safe-set-{file_name(context.name)}", planes_figure(data, context), alt, caption)


def _lines_pictures(data: ReportData, context: ContextReport) -> list[Picture]:
    if context.slices is None:
        return []
    pictures = []
    starts = range(0, len(context.slices.lines), LINES_PER_FIGURE)
    for k, first in enumerate(starts):
        suffix = f"-{k + 1}" if len(starts) > 1 else ""
        caption = (
            f"Each column varies one gain and holds the others at the {context.slices.anchor_kind}."
            if first == starts[-1]
            else ""
        )
        alt = f"Confidence bounds of every function along each gain, context {context.name}"
        name = f"bounds-{file_name(context.name)}{suffix}"
        pictures.append(drawn(name, lines_figure(data, context, first), alt, caption))
    return pictures


def _intervals_picture(context: ContextReport) -> Picture | None:
    if not context.intervals:
        return None
    caption = (
        "What is not known yet and doubt about the prior make the interval of the mean, on which certificates rest; a "
        "next measurement has the noise as well. Shares are of variances on the scale on which a function is modelled."
    )
    alt = f"What the interval of every function consists of, context {context.name}"
    return drawn(f"intervals-{file_name(context.name)}", intervals_figure(context), alt, caption)


def _tracking_picture(context: ContextReport) -> Picture | None:
    if context.before is None or context.after is None:
        return None
    try:
        figure = tracking_figure(context.before, context.after)
    except ValueError:
        return None
    caption = f"{tracking_sentence(context.before, context.after)} {context.tracking_note}".strip()
    alt = f"Tracking before and after, context {context.name}"
    return drawn(f"tracking-{file_name(context.name)}", figure, alt, caption)
