"""Hand the runs to the workers of a dask cluster, on this machine or several."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from covidseg.errors import UserError
from covidseg.runs import worker
from covidseg.runs.plan import Run
from covidseg.runs.pool import Submit
from covidseg.runs.record import write_json
from covidseg.runs.source import source_key

if TYPE_CHECKING:
    from distributed import Client

ADDRESS = re.compile(r"(tcp|tls|ucx)://.+:\d+|inproc://.+")
START = 60  # seconds to wait for a scheduler's first worker


@contextmanager
def workers(client: Client, runs: list[Run], folder: Path, timeout: float) -> Iterator[Submit]:
    """A function (run, wait) -> future. What still runs when the block ends is asked to end.

    A worker that dies is replaced and its run done by another, up to three times.
    """
    write_json(folder / "runs.json", {"runs": [run.to_dict() for run in runs]})
    _check_workers(client, folder)
    batch, place = uuid4().hex, str(folder.resolve())
    try:
        yield lambda run, wait: client.submit(
            worker.run_on_worker, run, place, timeout, wait, batch, pure=False, key=f"{run['name']}-{uuid4().hex}"
        )
    finally:
        with suppress(Exception):
            client.run(worker.stop_running, batch)


@contextmanager
def connect(workers: int = 1, scheduler: str | None = None) -> Iterator[Client]:
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
def _client_of(scheduler: str) -> Iterator[Client]:
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


def _check_workers(client: Client, folder: Path) -> None:
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
