"""One run of one method on one task: done by whatever process, given back as the bytes of a Parquet file."""

from __future__ import annotations

import json
import os
import platform
import resource
import socket
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from safebo.experiments.bench.contestants import contestant, file_hash
from safebo.experiments.bench.rows import table

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
        peak_mb(),
    )
    known = facts(job, problem.provenance(), asdict(chosen), began, time.time() - began)
    sink = pa.BufferOutputStream()
    metadata = {**(result.schema.metadata or {}), FACTS: json.dumps(known).encode()}
    pq.write_table(result.replace_schema_metadata(metadata), sink, compression="zstd")
    return bytes(sink.getvalue())


def facts(
    job: Job, problem: Mapping[str, str], chosen: Mapping[str, Any], began: float, seconds: float
) -> dict[str, Any]:
    """Where a result comes from."""
    return {
        "job": asdict(job),
        "task": dict(problem),
        "method": {
            **chosen,
            "file": Path(str(chosen["file"])).name,
            "file_hash": file_hash(str(chosen["file"])),
        },
        "versions": versions(),
        "python": platform.python_version(),
        "machine": {"cpu": machine(), "system": platform.platform(), "cores": os.cpu_count()},
        "began": began,
        "seconds": seconds,
    }


def versions() -> dict[str, str]:
    """Of the packages that decide about a result."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def machine() -> str:
    """The processor in words."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def forget_peak() -> None:
    """Begin anew to look for this process's largest memory, where the system can."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def peak_mb() -> float:
    """Largest resident memory since `forget_peak`, in 10^6 bytes; of the process's life where the system cannot say."""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1.024e-3
    except OSError:
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1.024e-3
