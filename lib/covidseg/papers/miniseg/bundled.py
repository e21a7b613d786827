"""How the small MiniSeg that the kit ships was taught, on phantoms alone: `covidseg.paper.Shown.learn`.

    python -m covidseg.runs.shipped phantom      (about ten minutes on one core)

It answers where the authors' weights are neither on disk nor to be downloaded, and gives the lessons a trained
network without a download. It learns from chests first; then, for fewer steps, from slices of whole bodies, where
bellies, necks and healthy lungs teach it where infection is not. Without them 30 % of what it marked in phantom
volumes lay outside the lungs.

The file that is shipped went on from an older one in its second part. The command alone, from nothing, was run once:
Dice 0.631 on the 98 real slices of CT100 (shipped: 0.639), 0.819 on held-out phantoms (0.819), at most 0.2 % of what it
marks outside the lungs of two phantom volumes (0.0 %), two healthy bodies clean in both.
"""

from dataclasses import replace

import torch
from torch import nn

from covidseg.data import Case, load_dataset
from covidseg.losses import log_class_weights
from covidseg.nn import create_model
from covidseg.papers.miniseg.recipes import MINISEG_PHANTOM
from covidseg.training.batches import SliceBatches, SliceCache
from covidseg.training.loop import train

SIZE = 256
SETS = ({"view": "lungs", "n": 600}, {"view": "any", "n": 300})  # most real slices to be met are cut to the lungs
EPOCHS = 8
WHOLE = (
    {"view": "whole", "n": 240},
    {"view": "whole", "n": 60, "lesions": False},
    {"view": "lungs", "n": 100, "per_patient": 2},
)
AFTERWARDS = replace(MINISEG_PHANTOM, lr=1e-3, epochs=3)


def learn(seed: int = 0) -> tuple[nn.Module, dict]:
    """The trained network, in eval mode, and the facts of its training."""
    training = [case for options in SETS for case in phantoms("train", seed=seed, size=SIZE, **options)]
    validation = phantoms("val", n=40, seed=seed, size=SIZE)
    torch.manual_seed(seed)
    model = create_model("miniseg")
    recipe = replace(MINISEG_PHANTOM, epochs=EPOCHS)
    train(model, training, validation, recipe, seed=seed, device="cpu", name="miniseg", report=print)
    learn_whole_bodies(model, seed)
    return model, {
        "recipe": recipe.to_dict(),
        "recipe_afterwards": AFTERWARDS.to_dict(),
        "phantoms": [len(training), sum(options["n"] for options in WHOLE)],
    }


def learn_whole_bodies(model, seed: int) -> None:
    """Some steps more on other slices, fed as the network is used to be."""
    cases = [case for options in WHOLE for case in phantoms("train", seed=seed + 1, size=SIZE, **options)]
    cache = SliceCache(cases, AFTERWARDS.window, antialias=AFTERWARDS.antialias)
    batches = SliceBatches(cache, AFTERWARDS, model.preprocessing, seed)
    train(model, batches, None, AFTERWARDS, seed=seed, device="cpu", name="miniseg", report=print)
    take_back(model, log_class_weights(cache.class_fractions(2)))


def take_back(model, weights) -> None:
    """Class weights let the rare class win pixels it should not; in the logits their logarithm undoes it.

    The border of the infection had moved outward: 8 % of the marked volume lay outside the lungs, all but 2 % of it
    within two pixels of them.
    """
    with torch.no_grad():
        model.heads[0][-1].bias -= weights.log().to(model.heads[0][-1].bias)


def phantoms(split: str, n: int, **options) -> list[Case]:
    """The slices of a phantom set, drawn one after the other."""
    return list(load_dataset("phantom", split=split, n=n, **options))
