"""``covidseg profile``: what one network costs, part by part, or all of them on one scale."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from covidseg.cli._examples import with_examples
from covidseg.text import say


def register(app: typer.Typer) -> None:
    app.command("profile")(with_examples(profile))


Name = Annotated[str | None, typer.Argument(help="A name from `covidseg models`; with --all a pattern, such as 'u*'.")]
Side = Annotated[int | None, typer.Option(min=1, help="Side of the input; 512 for 2-D, 64 for 3-D networks.")]
Options = Annotated[
    list[str] | None, typer.Option("--option", "-o", metavar="NAME=VALUE", help="Build the network so; repeatable.")
]
AsJson = Annotated[bool, typer.Option("--json", help="One network: print JSON instead of a table.")]
All = Annotated[bool, typer.Option("--all", help="Measure every 2-D network: counts, memory, seconds, ratios.")]
Table5 = Annotated[bool, typer.Option("--table5", help="Print the first paper's table of sizes beside ours.")]
Config = Annotated[str, typer.Option(help="With --all: paper (its table of sizes) or released (what was trained).")]
Device = Annotated[str, typer.Option(help="With --all: cpu, cuda, or auto.")]
Batch = Annotated[int | None, typer.Option(min=1, help="With --all: images at a time; 30 on a GPU, 2 on a CPU.")]
Seconds = Annotated[float, typer.Option(min=0, help="With --all: spent on each speed, at least.")]
Save = Annotated[
    Path | None, typer.Option(help="With --all: write JSON after each network, and go on with what the file lacks.")
]
AsCsv = Annotated[bool, typer.Option("--csv", help="With --all: print CSV instead of a table.")]


def profile(
    name: Name = None,
    size: Side = None,
    option: Options = None,
    as_json: AsJson = False,
    all_: All = False,
    table5: Table5 = False,
    config: Config = "paper",
    device: Device = "auto",
    batch: Batch = None,
    seconds: Seconds = 1.0,
    as_csv: AsCsv = False,
    save: Save = None,
) -> None:
    """Count the parameters and multiply-accumulates (MACs) of one network, part by part, or measure all of them.

    --all adds the peak memory of maps, the seconds for one image and the images a second in batches. Each number stands
    beside its ratio to PAPER's, which is timed in turn with every network. A network that fails costs a line. Nothing
    is downloaded.

    \b
    Example:
      covidseg profile PAPER --size 512
      covidseg profile PAPER -o num_classes=4 --json
      covidseg profile --all --config released --device cpu --csv > speed.csv
      covidseg profile --table5
      covidseg profile --all --device cpu --batch 30 --save results/speed/cpu.json
    """
    from covidseg.errors import UserError

    if table5:
        from covidseg.tables import benchmark

        say(benchmark.table5_text(benchmark.table5()))
    elif all_:
        _all(name or "*", config, size or 512, device, batch, seconds, as_csv, save)
    elif name is None:
        raise UserError("Name a network, see `covidseg models`; or measure all of them with --all.")
    else:
        _one(name, size, option or [], as_json)


def _all(
    pattern: str, config: str, side: int, device: str, batch: int | None, seconds: float, as_csv: bool,
    save: Path | None,
) -> None:  # fmt: skip
    import torch

    from covidseg.device import choose_device
    from covidseg.errors import UserError, unknown_name
    from covidseg.progress import progress
    from covidseg.tables import benchmark, field, speeds

    if config not in field.CONFIGS:
        raise unknown_name("config", config, field.CONFIGS)
    names, where = field.names(pattern), choose_device(device)
    if not names:
        raise UserError(f"No 2-D model matches {pattern!r}. `covidseg models` lists them all.")
    batch = batch or benchmark.usual_batch(where)
    if save:
        size = {"side": side, "device": where, "batch": batch, "seconds": seconds}
        kept = speeds.save_speeds(save, names, config, **size, report=lambda row: say(f"{row.name}: {save}"))
        say(benchmark.as_csv(kept).rstrip() if as_csv else benchmark.as_text(kept))
        return
    measuring = benchmark.measure(names, config, side=side, device=where, batch=batch, seconds=seconds)
    rows: list[benchmark.Measured] = []
    try:
        rows.extend(row for row in progress(measuring, "profile", total=len(names)))
    finally:  # Ctrl-C after an hour: what is measured is not lost
        on = where if where.type != "cpu" else f"cpu, threads: {torch.get_num_threads()}"
        head = (
            f"config {config}, {side} x {side}, on {on}; images/s in batches of {batch}; x: over {field.REFERENCE}'s, "
            "timed in turn (its own row shows the noise)"
        )
        say(benchmark.as_csv(rows).rstrip() if as_csv else f"{head}\n{benchmark.as_text(rows)}")


def _one(name: str, size: int | None, option: list[str], as_json: bool) -> None:
    from covidseg.nn import card
    from covidseg.nn.layers import input_channels
    from covidseg.profiling import profile_model

    dimensions = card(name).dimensions
    network = _build(name, option)
    side = size or (512 if dimensions == 2 else 64)
    counted = profile_model(network, (input_channels(network), *[side] * dimensions))
    parts = counted.groups()
    if as_json:
        totals = {key: getattr(counted, key) for key in ("params", "trainable", "macs", "input_shape")}
        say(json.dumps({"model": name, **totals, "parts": [asdict(p) for p in parts]}, indent=2))
        return
    say(f"{name}: {counted}")
    for part in parts:
        say(f"  {part.name:<20} {part.params:>12,} {part.macs:>18,}")


def _build(name: str, assignments: list[str]) -> Any:
    """The network with options from the command line; a wrong one is refused in one line."""
    from covidseg.errors import UserError
    from covidseg.lessons.schema import parse_assignments, read_literal
    from covidseg.nn import create_model

    options = {key: read_literal(text) for key, text in parse_assignments(assignments).items()}
    try:
        return create_model(name, **options)
    except (TypeError, ValueError) as error:
        raise UserError(f"{name} cannot be built so: {error}") from error
