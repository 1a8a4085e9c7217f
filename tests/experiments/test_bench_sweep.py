"""Sweeps: the same results whoever does them, whatever is killed, however often they are stopped."""

from __future__ import annotations

import io
import os
import signal
import threading
import time
from concurrent.futures import Executor, Future
from pathlib import Path

import pyarrow as pa
import pytest
from in_process import in_process
from present import present
from typer.testing import CliRunner

from safebo.errors import InputError, UnknownNameError
from safebo.experiments.bench import pools
from safebo.experiments.bench.cli import app
from safebo.experiments.bench.contestants import contestant
from safebo.experiments.bench.function_problem import FunctionProblem
from safebo.experiments.bench.jobs import Job, do
from safebo.experiments.bench.pools import SeparateProcesses, WorkerLostError, slurm_options
from safebo.experiments.bench.rows import KEY, SCHEMA, comparable
from safebo.experiments.bench.store import Store, merge, read
from safebo.experiments.bench.sweep import Planned, plan, sweep
from safebo.experiments.bench.tasks import problem_named, suite
from safebo.study.methods import METHODS as NATIVE

pytestmark = pytest.mark.slow

TASKS, METHODS = ("gp-1d-right", "safeopt-1d"), ("safeopt", "random_safe", "gp_ucb")


class InThisProcess(Executor):
    """Does work when it is submitted."""

    def submit(self, fn, /, *args, **kwargs):
        future: Future = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


def planned(seeds: int = 2, trials: int = 6) -> list[Planned]:
    return plan(TASKS, METHODS, range(seeds), trials, {})


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> pa.Table:
    store = Store(tmp_path_factory.mktemp("undisturbed"))
    outcome = sweep(store, planned(), InThisProcess())
    assert (outcome.done, outcome.skipped, outcome.failed, outcome.stopped) == (12, 0, {}, False)
    return store.table()


def test_a_result_has_a_row_for_every_trial_with_everything_that_is_said_of_it(undisturbed):
    assert undisturbed.schema.names == SCHEMA.names
    assert undisturbed.num_rows == 12 * 6
    rows = undisturbed.to_pylist()
    assert [tuple(r[k] for k in KEY) for r in rows] == sorted(tuple(r[k] for k in KEY) for r in rows)
    safe = [r for r in rows if r["method"] == "safeopt"]
    assert all(r["certified"] and r["regret"] == r["regret"] and r["answer_safe"] is not None for r in safe)
    assert not any(r["certified"] for r in rows if r["method"] == "gp_ucb")
    assert all(r["ask_seconds"] > 0 and r["peak_memory_mb"] > 50 and r["machine"] for r in rows)


def test_every_method_meets_the_same_noise(undisturbed):
    noise: dict[tuple[int, int], list[float]] = {}
    for row in undisturbed.to_pylist():
        if row["task"] == "gp-1d-right":
            key = (row["seed"], row["trial"])
            noise.setdefault(key, []).append(row["objective"] - row["true_objective"])
    assert all(max(values) - min(values) < 1e-12 for values in noise.values())
    assert len({round(values[0], 12) for values in noise.values()}) == len(noise)


def test_facts_say_where_a_result_comes_from(tmp_path):
    store = Store(tmp_path)
    one = planned(1, 2)[0]
    sweep(store, [one], InThisProcess())
    facts = present(store.facts(one.task, one.method, 0))
    assert facts["job"] == {"task": "gp-1d-right", "method": "safeopt", "seed": 0, "trials": 2}
    assert facts["versions"]["torch"].startswith("2.13")
    assert facts["task"] == problem_named("gp-1d-right").provenance()
    assert facts["machine"]["cores"] == os.cpu_count()


def test_every_sweep_of_a_folder_is_remembered_once(tmp_path):
    first, second = {"suite": "synthetic-core", "seeds": 2}, {"suite": "control", "seeds": 3}
    store = Store(tmp_path / "a")
    assert store.plans() == []
    for asked in (first, second, first):
        store.add_plan(asked)
    assert store.plans() == [first, second]
    (tmp_path / "a" / "bench.json").write_text("{}")
    with pytest.raises(InputError, match=r"bench\.json: a list of sweeps is expected"):
        store.plans()


