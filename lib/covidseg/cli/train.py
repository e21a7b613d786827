"""``covidseg train``: train one network on one fold."""

from pathlib import Path
from typing import Annotated

import typer

from covidseg.cli._examples import with_examples
from covidseg.cli._own import Fill, Images, Intensity, Masks, Patients, Resample, Series, own_data
from covidseg.text import say

Out = Annotated[Path, typer.Option("--out", "-o", help="folder for last.pt, best.pt, curves.csv and run.json")]
Variant = Annotated[str, typer.Option(help="row of the model's ablations, e.g. SB; empty for the network itself")]
Dataset = Annotated[
    str | None, typer.Option(help="phantom (the default), semiseg, p9, ...; a name that is none lists them all")
]
AllSlices = Annotated[bool, typer.Option("--all-slices", help="of your scans also the slices without infection")]
Fold = Annotated[int, typer.Option(min=0, max=5, help="held back for validation; 0: the set's own train and test part")]
RecipeName = Annotated[
    str,
    typer.Option(
        "--recipe",
        help="a paper's, such as released, short, lesson or quick; a name that is none lists them all",
    ),
]
Epochs = Annotated[int | None, typer.Option(help="instead of the recipe's")]
Batch = Annotated[int | None, typer.Option(help="slices per step, instead of the recipe's")]
Lr = Annotated[float | None, typer.Option(help="first learning rate, instead of the recipe's")]
Backbone = Annotated[
    str, typer.Option("--backbone-weights", metavar="FILE", help="the network's trunk begins with these, as ImageNet's")
]
Cases = Annotated[int, typer.Option(min=1, help="phantoms to train on; half as many validate")]
Seed = Annotated[int, typer.Option(min=0, max=1_000_000, help="of weights, order, augmentation and dropout")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps, ...")]
PrecisionName = Annotated[str | None, typer.Option("--precision", help="float32, bf16 or fp16; else the recipe's")]
Compile = Annotated[bool, typer.Option("--compile", help="torch.compile: minutes first, pays off in long GPU runs")]
MicroBatch = Annotated[int | None, typer.Option(help="slices at a time, if memory is short")]
Every = Annotated[int, typer.Option("--checkpoint-every", min=1, help="steps between two checkpoints")]
Resume = Annotated[bool, typer.Option("--resume", help="go on where the run in the folder stopped")]


def register(app: typer.Typer) -> None:
    app.command("train")(with_examples(train))


def train(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="a name that `covidseg models` lists")],
    out: Out,
    variant: Variant = "",
    images: Images = None,
    masks: Masks = None,
    patients: Patients = None,
    dataset: Dataset = None,
    fold: Fold = 1,
    recipe: RecipeName = "lesson",
    epochs: Epochs = None,
    batch: Batch = None,
    lr: Lr = None,
    backbone_weights: Backbone = "",
    cases: Cases = 64,
    seed: Seed = 0,
    device: Device = "auto",
    precision: PrecisionName = None,
    compile: Compile = False,
    micro_batch: MicroBatch = None,
    checkpoint_every: Every = 100,
    resume: Resume = False,
    all_slices: AllSlices = False,
    intensity: Intensity = None,
    series: Series = None,
    fill: Fill = None,
    resample_mask: Resample = False,
) -> None:
    """Train MODEL on one fold; print a line per epoch, then the best and the last epoch.

    On your own scans: --images DIR --masks DIR. A mask is called like its scan; `covidseg data check` lists what is
    wrong with them. Patients are dealt to five folds (to as many as there are, if fewer); one validates, the others
    train. The folder that comes out is what `covidseg predict --weights` takes.

    A run that was stopped, in any way, goes on with --resume and the same options. On several GPUs:
    `torchrun --nproc-per-node 4 --no-python covidseg train ...`.

    \b
    Example: covidseg train PAPER --dataset phantom --fold 1 --recipe lesson --seed 0 -o runs/first
             covidseg train PAPER --dataset p9 --fold 1 --recipe released --device cuda -o runs/p9-1 --resume
             covidseg train PAPER --images scans --masks drawn --patients who.csv --recipe short -o runs/mine
             covidseg predict new_scan.nii.gz -o mask.nii.gz --weights runs/mine
    """
    import os

    from covidseg import papers
    from covidseg.errors import UserError
    from covidseg.training import train as run
    from covidseg.training.history import describe
    from covidseg.training.task import Task

    # torchrun starts the same command in every process; only the first may speak
    tell = say if os.environ.get("RANK", "0") == "0" else lambda line: None
    changes = {"epochs": epochs, "batch": batch, "lr": lr}
    chosen = papers.recipe(recipe, **{name: value for name, value in changes.items() if value is not None})
    if (out / "last.pt").exists() and not resume:
        raise UserError(f"{out} holds a run already: --resume goes on with it, another --out begins a new one.")
    how = dict(intensity=intensity, series=series, fill=fill, resample_mask=resample_mask)
    own = own_data(images, masks, patients, all_slices=all_slices, **how)
    if own and dataset:
        raise UserError(f"--dataset {dataset} and --images {images} name two sets of data: give one of them.")
    dataset = dataset or "phantom"
    paper, row = papers.find_row(model, variant)
    options = dict(row.options)
    if paper.tasks[row.task].learn is not Task.learn:
        of_row = f' -p "variant={variant}"' if variant else ""
        raise UserError(
            f"{variant or model} takes more than one training or other targets: `covidseg notebooks run 40_train_one "
            f"-p model={model}{of_row} -p dataset={dataset} -p fold={fold}` does all of it."
        )
    task = paper.tasks[row.task]
    _follows(paper, task, chosen, variant or model)
    network = _network(model, options, seed, backbone_weights)
    if own:
        train_set, val_set = _own_sets(own, fold, task, all_slices, tell)
    else:
        train_set, val_set = _sets(dataset, fold, chosen, cases, task)
    history = run(
        network,
        train_set,
        val_set,
        chosen,
        seed=seed,
        device=device,
        out=out,
        resume=resume,
        name=model,
        options=options,
        precision=precision,
        compile=compile,
        micro_batch=micro_batch,
        checkpoint_every=checkpoint_every,
        report=lambda row: tell(describe(row)),
    )
    for line in history.lines():
        tell(line)
    tell(f"{out}: last.pt, best.pt, curves.csv, run.json (`covidseg predict SCAN -o OUT --weights {out}` uses them)")


