"""``covidseg evaluate``: score trained weights on a set of cases."""

from typing import Annotated

import typer

from covidseg.cli._examples import with_examples
from covidseg.text import say

Dataset = Annotated[str, typer.Option(help="such as phantom, semiseg or p9; a name that is none lists them all")]
Fold = Annotated[int, typer.Option(min=1, max=5)]
Split = Annotated[str, typer.Option(help="train, val or test")]
Protocol = Annotated[str, typer.Option(help="clean, or a paper's; a name that is none lists them all")]
Size = Annotated[str, typer.Option(help="auto, native, or a side in pixels such as 512")]
Cases = Annotated[int, typer.Option(min=1, help="phantoms to score")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps, ...")]
PerCase = Annotated[bool, typer.Option("--cases-csv", help="print the row of every case as CSV instead")]
Statistics = Annotated[str, typer.Option(help="mean and std of the input: weights (those that came with them) or fold")]
Json = Annotated[bool, typer.Option("--json", help="print one JSON document instead")]


def register(app: typer.Typer) -> None:
    app.command("evaluate")(with_examples(evaluate))


def evaluate(
    checkpoint: Annotated[str, typer.Argument(metavar="CHECKPOINT", help="file, run folder, or CT100-1, phantom, ...")],
    dataset: Dataset = "phantom",
    fold: Fold = 1,
    split: Split = "val",
    protocol: Protocol = "clean",
    size: Size = "auto",
    cases: Cases = 32,
    statistics: Statistics = "weights",
    device: Device = "auto",
    per_case: PerCase = False,
    json: Json = False,
) -> None:
    """Score CHECKPOINT on the cases of one split: means, and how many cases stand behind each.

    Of a run folder last.pt is taken, the honest choice; name best.pt for the authors' way. `--size auto` scores "clean"
    on each case's own grid and the papers' protocols at the size the weights were trained for. `--statistics fold`
    normalises by mean and standard deviation of the fold's training part, as networks are trained here, and not by the
    pair that came with the weights: for weights whose own statistics nobody published.

    \b
    Example: covidseg evaluate runs/first --dataset phantom --protocol clean
             covidseg evaluate CT100-1 --dataset semiseg --fold 1 --protocol PAPER --json
             covidseg evaluate P9-3 --dataset p9 --fold 3 --statistics fold
    """
    from covidseg.data.datasets import SYNTHETIC, load_dataset
    from covidseg.papers import weights
    from covidseg.training import evaluate as score

    loaded = weights(checkpoint)
    _refuse_guided(checkpoint, loaded.model)
    side = _side(size, loaded.preprocessing.size, protocol)
    options = {"n": cases, "size": loaded.preprocessing.size} if dataset in SYNTHETIC else {}
    chosen = load_dataset(dataset, split, fold, **options)
    seen = _preprocessing(loaded.preprocessing, statistics, lambda: load_dataset(dataset, "train", fold, **options))
    scores = score(loaded.model, chosen, seen, protocol, size=side, device=_device(device))
    if json:
        say(_as_json(scores, loaded, chosen))
    elif per_case:
        say(_as_csv(scores))
    else:
        say(f"{loaded.label} on {chosen!r}\n{scores}")


def _preprocessing(own, statistics: str, training_part):
    """What stands between slice and network: the weights' own, or with the statistics of a fold's training part."""
    from dataclasses import replace

    from covidseg.data.transforms import fold_statistics
    from covidseg.errors import unknown_name
    from covidseg.training.batches import slices_of

    if statistics == "weights":
        return own
    if statistics != "fold":
        raise unknown_name("choice of --statistics", statistics, ("weights", "fold"))
    mean, std = fold_statistics(slices_of(training_part()), own.window)
    return replace(own, mean=mean, std=std)


def _refuse_guided(checkpoint: str, model) -> None:
    """The networks that tell ground glass from consolidation are told where infection is; a slice alone is half."""
    from covidseg.errors import UserError
    from covidseg.nn.layers import input_channels

    channels = input_channels(model)
    if channels not in (1, 3):
        raise UserError(
            f"{checkpoint} takes {channels} channels: a slice and a map of where infection is, which this command does "
            "not have. Notebook 40_train_one trains and scores such a network."
        )


def _side(size: str, trained: int, protocol: str) -> int | None:
    from covidseg.errors import UserError

    if size in ("auto", "native"):
        if size == "native" and protocol != "clean":
            raise UserError(f"the {protocol} protocol works at one size for all: give --size {trained}, or auto.")
        return None
    if not size.isdigit() or int(size) < 1:
        raise UserError(f"--size is {size!r}: give auto, native, or a side in pixels such as 512.")
    return int(size)


def _device(name: str):
    from covidseg.device import choose_device

    return choose_device(name)


def _as_json(scores, loaded, dataset) -> str:
    from json import dumps

    about = {"weights": loaded.label, "data": dataset.name, "fingerprint": dataset.fingerprint()}
    return dumps(about | scores.to_dict(), indent=1)


def _as_csv(scores) -> str:
    from covidseg.text import csv_text

    return csv_text(scores.cases).rstrip("\n")
