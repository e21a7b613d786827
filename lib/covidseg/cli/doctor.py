"""``covidseg doctor``."""

from typing import Annotated

import typer

from covidseg.text import say


def register(app: typer.Typer) -> None:
    app.command("doctor")(doctor)


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of lines.")] = False) -> None:
    """Say for every item the kit needs whether it is there, and the way out where it is not.

    Exits with 1 if anything FAILs; what is OPTIONAL-missing does no harm.

    \b
    Example:
      covidseg doctor
    """
    from covidseg.lessons import doctor as diagnosis

    items = []
    for item in diagnosis.examine():
        items.append(item)
        if not as_json:
            say(diagnosis.as_text(item))
    if as_json:
        say(diagnosis.as_json(items))
    if not diagnosis.ready(items):
        raise typer.Exit(1)
