"""``covidseg batch``: many runs of a notebook, over processes and machines."""

from pathlib import Path
from typing import Annotated

import typer

from covidseg.cli._examples import FIRST, with_examples
from covidseg.text import say


def register(app: typer.Typer) -> None:
    app.command("batch")(with_examples(batch))


def batch(
    what: Annotated[
        str, typer.Argument(metavar="GRID|TABLE", help=f"A grid (.yaml, .json), or a table such as {FIRST}/table2.")
    ],
    parameter: Annotated[
        list[str] | None,
        typer.Option("--parameter", "-p", metavar="NAME=VALUE", help="Set it in every run; repeatable."),
    ] = None,
    workers: Annotated[int, typer.Option("--workers", "-w", min=1, help="Runs at a time on this machine.")] = 1,
    scheduler: Annotated[
        str | None, typer.Option(metavar="tcp://HOST:PORT", help="Use the workers of this dask scheduler instead.")
    ] = None,
    notebook: Annotated[str | None, typer.Option(help="Run this notebook instead of 40_train_one.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder of the runs; runs/batch by default.")
    ] = None,
    plain: Annotated[
        bool,
        typer.Option("--plain", help="Train without notebooks or Jupyter, in processes that share a GPU."),
    ] = False,
    minutes: Annotated[
        float | None, typer.Option(min=0, help="Save and stop after so long; the next call goes on.")
    ] = None,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds that one run may take.")] = 86400,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list the runs and what they would cost.")] = False,
) -> None:
    """Run a notebook over a grid of parameters, or all runs of a paper's table, each in a process of its own.

    Everything is checked before the first run starts. A finished run is never done again while its parameters, the
    notebook's code and covidseg's numeric code stay the same, so call the same line again after a failure, Ctrl-C or
    a power cut: it does what is missing. Several batches may share a folder. A table's runs are of the paper budget
    on its own data; `-p dataset=phantom` makes them lesson-sized runs on phantoms. With CUDA, worker n uses GPU n.

    A grid is a mapping, or a list of them: notebook, parameters (of every run), grid (every combination), runs (and
    these). With --plain the steps of 40_train_one are done without it: `python -m covidseg.runs GRID.json` does the
    same on a machine that has torch alone.

    With --scheduler every worker must see the output folder at the same path and run the same covidseg.

    \b
    Example:
      covidseg batch PAPER/table2 -p dataset=phantom --workers 2 --dry-run
      covidseg batch grid.yaml --workers 4 -p device=cuda
      covidseg batch results/pending.json --plain --workers 5 --minutes 9 -o runs/gpu
      covidseg batch PAPER/table4 --scheduler tcp://10.0.0.5:8786 -o /shared/runs
    """
    from covidseg.runs import command
    from covidseg.tables.batch import dry_run as listed
    from covidseg.tables.batch import planned

    runs = planned(what, parameter or [], notebook, plain)
    folder = output or command.default_folder()
    if dry_run:
        say(listed(runs, folder, workers))
        return
    limits = {"workers": workers, "timeout": timeout, "minutes": minutes}
    outcomes = command.run(runs, folder, scheduler=scheduler, **limits, title=f"Batch of {what}")
    if not command.all_good(runs, outcomes):
        raise typer.Exit(1)
