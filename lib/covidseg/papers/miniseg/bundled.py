"""Make the small MiniSeg that the kit ships: trained on phantoms alone, so that it may be shipped.

    python -m covidseg.papers.miniseg.bundled      (about ten minutes on two cores)

It answers where the authors' weights are neither on disk nor to be downloaded, and gives the lessons a trained
network without a download.
"""

import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import torch

from covidseg.data import Case, load_dataset
from covidseg.nn import create_model
from covidseg.nn.weights import save_weights
from covidseg.papers.miniseg.recipes import MINISEG_PHANTOM
from covidseg.papers.miniseg.weights import BUNDLED
from covidseg.training.evaluation import evaluate
from covidseg.training.loop import train

SIZE = 256
SETS = ({"view": "lungs", "n": 600}, {"view": "any", "n": 300})  # most real slices to be met are cut to the lungs
EPOCHS = 8


def make(path: Path = BUNDLED, seed: int = 0) -> dict:
    """Train, score on held-out phantoms at 512 px, write; returns the facts kept in the file."""
    training = [case for options in SETS for case in phantoms("train", seed=seed, size=SIZE, **options)]
    validation = phantoms("val", n=40, seed=seed, size=SIZE)
    torch.manual_seed(seed)
    model = create_model("miniseg")
    recipe = replace(MINISEG_PHANTOM, epochs=EPOCHS)
    train(model, training, validation, recipe, seed=seed, device="cpu", name="miniseg", report=print)
    scores = evaluate(model, phantoms("test", n=60, seed=seed, size=512), distances=False)
    facts = {
        "label": "MiniSeg trained on phantoms",
        "licence": "MIT (trained by this kit on computed slices)",
        "recipe": recipe.to_dict(),
        "phantoms": len(training),
        "seed": seed,
        "dice_on_held_out_phantoms_at_512": round(scores["dice"], 4),
    }
    save_weights(path, "miniseg", model, model.preprocessing, half=True, **facts)
    return facts


def phantoms(split: str, n: int, **options) -> list[Case]:
    """The slices of a phantom set, drawn by two processes."""
    load = _Slices(split, n, options)
    with ProcessPoolExecutor(2) as pool:
        return list(pool.map(load, range(n), chunksize=10))


class _Slices:
    """Case i of a set, as a callable that can travel to another process."""

    def __init__(self, split: str, n: int, options: dict):
        self.split, self.n, self.options = split, n, options

    def __call__(self, i: int) -> Case:
        return load_dataset("phantom", split=self.split, n=self.n, **self.options)[i]


if __name__ == "__main__":
    torch.set_num_threads(2)
    print(make(Path(sys.argv[1]) if len(sys.argv) > 1 else BUNDLED))
