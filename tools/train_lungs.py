"""Make the small lung network that the kit ships: trained on phantoms alone, so that it may be shipped.

    python tools/train_lungs.py      (about ten minutes on one core)

A U-Net a sixteenth as wide as the paper's finds lungs as well as a large one: they are large, dark and have a
shape. What it must learn is what is dark and no lung (gas in the belly, the windpipe, the air around), and what is
bright and lung (a consolidation); the phantoms of view "whole" show it both. The file that is shipped is not made again
number by number; before a new one takes its place, `benchmarks/lungs_on_real.py` tells both.
"""

import sys
from dataclasses import replace
from pathlib import Path

import torch

import covidseg.lungs.augment  # noqa: F401  enters "lungs" among the augmentations
from covidseg.data import Case, load_dataset
from covidseg.data.transforms import LUNG, Scale
from covidseg.lungs.find import BUNDLED
from covidseg.nn import create_model
from covidseg.nn.weights import save_weights
from covidseg.papers.miniseg.recipes import MINISEG_PHANTOM
from covidseg.training.evaluation import evaluate
from covidseg.training.feeds import Slices
from covidseg.training.loop import train
from covidseg.training.objective import CrossEntropy

__all__ = ["LUNG_RECIPE", "lung_cases", "make"]

OPTIONS = {"config": "infnet", "width": 4}  # 123,766 parameters
SIZE = 256
SETS = ({"view": "whole", "n": 650}, {"view": "any", "n": 250}, {"view": "whole", "n": 100, "lesions": False})
LUNG_RECIPE = replace(
    MINISEG_PHANTOM,
    name="lungs",
    lr=4e-3, epochs=8, batch=8,                  # ours: 1,000 steps
    scales=(Scale(160, 0),), val_size=160,       # ours: lungs are seen at two millimetres a pixel
    feed=Slices(augment="lungs"),                # ours: any greys, any frame
    objective=CrossEntropy(class_weights=False),  # ours: weights for a rare class would push the border outward
    window=LUNG,
)  # fmt: skip


def make(path: Path = BUNDLED, seed: int = 0) -> dict:
    """Train, score on held-out phantoms, write; returns the facts kept in the file."""
    training = [case for options in SETS for case in lung_cases("train", seed=seed, **options)]
    validation = lung_cases("val", n=40, seed=seed, view="whole")
    torch.manual_seed(seed)
    model = create_model("unet", **OPTIONS)
    train(model, training, validation, LUNG_RECIPE, seed=seed, device="cpu", name="unet", report=print)
    scores = evaluate(model, lung_cases("test", n=60, seed=seed, view="any"), distances=False)
    facts = {
        "label": "lungs, a narrow U-Net trained on phantoms",
        "licence": "MIT (trained by this kit on computed slices)",
        "recipe": LUNG_RECIPE.to_dict(),
        "phantoms": len(training),
        "seed": seed,
        "dice_on_held_out_phantoms": round(scores["dice"], 4),
    }
    save_weights(path, "unet", model, model.preprocessing, options=OPTIONS, half=True, **facts)
    return facts


def lung_cases(split: str, n: int, **options) -> list[Case]:
    """Phantoms whose mask is the lungs, sick parts included; effusion and windpipe are not lung."""
    cases = load_dataset("phantom", split=split, n=n, size=SIZE, **options)
    return [replace(case, mask=case.lung) for case in cases]


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(make(Path(sys.argv[1]) if len(sys.argv) > 1 else BUNDLED))
