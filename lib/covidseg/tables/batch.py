"""What ``covidseg batch`` knows of tables and costs: the runs that fill a table, and what a batch would take."""

from pathlib import Path

from covidseg.data.datasets import SYNTHETIC
from covidseg.errors import UserError
from covidseg.lessons import schema
from covidseg.runs import work
from covidseg.runs.costs import Cost, estimate, in_time, total
from covidseg.runs.plan import TRAIN_ONE, Run, plan, plan_file
from covidseg.tables import find_all_records, list_tables, load_table

GRIDS = (".yaml", ".yml", ".json")
TABLE_BUDGET = dict.fromkeys(SYNTHETIC, "lesson")  # unless the command line says otherwise; else "paper"


def planned(what: str, assignments: list[str], notebook: str | None = None, plain: bool = False) -> list[Run]:
    """The runs of a grid file or of a paper's table. Raises UserError for anything wrong in them."""
    shared = schema.parse_assignments(assignments)
    if what.endswith(GRIDS) or Path(what).is_file():
        return plan_file(Path(what), shared, notebook, plain)
    if "/" not in what and what not in list_tables():
        kinds = ", ".join(GRIDS)
        raise UserError(f"{what!r} is neither a grid file ({kinds}) nor a table. Tables: {', '.join(list_tables())}.")
    table = load_table(what)
    data = shared.get("dataset", table.data)
    ranges = {f"{name}s": (shared[name],) for name in ("fold", "seed") if name in shared}
    runs = table.runs(data, budget=shared.get("budget", TABLE_BUDGET.get(data, "paper")), **ranges)
    if not runs:
        raise UserError(f"{what} shows the paper's numbers alone: no run of {TRAIN_ONE} fills it.")
    return plan(notebook or TRAIN_ONE, runs, shared, plain)


def costs_of(runs: list[Run], records: list[dict]) -> list[Cost]:
    """What each run would cost; only trainings can be foretold."""
    known = [not run.notebook or Path(run.notebook).stem == TRAIN_ONE for run in runs]
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
