"""Hand the runs to processes of this machine, some at a time, and take what becomes of each."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

from covidseg.runs import worker
from covidseg.runs.locks import SILENCE
from covidseg.runs.plan import Run

GRACE = 20.0  # seconds that a run has to save itself when it is to end
PATIENCE = 10.0  # seconds between two looks at a run that another batch is doing: each starts a process
TICK = 0.2  # seconds between two looks at what has come


class Future(Protocol):
    """What becomes of a run: a future of this process's pool, or of dask."""

    def done(self) -> bool: ...

    def result(self) -> dict[str, Any]: ...

    def exception(self) -> BaseException | None: ...


Submit = Callable[[dict[str, Any], float], Future]  # run as plain values, seconds to wait for its lock


@contextmanager
def processes(folder: Path, timeout: float, workers: int) -> Iterator[Submit]:
    """A function (run, wait) -> future, as `cluster.workers` yields one. All that runs ends with the block."""
    batch = uuid4().hex
    pool = ThreadPoolExecutor(workers)
    try:
        yield lambda run, wait: pool.submit(worker.run_child, run, str(folder.resolve()), timeout, wait, batch)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        worker.stop_running(batch, GRACE)


def outcomes(submit: Submit, runs: list[Run], until: float = float("inf")) -> Iterator[dict]:
    """Do the runs; yield the outcome of each as it comes, see `work.do`.

    A run that another batch is doing is looked at again until that batch is through with it, and one that somebody
    else stopped is done again.
    submit : a function (run as dict, seconds to wait for its lock) -> future
    until : no outcome is waited for after this time of ``time.monotonic``
    """
    waiting = {submit(run.to_dict(), 0.0): run for run in runs}
    later: deque[tuple[float, Run]] = deque()  # when to look again at a run that somebody else does, or stopped
    while (waiting or later) and time.monotonic() < until:
        for future in [future for future in waiting if future.done()]:
            run = waiting.pop(future)
            outcome = _outcome(future, run)
            if outcome["status"] in ("busy", "stopped"):
                later.append((time.monotonic() + PATIENCE, run))
            else:
                yield outcome
        while later and later[0][0] <= time.monotonic():
            run = later.popleft()[1]
            waiting[submit(run.to_dict(), 1.5 * SILENCE)] = run
        time.sleep(TICK)


def _outcome(future: Future, run: Run) -> dict:
    """The outcome, also where no process was left to tell it."""
    error = future.exception()
    if error is None:
        return future.result()
    died = type(error).__name__ == "KilledWorker"
    what = "its worker died three times" if died else f"{type(error).__name__}: {error}"
    return worker.failure(run.to_dict(), what)
