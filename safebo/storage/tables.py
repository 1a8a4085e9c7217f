"""The tables of a journal; `safebo.storage.chain` and `safebo.storage.prior_trials` add theirs."""

from __future__ import annotations

import sqlalchemy as sa

metadata = sa.MetaData()

runs = sa.Table(
    "runs",
    metadata,
    sa.Column("run", sa.String(32), primary_key=True),
    sa.Column("format", sa.Integer, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("study_text", sa.Text, nullable=False),
    sa.Column("study", sa.Text, nullable=False),
    sa.Column("declared", sa.Text, nullable=False),
    sa.Column("study_hash", sa.String(64), nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("seed", sa.BigInteger, nullable=False),
    sa.Column("trials", sa.Integer, nullable=False),
    sa.Column("workers", sa.Integer, nullable=False),
    sa.Column("versions", sa.Text, nullable=False),
    sa.Column("created_at", sa.String(40), nullable=False),
)

trials = sa.Table(
    "trials",
    metadata,
    sa.Column("run", sa.ForeignKey("runs.run"), primary_key=True),
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("round", sa.Integer, nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("asked_at", sa.String(40), nullable=False),
    sa.Column("parameters", sa.Text, nullable=False),
    sa.Column("context", sa.Text, nullable=False),
    sa.Column("context_name", sa.Text, nullable=False),
    sa.Column("phase", sa.String(16), nullable=False),
    sa.Column("seed", sa.BigInteger, nullable=False),
    sa.Column("certified", sa.Boolean, nullable=False),
    sa.Column("predicted", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("trigger_rule", sa.Text),
    sa.Column("trigger_guarantee", sa.Boolean, nullable=False),
)

measurements = sa.Table(
    "measurements",
    metadata,
    sa.Column("run", sa.String(32), primary_key=True),
    sa.Column("trial", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("told_at", sa.String(40), nullable=False),
    sa.Column("outcome", sa.String(16), nullable=False),
    sa.Column("objective", sa.Double),
    sa.Column("margins", sa.Text, nullable=False),
    sa.Column("fell", sa.Boolean, nullable=False),
    sa.Column("backup_time", sa.Double),
    sa.Column("backup_state", sa.Text),
    sa.Column("true_objective", sa.Double),
    sa.Column("true_margins", sa.Text),
    sa.Column("telemetry", sa.Text),
    sa.Column("duration", sa.Double, nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("extra", sa.Text, nullable=False),
    sa.ForeignKeyConstraint(["run", "trial"], ["trials.run", "trials.id"]),
)

# `data`: `rows x columns` numbers, the visited states; then, where they were reported, the margins to go, `rows`
# numbers for every margin of the measurement in the order of its names.
states = sa.Table(
    "states",
    metadata,
    sa.Column("run", sa.String(32), primary_key=True),
    sa.Column("trial", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("rows", sa.Integer, nullable=False),
    sa.Column("columns", sa.Integer, nullable=False),
    sa.Column("data", sa.LargeBinary, nullable=False),
    sa.ForeignKeyConstraint(["run", "trial"], ["trials.run", "trials.id"]),
)

events = sa.Table(
    "events",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("run", sa.ForeignKey("runs.run"), nullable=False),
    sa.Column("at", sa.String(40), nullable=False),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("trial", sa.Integer),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("data", sa.Text, nullable=False),
)

# What a person said of two trials, where the objective is a preference.
answers = sa.Table(
    "answers",
    metadata,
    sa.Column("run", sa.ForeignKey("runs.run"), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("left", sa.Integer, nullable=False),
    sa.Column("right", sa.Integer, nullable=False),
    sa.Column("context_name", sa.Text, nullable=False),
    sa.Column("repeats", sa.Integer),
    sa.Column("word", sa.String(16), nullable=False),
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("at", sa.String(40), nullable=False),
)
