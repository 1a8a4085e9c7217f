"""One run of one method on one task: done by whatever process, given back as the bytes of a Parquet file."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import socket
import time
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from safebo.experiments.bench.contestants import contestant, file_hash
from safebo.experiments.bench.rows import table
from safebo.experiments.peak_memory import forget_peak, peak_bytes

PACKAGES = (
    "safebo",
    "torch",
    "gpytorch",
    "botorch",
    "numpy",
    "scipy",
    "mujoco",
    "optuna",
    "cmaes",
    "pyarrow",
)
FACTS = b"safebo.bench"
"""Key of the facts in a result's metadata, JSON."""


@dataclass(frozen=True)
class Job:
    """One run.

    Args:
        task: name, or path of a user's own file.
        method: name or file, as it was asked for.
        seed: of the run.
        trials: how many.
    """

    task: str
    method: str
    seed: int
    trials: int


def do(job: Job) -> bytes:
    """Do a run; everything is rebuilt from names, so that any process on any machine can.

    Returns:
        A Parquet file with one row per trial and `facts` in its metadata.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    import torch

    from safebo.experiments.bench.tasks import problem_named

    torch.set_num_threads(1)
    forget_peak()
    began = time.time()
    chosen, problem = contestant(job.method), problem_named(job.task)
    rows = list(problem.run(job.method, job.seed, job.trials))
    result = table(
        rows,
        problem.name,
        chosen.name,
        job.seed,
        f"{socket.gethostname()}:{os.getpid()}",
        machine(),
        peak_bytes() * 1e-6,
    )
    known = {
        "job": asdict(job),
        "task": dict(problem.provenance()),
        "method": {**asdict(chosen), "file": Path(chosen.file).name, "file_hash": file_hash(chosen.file)},
        "versions": versions(),
        "python": platform.python_version(),
        "machine": {"cpu": machine(), "system": platform.platform(), "cores": os.cpu_count()},
        "began": began,
        "seconds": time.time() - began,
    }
    sink = pa.BufferOutputStream()
    metadata = {**(result.schema.metadata or {}), FACTS: json.dumps(known).encode()}
    pq.write_table(result.replace_schema_metadata(metadata), sink, compression="zstd")
    return bytes(sink.getvalue())


def versions() -> dict[str, str]:
    """Of the packages that decide about a result."""
    found = {}
    for name in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def machine() -> str:
    """The processor in words."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
