"""What a lesson buys: MiniSeg learns from phantoms for a minute or two, then meets held-out phantoms and patients.

    COVIDSEG_MIRROR=DIR python benchmarks/phantom_lesson.py [--recipe lesson] [--seed 0]

lesson : the recipe of 12_training and 40_train_one, 64 phantoms of 96 px
phantom : the recipe of the weights that ship, fewer phantoms: wide augmentation, for networks that are to see patients
Prints wall seconds (phantoms drawn, trained), Dice on held-out phantoms and, where COVID-SemiSeg is on this machine,
on its 98 real slices of CT100. Aim: 0.80 on phantoms within three minutes on two cores; 0.5 on patients.
"""

import argparse
import os
from time import perf_counter

os.environ.setdefault("OMP_NUM_THREADS", "2")

CHOICES = {  # phantoms: how many, of which side, and what changes in the recipe
    "lesson": ([{"n": 64, "size": 96}], {}),
    "phantom": ([{"n": 200, "size": 256, "view": "lungs"}, {"n": 100, "size": 256}], {"epochs": 9}),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", choices=CHOICES, default="lesson")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    import torch

    from covidseg import create_model, load_dataset
    from covidseg.errors import UserError
    from covidseg.papers import recipe
    from covidseg.papers.miniseg.bundled import phantoms
    from covidseg.training import evaluate, train

    torch.set_num_threads(2)
    sets, changes = CHOICES[options.recipe]
    begin = perf_counter()
    cases = [case for one in sets for case in phantoms("train", seed=options.seed, **one)]
    drawn = perf_counter() - begin
    torch.manual_seed(options.seed)
    model = create_model("miniseg")
    train(model, cases, None, recipe(options.recipe, **changes), seed=options.seed, device="cpu")
    whole = perf_counter() - begin
    print(f"{len(cases)} phantoms drawn in {drawn:.0f} s, trained in {whole - drawn:.0f} s: {whole:.0f} s, two cores")
    held_out = phantoms("test", n=32, seed=options.seed, size=sets[0]["size"])
    print(f"Dice on 32 held-out phantoms: {evaluate(model, held_out, distances=False)['dice']:.3f}")
    try:
        real = load_dataset("semiseg")
    except UserError as error:
        return print(f"no real slices here: {error}")
    print(f"Dice on {len(real)} real slices of CT100: {evaluate(model, real, distances=False)['dice']:.3f}")


if __name__ == "__main__":
    main()
