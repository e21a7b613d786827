"""``covidseg notebooks``: run, refresh, table, copy."""

from pathlib import Path
from typing import Annotated

import typer

Names = Annotated[list[str] | None, typer.Argument(help="Names or numbers, such as 10 or 10_ct_data; all by default.")]
Timeout = Annotated[float, typer.Option(min=1, help="Seconds that one notebook may take.")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    group.command("run")(run)
    group.command("refresh")(refresh)
    group.command("table")(table)
    group.command("copy")(copy)
    app.add_typer(group, name="notebooks", help="Run the notebooks without a browser; refresh their outputs.")


def run(
    names: Names = None,
    budget: Annotated[str, typer.Option(help="smoke, lesson or paper.")] = "smoke",
    parameter: Annotated[
        list[str] | None, typer.Option("--parameter", "-p", metavar="NAME=VALUE", help="Set a parameter; repeatable.")
    ] = None,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="Notebooks at a time.")] = 1,
    timeout: Timeout = 1800,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder; runs/TIME by default.")] = None,
) -> None:
    """Execute notebooks, each in a fresh process; end with a table and a page of links.

    A wrong parameter is refused before anything starts. A notebook that fails stops no other; the exit
    status is then 1.

    \b
    Example:
      covidseg notebooks run --budget smoke --jobs 2
      covidseg notebooks run 10_ct_data -p seed=3 -p device=cuda
    """
    from covidseg.lessons import command

    outcomes = command.run(names or [], budget, parameter or [], jobs=jobs, timeout=timeout, output=output)
    if any(outcome.status != "done" for outcome in outcomes):
        raise typer.Exit(1)


def refresh(names: Names = None, timeout: Timeout = 1800) -> None:
    """Execute notebooks in the lesson budget, in place; strip run metadata; check the house rules.

    \b
    Example:
      covidseg notebooks refresh 10_ct_data
    """
    from covidseg.lessons import command

    if not command.refresh(names or [], timeout=timeout):
        raise typer.Exit(1)


def table(
    check: Annotated[bool, typer.Option("--check", help="Change nothing; exit 1 if one is out of date.")] = False,
) -> None:
    """Write the README's table of notebooks, and the links at the end of each, from the notebooks' own metadata.

    \b
    Example:
      covidseg notebooks table --check
    """
    from covidseg.lessons import command

    if not command.table(check):
        raise typer.Exit(1)


def copy(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of your copies.")] = Path("mine"),
) -> None:
    """Copy the notebooks into a folder of your own, so that the kit's stay as they are. Yours are never overwritten.

    \b
    Example:
      covidseg notebooks copy -o mine
    """
    from covidseg.lessons import command

    command.copy(output)