def _follows(paper, task, recipe, who) -> None:
    """UserError unless the row's task can follow the recipe."""
    from covidseg.errors import UserError

    if not task.takes(recipe):
        able = ", ".join(one.name for one in paper.recipes if task.takes(one))
        raise UserError(f"recipe={recipe.name} has no {task.learns}, which {who} learns: choose {able}.")


def _network(name, options, seed, backbone_weights):
    """The network with the first weights of that seed; its trunk's from the file, if one is given."""
    import torch

    from covidseg import create_model
    from covidseg.backbones import network_on

    torch.manual_seed(seed)
    return network_on(backbone_weights, name, **options) if backbone_weights else create_model(name, **options)


def _sets(dataset, fold, recipe, cases, task) -> tuple:
    """Training and validation cases of a data set."""
    from covidseg.data.datasets import SYNTHETIC, load_dataset, parts

    splits = parts(dataset, fold)
    sizes = [_size(dataset in SYNTHETIC, recipe, cases, split, task) for split in splits]
    return tuple(load_dataset(dataset, split, fold or None, **size) for split, size in zip(splits, sizes, strict=True))


def _own_sets(own, fold, task, all_slices, tell) -> tuple:
    """Training and validation cases of your own scans."""
    from covidseg.data.own import own_sets
    from covidseg.errors import UserError

    if lacking := sorted(task.needs - {"volumes"}):
        raise UserError(
            f"This network learns from more than masks of infection ({', '.join(lacking)}): choose another."
        )
    sets = own_sets(own, fold, volumes="volumes" in task.needs, all_slices=all_slices)
    for verb, cases in zip(("train", "validate"), sets, strict=True):
        tell(f"{len(cases)} cases of {len(set(cases.patients))} patients {verb}")
    return sets


def _size(synthetic, recipe, cases, split, task) -> dict:
    """How many phantoms, and how large; a real set is as large as it is, in volumes if the task needs them.

    A volume is larger than the patch that its recipe cuts: as large as those of the budget with that recipe.
    """
    volumes = "volumes" in task.needs
    if not synthetic:
        return {"volumes": True} if volumes else {}
    count = cases if split == "train" else max(1, cases // 2)
    side = max(scale.side for scale in recipe.scales)
    known = [budget.phantom_size for budget in task.budgets.values() if budget.recipe == recipe.name and volumes]
    return {"n": count, "size": known[0] if known else side}
