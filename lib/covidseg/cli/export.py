"""``covidseg export``: a network as an ONNX file."""

from pathlib import Path
from typing import Annotated

import typer

from covidseg.cli._examples import with_examples
from covidseg.text import say


def register(app: typer.Typer) -> None:
    app.command("export")(with_examples(export))


Model = Annotated[str, typer.Argument(metavar="MODEL", help="A name from `covidseg models`.")]
Out = Annotated[Path, typer.Option("--out", "-o", help="File to write: NAME.onnx.")]
Weights = Annotated[
    str | None, typer.Option(help="Trained numbers: P9 (folds averaged), P9-3 (one), phantom; a checkpoint, a run.")
]
Side = Annotated[
    int | None, typer.Option(min=1, help="For networks that can be written for one side only: this; 512, in 3-D 64.")
]
Force = Annotated[bool, typer.Option("--force", help="Replace a file that exists.")]


def export(model: Model, out: Out, weights: Weights = None, size: Side = None, force: Force = False) -> None:
    """Write a network as ONNX, which phones, browsers and other runtimes read; needs `pip install 'covidseg[fast]'`.

    The file maps "scan", a batch of slices that are windowed, normalised and resized as the weights want it, to
    "logits". How they want it, and under which licence, stands in the file's metadata. Before it is written its answer
    is held against torch's, and the difference is printed. Without --weights its numbers are untrained.

    \b
    Example:
      covidseg export PAPER --weights phantom -o small.onnx
      covidseg export unet --weights runs/mine -o unet.onnx
    """
    from covidseg.errors import UserError
    from covidseg.fast.graph import export as write
    from covidseg.nn import card

    dimensions = card(model).dimensions
    if out.suffix != ".onnx":
        raise UserError(f"{out}: name a file that ends in .onnx.")
    if out.exists() and not force:
        raise UserError(f"{out} exists; replace it with --force, or name another file.")
    network, about = _network(model, weights)
    done = write(network, out, sides=None if size is None else (size,) * dimensions, about=about)
    say("\n".join([f"network  {about['label']}", f"licence  {about['licence']}", *done.lines()]))


def _network(name: str, weights: str | None):
    """The network, and what its file says of it. UserError where the weights are another network's."""
    from covidseg import papers
    from covidseg.errors import UserError
    from covidseg.nn import create_model

    built = create_model(name)
    if weights is None:
        return built, {"network": name, "label": f"{name}, untrained", "licence": "MIT"}
    loaded = papers.weights(weights)
    members = getattr(loaded.model, "members", [loaded.model])
    if any(type(member) is not type(built) for member in members):
        raise UserError(f"{weights} holds a {type(members[0]).__name__}, which is no {name}.")
    about = {"network": name, "label": loaded.label, "licence": loaded.licence}
    return loaded.model, about | {"preprocessing": loaded.preprocessing.to_dict()}
