"""``covidseg slides``."""

from pathlib import Path
from typing import Annotated

import typer

from covidseg.text import say


def register(app: typer.Typer) -> None:
    app.command("slides")(slides)


def slides(
    names: Annotated[list[str], typer.Argument(help="Names or numbers, such as 10 or 10_ct_data.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the slides.")] = Path("slides"),
) -> None:
    """Write notebooks as slides, one HTML file each that needs no internet: arrow keys turn them, printing makes a PDF.

    They show the outputs as the notebook was last run; code is folded, exercises and solutions are left out.

    \b
    Example:
      covidseg slides 10_ct_data 11_metrics -o slides
    """
    from covidseg.lessons.slides import write_slides

    for path in write_slides(names, output):
        say(f"Wrote {path}.")
