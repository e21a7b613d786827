"""Hand the runs to workers and yield what becomes of each, whatever dies on the way."""

import re
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from covidseg.errors import UserError
from covidseg.runs import worker
from covidseg.runs.plan import Run
from covidseg.runs.record import write_json
from covidseg.runs.source import source_key

PATIENCE = 10.0  # seconds between two looks at a run that another batch is doing: each starts a process
TICK = 0.2  # seconds between two looks at our own results meanwhile
ADDRESS = re.compile(r"(tcp|tls|ucx)://.+:\d+|inproc://.+")
START = 60  # seconds to wait for a scheduler's first worker


@contextmanager
def connect(workers: int = 1, scheduler: str | None = None):
    """A dask client: of a cluster on this machine's loopback address, or of a scheduler that is already running."""
    from distributed import Client, LocalCluster

    if scheduler:
        with _client_of(scheduler) as client:
            yield client
        return
    home = dict(host="127.0.0.1", dashboard_address="127.0.0.1:0", worker_dashboard_address="127.0.0.1:0")
    size = dict(n_workers=workers, threads_per_worker=1, processes=True, memory_limit=0)
    with (
        LocalCluster(**home, **size, silence_logs="CRITICAL") as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


@contextmanager
def _client_of(scheduler: str):
    if not ADDRESS.fullmatch(scheduler):  # dask would take half a minute, and leave a traceback when it gives up
        raise UserError(f"{scheduler!r} is no address of a scheduler: give protocol and port, as tcp://10.0.0.5:8786.")
    from distributed import Client

    try:
        client = Client(scheduler, timeout=10, set_as_default=False)
    except (OSError, ValueError) as error:
        raise UserError(
            f"No scheduler answers at {scheduler} ({type(error).__name__}). Start one: dask scheduler."
        ) from None
    with client:
        try:
            client.wait_for_workers(1, timeout=START)
        except Exception as error:  # dask's own TimeoutError or Python's, by version
            raise UserError(f"The scheduler {scheduler} has no worker. Start one: dask worker {scheduler}.") from error
        yield client


def outcomes(client, runs: list[Run], folder: Path, timeout: float) -> Iterator[dict]:
    """Do the runs; yield the outcome of each as it comes, see `work.do`.

    A run that another batch is doing is looked at again until that batch is through with it, and one that somebody
    else stopped is done again. A worker that dies is replaced and its run done by another, up to three times.
    Stopping the loop ends what is running for it.
    """
    write_json(folder / "runs.json", {"runs": [run.to_dict() for run in runs]})
    _check_workers(client, folder)
    batch = uuid4().hex
    try:
        yield from _as_they_come(client, runs, folder, timeout, batch)
    except BaseException:  # Ctrl-C, or the reader has had enough
        with suppress(Exception):
            client.run(worker.stop_running, batch)
        raise


def _as_they_come(client, runs, folder, timeout, batch) -> Iterator[dict]:
    from distributed import as_completed

    def submit(run: Run) -> None:
        future = client.submit(worker.run_on_worker, run.to_dict(), str(folder.resolve()), timeout, batch, pure=False)
        waiting[future.key] = run
        queue.add(future)

    queue = as_completed(loop=client.loop)
    waiting: dict[str, Run] = {}
    later: deque[tuple[float, Run]] = deque()  # when to look again at a run that somebody else does, or stopped
    for run in runs:
        submit(run)
    while waiting or later:
        for future in queue.next_batch(block=not later):
            run = waiting.pop(future.key)
            told = _told(future, run)
            if told["status"] in ("busy", "stopped"):
                later.append((time.monotonic() + PATIENCE, run))
            else:
                yield told
        while later and later[0][0] <= time.monotonic():
            submit(later.popleft()[1])
        if later:
            time.sleep(TICK)


def _told(future, run: Run) -> dict:
    """The outcome, also where no process was left to tell it."""
    error = future.exception()
    if error is None:
        return future.result()
    what = (
        "its worker died three times" if type(error).__name__ == "KilledWorker" else f"{type(error).__name__}: {error}"
    )
    return run.to_dict() | {"status": "failed", "error": what, "results": {}, "seconds": 0.0}


def _check_workers(client, folder: Path) -> None:
    """Workers must see the folder and run this very code; else every run would fail, one by one."""
    for address, seen in client.run(worker.can_see, str(folder.resolve())).items():
        if not seen:
            raise UserError(
                f"Worker {address} does not see {folder}: all workers need the same folder at the same path."
            )
    ours = source_key()
    for address, theirs in client.run(source_key).items():
        if theirs != ours:
            raise UserError(f"Worker {address} runs another version of covidseg: install the same one, start it again.")
