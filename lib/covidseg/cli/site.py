"""``covidseg site``."""

from pathlib import Path
from typing import Annotated

import typer

from covidseg.text import say


def register(app: typer.Typer) -> None:
    app.command("site")(site)


def site(
    only: Annotated[
        list[str] | None, typer.Argument(help="Notebooks, networks and modules of a smaller book; all by default.")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the pages.")] = Path("site"),
    explorer: Annotated[
        bool,
        typer.Option(
            "--explorer/--no-explorer", help="With the explorer's page, 6 MB, made by running small networks."
        ),
    ] = True,
) -> None:
    """Write the kit as a book of static pages: notebooks as they were last run, cards, tables, reference, search.

    No notebook is executed and nothing fetched: the folder can be opened from a disk, or put on any web server.

    \b
    Example:
      covidseg site -o site
    """
    from covidseg.site.build import build

    pages = build(output, only or None, explorer=explorer)
    say(f"{len(pages)} pages. Open {output / 'index.html'}.")
