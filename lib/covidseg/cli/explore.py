"""``covidseg explore``: the explorer as one page that opens in any browser."""

from pathlib import Path
from typing import Annotated

import typer

from covidseg.text import say

Html = Annotated[Path, typer.Option("--html", help="page to write")]
Slices = Annotated[int, typer.Option(min=1, max=24, help="slices of the phantom")]
Weights = Annotated[list[str] | None, typer.Option(help="more trained weights to show: a name, a file or a run folder")]
Force = Annotated[bool, typer.Option("--force", help="replace a page that exists")]


def register(app: typer.Typer) -> None:
    app.command("explore")(explore)


def explore(html: Html, slices: Slices = 6, weights: Weights = None, force: Force = False) -> None:
    """Write the explorer as one HTML page: slices, networks and their inner maps, and a network that runs in it.

    The page opens from disk and asks the net for nothing. In it a small network, trained on phantoms, runs live: on the
    page's slices, on what you paint into them, and on a picture or NIfTI scan of your own, which stays in your browser.

    \b
    Example: covidseg explore --html explorer.html
             covidseg explore --html explorer.html --slices 3 --weights runs/mine
    """
    from covidseg.errors import UserError
    from covidseg.explore import write_page

    if html.exists() and not force:
        raise UserError(f"{html} exists: give another name, or --force to replace it.")
    page = write_page(html, slices, weights or [])
    say(f"{page}: {page.stat().st_size / 1e6:.1f} MB. Open it in a browser; it needs no internet.")
