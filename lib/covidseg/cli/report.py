"""``covidseg report``: a paper's table beside our runs."""

from pathlib import Path
from typing import Annotated

import typer

from covidseg.cli._examples import FIRST, with_examples
from covidseg.text import say


def register(app: typer.Typer) -> None:
    app.command("report")(with_examples(report))


def report(
    table: Annotated[str | None, typer.Argument(help=f"A table such as {FIRST}/table2; none lists them.")] = None,
    records: Annotated[
        Path | None, typer.Option(help="Take the run records in this folder only; by default results/ and runs/.")
    ] = None,
    data: Annotated[str | None, typer.Option(help="Runs on this data set, such as ct100 or phantom.")] = None,
    budget: Annotated[str | None, typer.Option(help="smoke, lesson or paper; the largest there is by default.")] = None,
    selection: Annotated[str | None, typer.Option(help="best or last epoch; the paper's own rule by default.")] = None,
    parameter: Annotated[
        list[str] | None,
        typer.Option("--parameter", "-p", metavar="NAME=VALUE", help="Of runs that changed it, such as recipe=short."),
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, one line per row and metric.")] = False,
    missing: Annotated[
        bool, typer.Option("--missing", help="Say of every table, or of this one, which rows have no run, and why.")
    ] = False,
    write: Annotated[bool, typer.Option("--write", help="Rewrite the committed tables from results/ instead.")] = False,
    adopt: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Copy a batch's run records into results/, to be committed.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="As --write, but change nothing: exit 1 if one is old.")
    ] = False,
) -> None:
    """Print a paper's table: paper, ours, difference, data, number of runs, spread, and what is missing at what cost.

    \b
    Example:
      covidseg report PAPER/table2
      covidseg report PAPER/table6-ct100 -p recipe=short
      covidseg report PAPER/table4 --data phantom --selection last --csv
      covidseg report --missing
    """
    from covidseg import tables
    from covidseg.lessons.schema import parse_assignments
    from covidseg.tables import command
    from covidseg.tables.compare import read_changed

    if adopt is not None:
        command.adopt(adopt)
    elif write or check:
        if not command.rewrite(check):
            raise typer.Exit(1)
    elif missing:
        say("\n".join(command.missing(table, records)))
    elif table is None:
        for name in tables.list_tables():
            say(f"{name:<30}{tables.load_table(name).title}")
    else:
        changed = read_changed(parse_assignments(parameter or []))
        say(command.report(table, records, data, budget, selection, as_csv, changed).rstrip("\n"))
