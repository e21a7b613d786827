"""``covidseg models`` and ``covidseg profile``."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from covidseg.cli._examples import with_examples

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def register(app: typer.Typer) -> None:
    app.command("models")(models)
    app.command("profile")(with_examples(profile))


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
        typer.echo(json.dumps([asdict(c) for c in cards], indent=2))
        return
    width = max(len(c.name) for c in cards)
    typer.echo(f"{'model':<{width}}   parameters  dim  paper")
    for c in cards:
        typer.echo(f"{c.name:<{width}} {c.params:>12,}  {c.dimensions}-D  {c.paper}")


def profile(
    name: Annotated[str, typer.Argument(help="A name from `covidseg models`.")],
    size: Annotated[
        int | None, typer.Option(min=1, help="Side of the input; 512 for 2-D, 64 for 3-D networks.")
    ] = None,
    option: Annotated[
        list[str] | None, typer.Option("--option", "-o", metavar="NAME=VALUE", help="Build the network so; repeatable.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Count the parameters and multiply-accumulates (MACs) of one network, part by part.

    \b
    Example:
      covidseg profile PAPER --size 512
      covidseg profile PAPER -o num_classes=4 --json
    """
    from covidseg.nn import card
    from covidseg.nn.layers import input_channels
    from covidseg.profiling import profile_model

    dimensions = card(name).dimensions
    network = _build(name, option or [])
    side = size or (512 if dimensions == 2 else 64)
    counted = profile_model(network, (input_channels(network), *[side] * dimensions))
    parts = counted.groups()
    if as_json:
        totals = {key: getattr(counted, key) for key in ("params", "trainable", "macs", "input_shape")}
        typer.echo(json.dumps({"model": name, **totals, "parts": [asdict(p) for p in parts]}, indent=2))
        return
    typer.echo(f"{name}: {counted}")
    for part in parts:
        typer.echo(f"  {part.name:<20} {part.params:>12,} {part.macs:>18,}")


def _build(name: str, assignments: list[str]):
    """The network with options from the command line; a wrong one is refused in one line."""
    from covidseg.errors import UserError
    from covidseg.lessons.schema import parse_assignments, read_literal
    from covidseg.nn import create_model

    options = {key: read_literal(text) for key, text in parse_assignments(assignments).items()}
    try:
        return create_model(name, **options)
    except (TypeError, ValueError) as error:
        raise UserError(f"{name} cannot be built so: {error}") from error