def test_a_killed_worker_costs_its_own_run_alone_and_changes_no_result(tmp_path, undisturbed):
    store = Store(tmp_path)
    killed = []

    def kill_one() -> None:
        # while the third run is under way: a worker of this very process's children
        children = Path(f"/proc/{os.getpid()}/task").glob("*/children")
        for child in " ".join(c.read_text() for c in children).split():
            if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                os.kill(int(child), signal.SIGKILL)
                killed.append(child)
                return

    done = []

    def tell(one: Planned, seconds: float) -> None:
        done.append(one)
        if len(done) == 3:
            kill_one()

    with pools.local(1) as executor:
        outcome = sweep(store, planned(), executor, tell, width=2)  # one under way, one that waits for it
    assert killed
    assert (outcome.done, outcome.failed) == (12, {})
    assert outcome.lost <= 1
    assert comparable(store.table()).equals(comparable(undisturbed))


def test_a_worker_that_dies_loses_one_job_and_not_its_neighbours():
    with pools.local(2) as pool:
        slow = pool.submit(time.sleep, 1.5)
        dies = pool.submit(signal.raise_signal, signal.SIGKILL)  # loads nothing of ours
        with pytest.raises(WorkerLostError):
            dies.result(60)
        assert slow.result(60) is None
        assert pool.submit(os.getpid).result(60) != os.getpid()


def test_a_run_that_kills_every_worker_is_given_up_and_the_others_are_done(tmp_path, monkeypatch):
    class Deadly(InThisProcess):
        def submit(self, fn, /, *args, **kwargs):
            if args[0].method == "gp_ucb" and args[0].seed == 0:
                future: Future = Future()
                future.set_exception(WorkerLostError("killed"))
                return future
            return super().submit(fn, *args, **kwargs)

    outcome = sweep(Store(tmp_path), planned(), Deadly())
    assert outcome.done == 10
    assert {(f.task, f.method, f.job.seed) for f in outcome.failed} == {(t, "gp_ucb", 0) for t in TASKS}
    assert outcome.lost == 6
    assert all("3 times" in words for words in outcome.failed.values())


def test_a_stopped_sweep_goes_on_where_it_was(tmp_path, undisturbed):
    store = Store(tmp_path)
    count = [0]

    def tell(one: Planned, seconds: float) -> None:
        count[0] += 1

    first = sweep(store, planned(), InThisProcess(), tell, lambda: int(count[0] >= 4))
    assert first.stopped
    assert 4 <= first.done < 12
    (store.path("gp-1d-right", "safeopt", 0)).write_bytes(b"half a file")
    second = sweep(store, planned(), InThisProcess())
    assert second.done == 12 - first.done + 1
    assert second.skipped == first.done - 1
    assert comparable(store.table()).equals(comparable(undisturbed))


def test_a_dask_cluster_gives_the_same_results(tmp_path, undisturbed):
    distributed = pytest.importorskip("distributed")
    store = Store(tmp_path)
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1"
        ) as cluster,
        pools.dask(cluster.scheduler_address) as executor,
    ):
        outcome = sweep(store, planned(), executor, width=2)
    assert (outcome.done, outcome.failed) == (12, {})
    (worker,) = set(store.table()["worker"].to_pylist())
    assert worker != undisturbed["worker"][0].as_py()
    assert comparable(store.table()).equals(comparable(undisturbed))


def test_folders_of_two_machines_are_joined(tmp_path, undisturbed):
    every = planned()
    for name, part in (("a", every[:7]), ("b", every[5:])):
        sweep(Store(tmp_path / name), part, InThisProcess())
    assert merge(tmp_path / "both", [tmp_path / "a", tmp_path / "b"]) == 12
    assert comparable(Store(tmp_path / "both").table()).equals(comparable(undisturbed))
    with pytest.raises(InputError, match="no results there"):
        merge(tmp_path / "both", [tmp_path / "c"])


