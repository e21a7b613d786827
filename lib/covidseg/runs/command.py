"""What ``covidseg batch`` does, as functions: they print, and return what they did."""

import time
from pathlib import Path

from covidseg.errors import UserError
from covidseg.files import make_folder
from covidseg.lessons import notebook_folder, schema
from covidseg.progress import headless, progress
from covidseg.runs import cluster, summary, work
from covidseg.runs.costs import Cost, estimate, in_time, total
from covidseg.runs.plan import TRAIN_ONE, Run, plan, plan_file
from covidseg.tables import find_all_records, list_tables, load_table

SUMMARY_EVERY = 5.0  # seconds: a batch that is killed leaves a summary not older than this
TABLE_BUDGET = {"phantom": "lesson"}  # of a table's runs, unless the command line says otherwise; else "paper"


def planned(what: str, assignments: list[str], notebook: str | None = None) -> list[Run]:
    """The runs of a grid file or of a paper's table. Raises UserError for anything wrong in them."""
    shared = schema.parse_assignments(assignments)
    if what.endswith((".yaml", ".yml")) or Path(what).is_file():
        return plan_file(Path(what), shared, notebook)
    if "/" not in what and what not in list_tables():
        raise UserError(f"{what!r} is neither a grid file (.yaml) nor a table. Tables: {', '.join(list_tables())}.")
    table = load_table(what)
    data = shared.get("dataset", table.data)
    ranges = {f"{name}s": (shared[name],) for name in ("fold", "seed") if name in shared}
    runs = table.runs(data, budget=shared.get("budget", TABLE_BUDGET.get(data, "paper")), **ranges)
    if not runs:
        raise UserError(f"{what} shows the paper's numbers alone: no run of {TRAIN_ONE} fills it.")
    return plan(notebook or TRAIN_ONE, runs, shared)


def default_folder() -> Path:
    """``runs/batch``: one folder for all batches, so that a run which two tables share is done once."""
    return notebook_folder().parent / "runs" / "batch"


def costs_of(runs: list[Run], records: list[dict]) -> list[Cost]:
    """What each run would cost; only runs of 40_train_one can be foretold."""
    known = [run.notebook.stem == TRAIN_ONE for run in runs]
    return [
        estimate(run.parameters, records) if k else Cost(None, "unknown") for run, k in zip(runs, known, strict=True)
    ]


def dry_run(runs: list[Run], folder: Path, workers: int) -> str:
    """The list of runs, which are done already, and what the rest would cost."""
    open_runs = [run for run in runs if not work.finished(folder, run.to_dict())]
    costs = dict(zip((run.key for run in open_runs), costs_of(open_runs, find_all_records(folder)), strict=True))
    width = max(len(run.name) for run in runs)
    lines = [
        f"{run.name:<{width}}  "
        + (f"{in_time(costs[run.key].seconds)}, {costs[run.key].basis}" if run.key in costs else "done")
        for run in runs
    ]
    whole = total(list(costs.values()))
    together = in_time(None if whole.seconds is None else whole.seconds / min(workers, max(len(open_runs), 1)))
    many = f"{workers} worker{'' if workers == 1 else 's'}"
    return "\n".join(
        [*lines, "", f"{len(open_runs)} of {len(runs)} runs to do: {together} with {many} ({whole.basis})."]
    )


def run(runs: list[Run], folder: Path, *, workers=1, scheduler=None, timeout=86400.0, title="Batch") -> list[dict]:
    """Do the runs, show how it goes, write the summary. Returns the outcomes in the order of ``runs``.

    Runs that are done are skipped; one that fails stops no other. Ctrl-C ends what is running and leaves the folder
    such that the same call goes on where it stopped.
    """
    make_folder(folder)
    had = {r.key: told | {"status": "had"} for r in runs if (told := work.finished(folder, r.to_dict()))}
    work.sweep(folder, [r.name for r in runs if r.key in had])
    missing = [r for r in runs if r.key not in had]
    told = dict(had)
    report = summary.write_summary(list(told.values()), folder, title)
    if missing:
        try:
            with cluster.connect(min(workers, len(missing)), scheduler) as client:
                _follow(cluster.outcomes(client, missing, folder, timeout), told, len(runs), folder, title, workers)
        except KeyboardInterrupt:
            print(f"Stopped with {len(told)} of {len(runs)} runs done; the same call does the rest.", flush=True)
            raise
        finally:
            report = summary.write_summary(_in_order(runs, told), folder, title)
    outcomes = _in_order(runs, told)
    print(f"{summary.verdict(outcomes)} See {_nearby(report)} and summary.csv beside it.")
    return outcomes


def _follow(coming, told: dict, many: int, folder: Path, title: str, workers: int) -> None:
    """Take the outcomes as they come: a bar for a person, a line each for a log, the summary now and then."""
    begin, written, first = time.monotonic(), time.monotonic(), len(told)
    for outcome in progress(coming, "batch", total=many - first):
        told[outcome["key"]] = outcome
        if headless() or outcome["status"] not in summary.GOOD:
            left = (time.monotonic() - begin) / (len(told) - first) * (many - len(told))
            print(summary.line(outcome, len(told), many, left), flush=True)
        if time.monotonic() - written > SUMMARY_EVERY:
            summary.write_summary(list(told.values()), folder, title)
            written = time.monotonic()


def _in_order(runs: list[Run], told: dict) -> list[dict]:
    return [told[run.key] for run in runs if run.key in told]


def _nearby(path: Path) -> Path:
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
