"""Where runs are done: processes of this machine, a Dask cluster, Slurm. One seam: `concurrent.futures.Executor`."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any

from safebo.errors import InputError

ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class WorkerLostError(RuntimeError):
    """The process that did a job died before it was done."""


class SeparateProcesses(ThreadPoolExecutor):
    """Worker processes that do not share their fate: one that is killed costs its own job alone.

    (The standard library's pool gives up every job once one of its processes dies.) Each thread has a process.

    Args:
        workers: how many.
    """

    def __init__(self, workers: int) -> None:
        super().__init__(workers, "worker")
        self._own = threading.local()
        self._pools: list[ProcessPoolExecutor] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """A job for the next free worker; it ends in `WorkerLostError` when that worker is killed."""
        return super().submit(self._do, fn, *args, **kwargs)

    def _do(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """A job in this thread's process, a fresh one where the last was killed."""
        pool = getattr(self._own, "pool", None)
        if pool is None:
            pool = self._own.pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
            self._pools.append(pool)
        try:
            return pool.submit(fn, *args, **kwargs).result()
        except BrokenProcessPool:
            self._own.pool = None
            raise WorkerLostError("its worker process was killed") from None

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the workers once they have done what they do."""
        super().shutdown(wait, cancel_futures=cancel_futures)
        if wait:
            for pool in self._pools:
                pool.shutdown()


@contextmanager
def local(workers: int) -> Iterator[Executor]:
    """Processes of this machine, one thread each."""
    for name in ONE_THREAD:
        os.environ.setdefault(name, "1")  # inherited by the workers
    pool = SeparateProcesses(workers)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def dask(address: str) -> Iterator[Executor]:
    """A Dask cluster that runs somewhere.

    Args:
        address: of its scheduler, `tcp://HOST:PORT`.

    Raises:
        InputError: Dask is not installed, or nobody answers there.
    """
    try:
        from distributed import Client
    except ImportError:
        raise InputError("--dask needs Dask: pip install 'safebo[cluster]'") from None
    try:
        client = Client(address, timeout="10s", set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise InputError(f"--dask {address}: no scheduler answers there ({error})") from error
    try:
        # results differ by process only in what belongs to the machine, but a killed worker's job must be run again
        yield client.get_executor(pure=False, retries=2)
    finally:
        client.close()


@contextmanager
def slurm(jobs: int, options: dict[str, Any]) -> Iterator[Executor]:
    """Workers that Slurm starts, one core each.

    Args:
        jobs: how many.
        options: of `dask_jobqueue.SLURMCluster` (`queue`, `account`, `walltime`, `memory`, ...).

    Raises:
        InputError: dask-jobqueue is not installed, or an option that it does not take.
    """
    try:
        from dask_jobqueue import SLURMCluster
        from distributed import Client
    except ImportError:
        raise InputError("--slurm needs dask-jobqueue: pip install 'safebo[cluster]'") from None
    try:
        cluster = SLURMCluster(**slurm_options(options))
    except (TypeError, ValueError) as error:
        raise InputError(f"--slurm: {error}") from error
    with cluster, Client(cluster, set_as_default=False) as client:
        cluster.scale(jobs=jobs)
        yield client.get_executor(pure=False, retries=2)


def slurm_options(options: dict[str, Any]) -> dict[str, Any]:
    """What a Slurm job of ours asks for unless the user says otherwise: one core, one thread, 4 GB, four hours."""
    threads = [f"export {name}=1" for name in ONE_THREAD]
    return {
        "cores": 1,
        "processes": 1,
        "memory": "4GB",
        "walltime": "04:00:00",
        "job_script_prologue": threads,
        **options,
    }