def test_results_of_another_length_are_not_mixed(tmp_path):
    store = Store(tmp_path)
    sweep(store, planned(1, 3)[:1], InThisProcess())
    with pytest.raises(InputError, match="has 3 trials, asked for are 4; take another --out"):
        sweep(store, planned(1, 4)[:1], InThisProcess())


def test_a_run_that_raises_is_named_and_the_rest_goes_on(tmp_path):
    class Raises(InThisProcess):
        def submit(self, fn, /, *args, **kwargs):
            if args[0].seed == 1:
                future: Future = Future()
                future.set_exception(ValueError("singular"))
                return future
            return super().submit(fn, *args, **kwargs)

    outcome = sweep(Store(tmp_path), planned(), Raises())
    assert outcome.done == 6
    assert set(outcome.failed.values()) == {"ValueError: singular"}


def test_names_and_refusals_are_said_before_anything_runs(tmp_path):
    with pytest.raises(UnknownNameError, match="unknown method 'safopt'"):
        plan(TASKS, ("safopt",), range(1), None, {})
    with pytest.raises(InputError, match="safeopt is named twice"):
        plan(TASKS, ("safeopt", "safeopt"), range(1), None, {})
    mine = tmp_path / "mine.py"
    mine.write_text(
        "from safebo.experiments.bench.tasks import problem_named\n\ntask = problem_named('gp-1d-right')\n"
    )
    with pytest.raises(
        InputError, match=r"mine\.py: `task` is named 'gp-1d-right', as a task of safebo's own is"
    ):
        plan(["gp-1d-right", str(mine)], ["safeopt"], [0], 2, {})
    refused: dict[tuple[str, str], str] = {}
    assert plan(("gp-1d-right",), ("gosafeopt", "safeopt:oracle"), range(1), None, refused) == []
    assert "watches trials" in refused["gp-1d-right", "gosafeopt"]
    assert "no Lipschitz constants 'oracle'" in refused["gp-1d-right", "safeopt:oracle"]
    with pytest.raises(UnknownNameError, match="unknown task or suite 'sinthetic'"):
        suite("sinthetic")
    with pytest.raises(InputError, match="there is no such file"):
        contestant("nowhere.py")


def test_an_estimate_runs_nothing_and_native_methods_are_all_of_safebos_own(tmp_path):
    out = tmp_path / "none"
    asked = [
        "run",
        "valley",
        "--methods",
        "native",
        "--seeds",
        "2",
        "--trials",
        "5",
        "--estimate",
        "--out",
        str(out),
    ]
    result = CliRunner().invoke(app, asked)
    assert result.exit_code == 0, result.output
    assert f"{len(NATIVE)} methods, 2 seeds; about" in result.output
    assert "left out: gosafeopt on valley" in result.output
    assert not out.exists()


def test_the_core_suite_is_six_tasks_on_grids():
    tasks = suite("synthetic-core")
    assert len(tasks) == 6
    problems = [problem_named(task) for task in tasks]
    assert all(isinstance(p, FunctionProblem) and p.make(0).lattice is not None for p in problems)


def test_a_job_is_done_from_names_alone():
    data = do(Job("gp-1d-right", "mm-itl", 3, 2))
    rows = read(io.BytesIO(data)).to_pylist()
    assert [(r["task"], r["method"], r["seed"], r["trial"]) for r in rows] == [
        ("gp-1d-right", "mm_itl", 3, 1),
        ("gp-1d-right", "mm_itl", 3, 2),
    ]


def test_slurm_jobs_ask_for_one_core_and_one_thread():
    options = slurm_options({"queue": "long", "walltime": "01:00:00"})
    assert (options["cores"], options["processes"], options["walltime"]) == (1, 1, "01:00:00")
    jobqueue = pytest.importorskip("dask_jobqueue")
    script = jobqueue.slurm.SLURMJob(scheduler="tcp://127.0.0.1:8786", name="safebo", **options).job_script()
    assert "#SBATCH -p long" in script
    assert "#SBATCH --cpus-per-task=1" in script
    assert "export OMP_NUM_THREADS=1" in script


