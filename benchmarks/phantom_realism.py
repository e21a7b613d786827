"""Do phantoms look like patients to a network trained on patients? The authors' CT100 weights on held-out phantoms.

    COVIDSEG_MIRROR=DIR python benchmarks/phantom_realism.py [N]

Prints the mean Dice of the infection per fold's weights; on real CT100 slices their published maps reach 0.77.
"""

import sys

import numpy as np

from covidseg import load_dataset
from covidseg.papers.miniseg.weights import weights
from covidseg.training import evaluate


def main(n: int = 64) -> None:
    cases = load_dataset("phantom", split="test", n=n, size=512, seed=7)
    per_fold = []
    for fold in (1, 2, 3, 4, 5):
        scores = evaluate(weights(f"CT100-{fold}").model, cases, distances=False)
        per_fold.append(scores["dice"])
        print(f"CT100 fold {fold}: Dice {scores['dice']:.3f} on {scores.n['dice']} phantoms at 512 px", flush=True)
    print(f"mean of the folds: {np.mean(per_fold):.3f}, spread {np.std(per_fold):.3f}")


if __name__ == "__main__":
    main(*(int(a) for a in sys.argv[1:]))
