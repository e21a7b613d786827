"""What ``covidseg batch`` and ``python -m covidseg.runs`` do: they print, and return what they did."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from covidseg.checkout import checkout
from covidseg.errors import UserError
from covidseg.files import make_folder
from covidseg.progress import headless, progress
from covidseg.runs import cluster, pool, summary, work
from covidseg.runs.plan import Run
from covidseg.text import say

SUMMARY_EVERY = 5.0  # seconds: a batch that is killed leaves a summary not older than this


def default_folder() -> Path:
    """``runs/batch``: one folder for all batches, so that a run which two tables share is done once."""
    return checkout() / "runs" / "batch"


def run(
    runs: list[Run],
    folder: Path,
    *,
    workers: int = 1,
    scheduler: str | None = None,
    timeout: float = 86400.0,
    minutes: float | None = None,
    title: str = "Batch",
) -> list[dict]:
    """Do the runs, show how it goes, write the summary. Returns the outcomes in the order of ``runs``.

    Runs that are done are skipped; one that fails stops no other. Ctrl-C ends what is running and leaves the folder
    such that the same call goes on where it stopped; ``minutes`` does so by itself, and there is no outcome of the
    rest. Raises UserError for less than one worker, and for a folder that is somebody else's.
    """
    if workers < 1:
        raise UserError(f"workers={workers}: give 1 or more.")
    until = time.monotonic() + 60 * minutes if minutes is not None else float("inf")
    make_folder(folder)
    summary.refuse_foreign(folder)
    done = {r.key: found | {"status": "had"} for r in runs if (found := work.finished(folder, r.to_dict()))}
    missing = [r for r in runs if r.key not in done]
    work.sweep(folder, [r.name for r in runs if r.key in done])
    summary.write_summary(list(done.values()), folder, title)
    try:
        if missing:
            with _engine(missing, folder, timeout, min(workers, len(missing)), scheduler) as submit:
                _follow(pool.outcomes(submit, missing, until), done, len(runs), folder, title)
    finally:  # Ctrl-C, perhaps
        outcomes = [done[run.key] for run in runs if run.key in done]
        report = summary.write_summary(outcomes, folder, title)
        if left := [run.name for run in runs if run.key not in done]:
            say(f"Stopped with {len(outcomes)} of {len(runs)} runs done; the same call does the rest.")
            say(f"Missing: {', '.join(left)}.")
    if not left:
        say(f"{summary.verdict(outcomes)} See {_nearby(report)} and summary.csv beside it.")
    return outcomes


def all_good(runs: list[Run], outcomes: list[dict]) -> bool:
    return len(outcomes) == len(runs) and all(outcome["status"] in summary.GOOD for outcome in outcomes)


@contextmanager
def _engine(
    runs: list[Run], folder: Path, timeout: float, workers: int, scheduler: str | None
) -> Iterator[pool.Submit]:
    """Where the runs are done: notebooks and other machines' runs under dask, plain ones in processes of ours."""
    if scheduler or any(run.notebook for run in runs):
        with (
            cluster.connect(workers, scheduler) as client,
            cluster.workers(client, runs, folder, timeout) as submit,
        ):
            yield submit
    else:
        with pool.processes(folder, timeout, workers) as submit:
            yield submit


def _follow(coming: Iterable[dict], done: dict, many: int, folder: Path, title: str) -> None:
    """Take the outcomes as they come: a bar for a person, a line each for a log, the summary now and then."""
    begin, written, first = time.monotonic(), time.monotonic(), len(done)
    for outcome in progress(coming, "batch", total=many - first):
        done[outcome["key"]] = outcome
        if headless() or outcome["status"] not in summary.GOOD:
            left = (time.monotonic() - begin) / (len(done) - first) * (many - len(done))
            say(summary.line(outcome, len(done), many, left))
        if time.monotonic() - written > SUMMARY_EVERY:
            summary.write_summary(list(done.values()), folder, title)
            written = time.monotonic()


def _nearby(path: Path) -> Path:
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