def test_ctrl_c_ends_a_sweep_that_the_same_command_goes_on_with(tmp_path, capfd):
    words = [
        "bench",
        "run",
        "gp-1d-right",
        "--methods",
        "safeopt,random_safe",
        "--seeds",
        "5",
        "--trials",
        "10",
    ]
    words += ["--out", str(tmp_path), "--workers", "1"]
    store, outside = Store(tmp_path), signal.getsignal(signal.SIGINT)

    def interrupt() -> None:
        while not store.files():
            time.sleep(0.01)
        if signal.getsignal(signal.SIGINT) is not outside:  # the command answers it, and not pytest
            os.kill(os.getpid(), signal.SIGINT)

    waiting = threading.Thread(target=interrupt, daemon=True)
    waiting.start()
    first = in_process(capfd, *words)
    waiting.join(1.0)
    assert first.code == 130, first
    assert "go on with the same command" in " ".join((first.out + first.err).split())
    before = len(store.files())
    assert 0 < before < 10
    second = in_process(capfd, *words)
    assert second.code == 0, second.err
    assert f"{10 - before} runs done" in " ".join((second.out + second.err).split())
    assert len(store.files()) == 10


def test_nothing_is_left_behind_by_a_pool():
    pool = SeparateProcesses(1)
    pid = pool.submit(os.getpid).result(60)
    pool.shutdown()
    assert not Path(f"/proc/{pid}").exists()
    assert not [t for t in threading.enumerate() if t.name.startswith("worker_")]
    with pytest.raises(RuntimeError, match="after shutdown"):
        pool.submit(os.getpid)


def test_an_estimate_rests_on_runs_that_are_there_then_on_those_known(tmp_path, monkeypatch):
    from safebo.experiments.bench import estimate

    every = planned(2, 6)
    monkeypatch.setattr(estimate, "FILE", tmp_path / "seconds.json")
    seconds, words = estimate.estimate(Store(tmp_path / "a"), every, 2)
    assert seconds == pytest.approx(12 * 6 * estimate.TYPICAL / 2)
    assert words == "0 of 12 from earlier runs, 12 guessed"
    (tmp_path / "seconds.json").write_text('{"gp-1d-right": {"safeopt": 0.5, "gp_ucb": 0.1}}')
    store = Store(tmp_path / "b")
    sweep(store, every[:1], InThisProcess())
    assert every[0].method == "safeopt"
    here = estimate.seconds_of(store)["gp-1d-right"]["safeopt"]
    assert here != 0.5
    seconds, words = estimate.estimate(store, every, 1)
    # one more safeopt as here, two gp_ucb as known, two random_safe as the median known, six guessed of the other task
    assert seconds == pytest.approx(6 * (here + 2 * 0.1 + 2 * 0.3 + 6 * estimate.TYPICAL))
    assert words == "3 of 11 from earlier runs, 8 guessed"


def test_a_changed_method_is_not_mixed_with_what_it_was(tmp_path):
    text = (
        "from safebo.acquisition import SafeAcquisition, register\n"
        "from safebo.study.methods import Method, register_method\n"
        "@register('changing_rule')\nclass Rule(SafeAcquisition):\n"
        "    def score(self, X, bounds):\n        return bounds.certain.upper[..., 0]\n"
        "register_method(Method('changing_rule', 'for a test', 'changing_rule'))\n"
    )
    file = tmp_path / "changing_rule.py"
    file.write_text(text)
    store = Store(tmp_path / "out")
    one = plan(("gp-1d-right",), (str(file),), range(1), 2, {})
    assert sweep(store, one, InThisProcess()).done == 1
    assert sweep(store, one, InThisProcess()).skipped == 1
    file.write_text(text + "# another\n")
    with pytest.raises(InputError, match="was made with another text of"):
        sweep(store, one, InThisProcess())
