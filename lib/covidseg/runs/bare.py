"""Runs without notebooks, for a machine with torch, numpy and scipy and nothing else: a lent GPU above all.

    PYTHONPATH=lib python -m covidseg.runs.bare results/pending.json -o runs/gpu --workers 5 --minutes 9

Each run does what ``40_train_one`` does and leaves the same record; several share one GPU, for a small network alone
cannot fill it. What is done is skipped and what was cut short goes on from its checkpoint, so call it again.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from time import monotonic, perf_counter, sleep

from covidseg.errors import UserError
from covidseg.files import make_folder
from covidseg.repeatable import THREAD_VARIABLES, set_seed, set_threads
from covidseg.runs.bare_grid import DEVICES, name_of, read_runs, trial_of
from covidseg.runs.record import SELECTIONS, load_record, save_record, score

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

GRACE = 20.0  # seconds that a run has to save itself when time is up

# While a child still imports torch it has nothing to save: then Ctrl-C ends it without a word.
CHILD = """
import os, signal, sys
parent = os.getppid()
signal.signal(signal.SIGINT, signal.SIG_DFL)
from covidseg.runs import bare
bare.end_with(parent)
bare.work(*sys.argv[1:])
"""
ONE_THREAD = dict.fromkeys(THREAD_VARIABLES, "1")


def done(folder: Path) -> bool:
    """Whether the folder holds a whole record; half of one is none."""
    try:
        load_record(folder / "result.json")
    except UserError:
        return False
    return True


def missing(runs: list[dict], folder: Path) -> list[str]:
    return [name for name in map(name_of, runs) if not done(folder / name)]


# ------------------------------------------------------------------------------- one run, in a process of its own


def do(run: dict, folder: Path) -> None:
    """Train, score under both choices of the epoch, and save ``result.json``; the steps of 40_train_one."""
    set_threads(1)  # as `covidseg.lesson.start` does for 40_train_one
    set_seed(run["seed"])
    todo = trial_of(run)
    network = todo.network()
    train_set, scored = todo.data()
    history = todo.learn(network, train_set, scored, device=run["device"], out=folder)
    begin = perf_counter()
    selections = {rule: todo.score(network, history, scored, rule) for rule in SELECTIONS}
    save_record(todo.record(network, history, train_set, scored, selections, begin), folder / "result.json")


def work(run: str, folder: str) -> None:
    """What a child does: ``run``, as JSON, unless another process is at it or has done it by now."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    folder = Path(folder)
    try:
        with alone_in(folder):
            if not done(folder):
                do(json.loads(run), folder)
    except UserError as error:
        print(f"{folder.name}: {error}", file=sys.stderr, flush=True)
    except KeyboardInterrupt:
        print(f"{folder.name}: stopped; its checkpoint is kept", flush=True)


def end_with(parent: int) -> None:
    """Stop as after Ctrl-C once the parent is gone, killed perhaps: nobody would stop this process in time."""

    def watch():
        while os.getppid() == parent:
            sleep(1)
        os.kill(os.getpid(), signal.SIGINT)

    Thread(target=watch, daemon=True).start()


@contextmanager
def alone_in(folder: Path):
    """Lock the folder for the block; the system frees the lock when this process ends, however it ends.

    Raises UserError if another process has it. Where the system or the disk knows no locks, it does without.
    """
    make_folder(folder)
    with (folder / "lock").open("w") as file:
        try:
            if fcntl:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError("another process is at it; it is left alone.") from None
        except OSError:
            pass
        yield


# ------------------------------------------------------------------------------------------------- all of them


def run_all(runs: list[dict], folder: Path, workers: int = 1, minutes: float | None = None) -> list[str]:
    """Do what is missing, ``workers`` runs at a time. Returns the names of the runs that are still missing.

    minutes : then every run is asked to save itself and to stop; nothing that was written is lost
    Raises UserError for less than one worker.
    """
    if workers < 1:
        raise UserError(f"workers={workers}: give 1 or more.")
    todo, going = {name_of(run): run for run in runs}, []
    waiting = missing(list(todo.values()), folder)
    end = monotonic() + 60 * minutes if minutes else float("inf")
    try:
        while (waiting or going) and monotonic() < end:
            while waiting and len(going) < workers:
                name = waiting.pop(0)
                going.append(_start(todo[name], folder / name))
            sleep(0.2)
            going = [process for process in going if process.poll() is None]
    finally:  # time is up, or Ctrl-C
        _stop(going)
    return missing(list(todo.values()), folder)


def _start(run: dict, folder: Path) -> subprocess.Popen:
    """A child in a session of its own: Ctrl-C in the terminal reaches this process alone, which passes it on once."""
    command = [sys.executable, "-c", CHILD, json.dumps(run), str(folder)]
    return subprocess.Popen(command, env=os.environ | ONE_THREAD | {"COVIDSEG_QUIET": "1"}, start_new_session=True)


def _stop(processes: list[subprocess.Popen]) -> None:
    """As Ctrl-C does: the training finishes its step and saves. A second Ctrl-C, here, waits for nobody."""
    alive = [process for process in processes if process.poll() is None]
    for process in alive:
        os.kill(process.pid, signal.SIGINT)
    end = monotonic() + GRACE
    try:
        for process in alive:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, end - monotonic()))
    finally:
        for process in alive:
            process.kill()  # nothing happens to one that has ended
            process.wait()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("grid", type=Path, help="JSON grid of runs")
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/gpu"), help="folder of the runs")
    parser.add_argument("-w", "--workers", type=int, default=1, help="runs at a time")
    parser.add_argument("--minutes", type=float, help="stop after so long")
    parser.add_argument("--device", choices=DEVICES, help="instead of the grid's")
    options = parser.parse_args(arguments)
    runs, stopped = [], False
    try:
        runs = read_runs(options.grid)
        runs = [run | ({"device": options.device} if options.device else {}) for run in runs]
        run_all(runs, options.output, options.workers, options.minutes)
    except UserError as error:
        print(f"covidseg: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        stopped = True
    left = _say(runs, options.output)
    if stopped:
        return 130  # what a shell expects after Ctrl-C
    return 1 if left else 0


def _say(runs: list[dict], folder: Path) -> list[str]:
    """A line for each run that is done, and one for the rest; returns the names of these."""
    left = missing(runs, folder)
    for name in map(name_of, runs):
        if name not in left:
            record = load_record(folder / name / "result.json")
            last, best = (_in_words(score(record, "dice", selection=rule)) for rule in ("last", "best"))
            print(f"{name}: Dice {last} (best epoch {best}), {record['cost']['seconds']:.0f} s")
    if left:
        print(f"{len(left)} of {len(runs)} runs are missing ({', '.join(left)}): call it again.")
    return left


def _in_words(dice: float | None) -> str:
    return "undefined" if dice is None else f"{dice:.3f}"


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # asked to end, it ends its runs as after Ctrl-C
    sys.exit(main())
