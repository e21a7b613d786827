"""What runs inside a worker of the cluster: start ``work`` for one run, on this worker's GPU, and wait.

Everything here is called by name from another process, maybe on another machine, so it takes and returns plain values.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

_running: dict[subprocess.Popen, str] = {}  # the process of each run, and its batch: a worker may serve several


def run_on_worker(run: dict, folder: str, timeout: float, batch: str = "") -> dict:
    """Do one run in a process of its own. Returns what `work.do` returned; a process that died is a failure.

    batch : what `stop_running` will call the batch that this run belongs to
    """
    if not can_see(folder):
        return _failure(run, f"this worker does not see the folder {folder}; workers need the same file system")
    process = subprocess.Popen(
        [sys.executable, "-m", "covidseg.runs.work"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | gpu_of_worker(), start_new_session=True,
    )  # fmt: skip
    _running[process] = batch
    try:
        job = {"run": run, "folder": folder, "timeout": timeout}
        out, complaint = process.communicate(json.dumps(job))
    finally:
        del _running[process]
    try:
        return json.loads(out.splitlines()[-1])
    except (IndexError, ValueError):
        last = (complaint.strip().splitlines() or [""])[-1]
        return _failure(run, f"its process ended with status {process.returncode}. {last}".strip())


def _failure(run: dict, error: str) -> dict:
    return run | {"status": "failed", "error": error, "results": {}, "seconds": 0.0}


def stop_running(batch: str = "") -> int:
    """Ask this worker's runs of one batch to end; each leaves its folder for the next attempt. Returns how many."""
    ours = [process for process, its in _running.copy().items() if its == batch]
    for process in ours:
        process.terminate()
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
