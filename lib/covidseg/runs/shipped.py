"""Make the small networks that the kit ships, each as its paper declares it (`covidseg.paper.Shown`).

    python -m covidseg.runs.shipped              all of them: `make weights`
    python -m covidseg.runs.shipped NAME ...     these

They learn from phantoms alone and are scored on others, so the files hold nothing of any patient. Phantoms and
arithmetic have changed since the shipped files were made: a new file is another network, near in its scores (the
infection network on CT100: 0.631 for 0.639) and not equal.
"""

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from covidseg import papers
from covidseg.data import Case, load_dataset
from covidseg.errors import unknown_name
from covidseg.files import write_atomically
from covidseg.nn.weights import read_tensors, save_weights
from covidseg.paper import Budget, Paper, Shown
from covidseg.runs.trial import Trial
from covidseg.training.evaluation import evaluate

__all__ = ["learn", "make", "pack"]

LICENCE = "MIT (trained by this kit on computed slices)"


def make(name: str, out: str | Path | None = None, seed: int = 0) -> dict:
    """Train, score on held-out phantoms, write; returns the facts kept in the file.

    out : where to write; by default the paper's folder. Raises UnknownName for a name that nobody declares.
    """
    if name not in papers.shown():
        raise unknown_name("network that the kit ships", name, papers.shown())
    paper, one = papers.shown()[name]
    network, facts = one.learn(seed) if one.learn else learn(paper, one, seed)
    scores = evaluate(network, cases(one, one.held_out, "test", seed), distances=False)
    facts = {"label": one.label, "licence": LICENCE, **facts, "seed": seed}
    facts["dice_on_held_out_phantoms"] = round(scores["dice"], 4)
    path = Path(out) if out else papers.folder(paper.name) / one.file
    options = dict(one.row.options)
    preprocessing: Any = network.preprocessing  # which torch's types do not know
    save_weights(path, one.row.network, network, preprocessing, options=options, half=True, **facts)
    pack(path)
    return facts


def pack(path: str | Path) -> None:
    """Write a file of weights again, its tensors of one type end to end in one block; they load as before.

    Each block costs some 350 bytes beside its numbers: with 1,500 small tensors a quarter of such a file.
    """
    record = read_tensors(path)
    for dtype in {value.dtype for value in record["state"].values()}:
        alike = {name: value for name, value in record["state"].items() if value.dtype == dtype}
        block = torch.cat([value.flatten() for value in alike.values()])
        parts = block.split([value.numel() for value in alike.values()])
        record["state"] |= {name: part.view(alike[name].shape) for name, part in zip(alike, parts, strict=True)}
    write_atomically(path, lambda file: torch.save(record, file))


def learn(paper: Paper, one: Shown, seed: int = 0) -> tuple[nn.Module, dict]:
    """The network, trained by its paper's task on phantoms, and facts of its training. The last epoch stays."""
    learned = cases(one, one.learns, "train", seed)
    recipe = papers.recipe(one.recipe)
    sizes = Budget(recipe.name, len(learned), 0, phantom_size=0)
    trial = Trial(paper, one.row, one.row.network, "", one.dataset, 1, seed, "lesson", recipe, sizes, {})
    network = trial.network()
    trial.task.learn(network, learned, None, device="cpu", report=print)
    return network, {"recipe": recipe.to_dict(), "phantoms": len(learned)}


def cases(one: Shown, sets: Iterable[Mapping], split: str, seed: int) -> list[Case]:
    """The phantoms of some sets, drawn one after the other."""
    return [case for options in sets for case in load_dataset(one.dataset, split=split, seed=seed, **options)]


if __name__ == "__main__":
    torch.set_num_threads(1)
    for wanted in sys.argv[1:] or papers.shown():
        print(wanted, make(wanted))
