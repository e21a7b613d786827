"""``covidseg models``."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from covidseg.text import say

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def register(app: typer.Typer) -> None:
    app.command("models")(models)


def models(
    pattern: Annotated[str, typer.Argument(help="Shell pattern, such as 'efficient*'.")] = "*",
    as_json: AsJson = False,
) -> None:
    """List the networks with their papers and parameter counts.

    \b
    Example:
      covidseg models 'mobile*'
      covidseg models --json
    """
    from covidseg.errors import UserError
    from covidseg.nn import card, list_models

    cards = [card(name) for name in list_models(pattern)]
    if not cards:
        raise UserError(f"No model matches {pattern!r}. `covidseg models` lists them all.")
    if as_json:
        say(json.dumps([asdict(c) for c in cards], indent=2))
        return
    width = max(len(c.name) for c in cards)
    say(f"{'model':<{width}}   parameters  dim  paper")
    for c in cards:
        say(f"{c.name:<{width}} {c.params:>12,}  {c.dimensions}-D  {c.paper}")
