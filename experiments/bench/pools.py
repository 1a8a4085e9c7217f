"""Where runs are done: processes of this machine, a Dask cluster, Slurm. One seam: `concurrent.futures.Executor`."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any

from safebo.errors import InputError

ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class WorkerLostError(RuntimeError):
    """The process that did a job died before it was done."""


class SeparateProcesses(Executor):
    """Worker processes that do not share their fate: one that is killed costs its own job alone.

    (The standard library's pool gives up every job once one of its processes dies.)

    Args:
        workers: how many.
    """

    def __init__(self, workers: int) -> None:
        self._waiting: queue.Queue[tuple[Future[Any], Callable[[], Any]] | None] = queue.Queue()
        self._ended = False
        self._threads = [
            threading.Thread(target=self._serve, name=f"worker {i + 1}", daemon=True) for i in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """A job for the next free worker; it ends in `WorkerLostError` when that worker is killed."""
        if self._ended:
            raise RuntimeError("no jobs are taken after shutdown")
        future: Future[Any] = Future()
        self._waiting.put((future, lambda: self._pool().submit(fn, *args, **kwargs)))
        return future

    def _pool(self) -> ProcessPoolExecutor:
        local = threading.current_thread()
        pool = getattr(local, "pool", None)
        if pool is None:
            pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
            local.pool = pool  # type: ignore[attr-defined]
        return pool

    def _serve(self) -> None:
        me = threading.current_thread()
        while (item := self._waiting.get()) is not None:
            future, start = item
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(start().result())
            except BrokenProcessPool:
                self._close(me)
                future.set_exception(WorkerLostError("its worker process was killed"))
            except BaseException as error:
                future.set_exception(error)
        self._close(me)

    def _close(self, thread: threading.Thread) -> None:
        pool = getattr(thread, "pool", None)
        if pool is not None:
            pool.shutdown(wait=True, cancel_futures=True)
            thread.pool = None  # type: ignore[attr-defined]

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the workers once they have done what they do."""
        if cancel_futures:
            while True:
                try:
                    item = self._waiting.get_nowait()
                except queue.Empty:
                    break
                if item is not None:
                    item[0].cancel()
        if not self._ended:
            self._ended = True
            for _ in self._threads:
                self._waiting.put(None)
        if wait:
            for thread in self._threads:
                thread.join()


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
