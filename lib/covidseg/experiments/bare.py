"""Runs without notebooks, for a machine with torch, numpy and scipy and nothing else: a lent GPU above all.

    PYTHONPATH=lib python -m covidseg.experiments.bare results/pending.json -o runs/gpu --workers 5 --minutes 9

Each run does what ``40_train_one`` does and leaves the same record; several share one GPU, for a small network alone
cannot fill it. What is done is skipped and what was cut short goes on from its checkpoint, so call it again.
"""

import argparse
import json
import multiprocessing
import os
import signal
import sys
from itertools import product
from pathlib import Path
from time import monotonic, perf_counter, sleep

from covidseg.errors import UserError
from covidseg.experiments.one import trial
from covidseg.results import SELECTIONS, save_record, score

DEFAULTS = {
    "model": "miniseg", "variant": "", "dataset": "phantom", "fold": 1, "seed": 0, "budget": "lesson",
    "recipe": "", "epochs": None, "size": None, "device": "auto",
}  # fmt: skip
GRACE = 20.0  # seconds that a run has to save itself when time is up


def read_runs(path: Path) -> list[dict]:
    """The runs of a JSON grid: a list of blocks with ``parameters`` and ``grid``, as `covidseg batch` takes them.

    Every run is checked before the first one starts. Raises UserError with the file and what is wrong in it.
    """
    try:
        blocks = json.loads(Path(path).read_text(encoding="utf-8"))
        runs = [DEFAULTS | run for block in blocks for run in combinations(block)]
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}).") from None
    except (ValueError, AttributeError, TypeError) as error:
        raise UserError(f"{path} is no JSON list of grids: {error}.") from None
    for run in runs:
        try:
            trial_of(run)
        except TypeError as error:
            raise UserError(f"{path}: {error}.") from None
    return runs


def combinations(block: dict) -> list[dict]:
    """Every combination of ``grid`` over the common ``parameters``."""
    grid = block.get("grid", {})
    chosen = [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]
    return [block.get("parameters", {}) | values for values in chosen]


def trial_of(run: dict):
    return trial(**{name: value for name, value in run.items() if name != "device"})


def name_of(run: dict) -> str:
    """Folder of the run: what departs from the defaults, in words."""
    told = {n: v for n, v in run.items() if v not in ("", None) and n != "device"}
    words = [f"{n}{v}" if isinstance(v, int) else str(v) for n, v in told.items()]
    return "-".join("".join(c if c.isalnum() or c in "+=." else "_" for c in word) for word in words)


def do(run: dict, folder: Path) -> None:
    """Train, score under both choices of the epoch, and save ``result.json``; the steps of 40_train_one."""
    todo = trial_of(run)
    network = todo.network()
    train_set, scored = todo.data()
    history = todo.learn(network, train_set, scored, device=run["device"], out=folder)
    begin = perf_counter()
    selections = {rule: todo.score(network, history, scored, rule) for rule in SELECTIONS}
    save_record(todo.record(network, history, train_set, scored, selections, begin), folder / "result.json")


def run_all(runs: list[dict], folder: Path, workers: int = 1, minutes: float | None = None) -> list[str]:
    """Do what is missing, ``workers`` runs at a time. Returns the names of the runs that are still missing.

    minutes : then every run is asked to save itself and to stop; nothing that was written is lost
    """
    waiting = [run for run in runs if not (folder / name_of(run) / "result.json").is_file()]
    end = monotonic() + 60 * minutes if minutes else float("inf")
    spawn, going = multiprocessing.get_context("spawn"), {}
    try:
        while (waiting or going) and monotonic() < end:
            while waiting and len(going) < workers:
                run = waiting.pop(0)
                process = spawn.Process(target=_child, args=(run, folder / name_of(run)))
                process.start()
                going[name_of(run)] = process
            sleep(0.2)
            going = {name: process for name, process in going.items() if process.is_alive()}
    finally:  # time is up, or Ctrl-C
        _stop(list(going.values()))
    return [name_of(run) for run in runs if not (folder / name_of(run) / "result.json").is_file()]


def _child(run: dict, folder: Path) -> None:
    os.environ["COVIDSEG_QUIET"] = "1"
    try:
        do(run, folder)
    except UserError as error:
        print(f"{folder.name}: {error}", file=sys.stderr, flush=True)
    except KeyboardInterrupt:
        print(f"{folder.name}: stopped; its checkpoint is kept", flush=True)


def _stop(processes) -> None:
    """As Ctrl-C does: the training finishes its step and saves."""
    for process in processes:
        os.kill(process.pid, signal.SIGINT)
    end = monotonic() + GRACE
    for process in processes:
        process.join(max(0.0, end - monotonic()))
        if process.is_alive():
            process.kill()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("grid", type=Path, help="JSON grid of runs")
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/gpu"), help="folder of the runs")
    parser.add_argument("-w", "--workers", type=int, default=1, help="runs at a time")
    parser.add_argument("--minutes", type=float, help="stop after so long")
    parser.add_argument("--device", help="instead of the grid's")
    options = parser.parse_args(arguments)
    try:
        runs = read_runs(options.grid)
    except UserError as error:
        print(f"covidseg: {error}", file=sys.stderr)
        return 1
    runs = [run | ({"device": options.device} if options.device else {}) for run in runs]
    missing = run_all(runs, options.output, options.workers, options.minutes)
    for run in runs:
        if name_of(run) not in missing:
            _say(options.output / name_of(run))
    if missing:
        print(f"{len(missing)} of {len(runs)} runs are missing ({', '.join(missing)}): call it again.")
    return 1 if missing else 0


def _say(folder: Path) -> None:
    record = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    dice = {rule: score(record, "dice", selection=rule) for rule in SELECTIONS}
    print(f"{folder.name}: Dice {dice['last']:.3f} (best epoch {dice['best']:.3f}), {record['cost']['seconds']:.0f} s")


if __name__ == "__main__":
    sys.exit(main())
