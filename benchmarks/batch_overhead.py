"""What does a batch cost beyond the notebooks' own work, and what do two workers gain?

    python benchmarks/batch_overhead.py [--save]

Two numbers, on this machine as it is now (the load before it began is printed too; on a busy machine both are worse):
seconds per notebook that are not its own work, from notebooks that do nothing; and how much faster two workers do
eight smoke-sized runs of 40_train_one than one worker does, one thread each. Aims: at most 4 s, at least 1.8.
"""

import argparse
import os
import sys
import tempfile
import time
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

from _history import option, save

os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "COVIDSEG_QUIET": "1"}

IDLE = 5  # notebooks that do nothing
RUNS = 8  # of 40_train_one
SMOKE = {"variant": "MiniSeg", "budget": "smoke"}


def seconds_of(runs: list, workers: int) -> float:
    """Wall time of a batch in an empty folder. Stops the benchmark if a run fails: its time would mean nothing."""
    from covidseg.runs import command

    with tempfile.TemporaryDirectory() as folder, redirect_stdout(StringIO()) as text:
        begin = time.perf_counter()
        outcomes = command.run(runs, Path(folder), workers=workers)
        spent = time.perf_counter() - begin
    if any(outcome["status"] != "done" for outcome in outcomes):
        sys.exit(f"a run failed:\n{text.getvalue()}")
    return spent


def idle_notebook(folder: str) -> Path:
    """Parameters, and nothing to do."""
    from nbformat.v4 import new_code_cell, new_notebook

    from covidseg.lessons import write

    cell = new_code_cell("number = 0  # int", metadata={"tags": ["parameters"]})
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    path = Path(folder) / "90_idle.ipynb"
    write(new_notebook(cells=[cell], metadata={"kernelspec": kernel}), path)
    return path


def overhead() -> float:
    """Seconds per idle notebook: what five more cost than one, so that starting the cluster is not counted."""
    from covidseg.runs.plan import plan

    with tempfile.TemporaryDirectory() as folder:
        runs = plan(str(idle_notebook(folder)), [{"number": n} for n in range(IDLE + 1)])
        return (seconds_of(runs, 1) - seconds_of(runs[:1], 1)) / IDLE


def gain() -> tuple[float, float]:
    """Seconds of eight smoke runs with one worker and with two."""
    from covidseg.runs.plan import plan

    runs = plan("40_train_one", [SMOKE | {"seed": seed} for seed in range(RUNS)])
    return seconds_of(runs, 1), seconds_of(runs, 2)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    option(parser)
    options = parser.parse_args()
    print(f"{os.cpu_count()} CPUs, load before: {os.getloadavg()[0]:.1f}", flush=True)
    idle = overhead()
    print(f"overhead per notebook: {idle:.2f} s (aim: at most 4)", flush=True)
    one, two = gain()
    print(f"{RUNS} smoke runs: {one:.1f} s with 1 worker, {two:.1f} s with 2: {one / two:.2f} x (aim: at least 1.8)")
    seconds = {"seconds per notebook beyond its own work": idle}
    limits = dict.fromkeys(seconds, 4)
    save(options, "batch, two workers", one / two, reference="one worker", asked=1.8, numbers=seconds, limits=limits)
