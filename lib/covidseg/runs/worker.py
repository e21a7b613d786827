"""Start ``work`` for one run and wait: in a process of the pool, or in a worker of a cluster, on its GPU.

What a worker does is called by name from another machine, maybe, so it takes and returns plain values.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from covidseg.repeatable import THREAD_VARIABLES

_running: dict[subprocess.Popen, str] = {}  # the process of each run, and its batch: a worker may serve several
_stopped: set[str] = set()  # batches: a run of theirs may be about to start


def run_child(
    run: dict,
    folder: str,
    timeout: float,
    wait: float = 0.0,
    batch: str = "",
    environment: dict[str, str] | None = None,
) -> dict:
    """Do one run in a process of its own. Returns what `work.do` returned; a process that died is a failure.

    batch : what `stop_running` will call the batch that this run belongs to
    """
    threads = {} if run["notebook"] else dict.fromkeys(THREAD_VARIABLES, "1")  # several trainings share the machine
    process = subprocess.Popen(
        [sys.executable, "-m", "covidseg.runs.work"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8",
        env=os.environ | {"COVIDSEG_QUIET": "1"} | threads | (environment or {}),
        start_new_session=True,  # Ctrl-C in the terminal reaches the batch alone, which passes it on once
    )  # fmt: skip
    _running[process] = batch
    if batch in _stopped:
        process.terminate()
    try:
        job = {"run": run, "folder": folder, "timeout": timeout, "wait": wait, "parent": os.getpid()}
        out, complaint = process.communicate(json.dumps(job))
    finally:
        del _running[process]
    try:
        return json.loads(out.splitlines()[-1])
    except (IndexError, ValueError):
        last = (complaint.strip().splitlines() or [""])[-1]
        return failure(run, f"its process ended with status {process.returncode}. {last}".strip())


def run_on_worker(run: dict, folder: str, timeout: float, wait: float = 0.0, batch: str = "") -> dict:
    """`run_child` as a task of dask."""
    if not can_see(folder):
        return failure(run, f"this worker does not see the folder {folder}; workers need the same file system")
    return run_child(run, folder, timeout, wait, batch, gpu_of_worker())


def failure(run: dict, error: str) -> dict:
    return run | {"status": "failed", "error": error, "results": {}, "seconds": 0.0}


def stop_running(batch: str = "", grace: float = 0.0) -> int:
    """Ask the runs of one batch here to end; each leaves its folder for the next attempt. Returns how many.

    grace : seconds that they have to save themselves before they are killed; 0 leaves them all the time they take
    """
    _stopped.add(batch)
    ours = [process for process, owner in _running.copy().items() if owner == batch]
    for process in ours:
        process.terminate()
    end = time.monotonic() + grace
    try:
        for process in ours if grace else []:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, end - time.monotonic()))
    finally:  # also after a second Ctrl-C, which waits for nobody
        for process in ours if grace else []:
            process.kill()  # nothing happens to one that has ended
    return len(ours)


def can_see(folder: str) -> bool:
    """Does this machine see the batch's folder? An empty folder of the same name is not it: the list of runs is in."""
    return Path(folder, "runs.json").is_file()


# ------------------------------------------------------------------------------------------------------- GPUs


def gpu_of_worker() -> dict[str, str]:
    """CUDA_VISIBLE_DEVICES for the run: worker number n of a local cluster gets GPU n, round and round.

    Workers started by hand bear no number: whoever starts them sets the variable, and it is left alone.
    """
    from distributed import get_worker

    try:
        slot = get_worker().name
    except ValueError:  # not inside a worker
        return {}
    return pinned(slot, visible_gpus()) if isinstance(slot, int) else {}


def pinned(slot: int, gpus: list[str]) -> dict[str, str]:
    """
    >>> pinned(3, ["0", "1"])
    {'CUDA_VISIBLE_DEVICES': '1'}
    """
    return {"CUDA_VISIBLE_DEVICES": gpus[slot % len(gpus)]} if gpus else {}


def visible_gpus() -> list[str]:
    """GPUs of this machine that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    if "CUDA_VISIBLE_DEVICES" in os.environ:
        return [name.strip() for name in os.environ["CUDA_VISIBLE_DEVICES"].split(",") if name.strip()]
    if not shutil.which("nvidia-smi"):
        return []
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)
    return [str(n) for n, line in enumerate(listed.stdout.splitlines()) if line.startswith("GPU ")]
