"""Seconds for 1,000 pairs of masks at 512 x 512 by two protocols, beside distance transforms of the whole frames.

    python benchmarks/metrics_speed.py [--pairs 100] [--save]

protocols : the published one of MiniSeg (five scores, distances between all pixels) and our own (HD, HD95, ASSD between
    boundaries), in pixels and in mm, as `segmentation_scores` answers them. Aims: at most 20 and 45 s for 1,000 pairs
reference : what one writes first: for each of a protocol's distances an erosion where boundaries are asked for, then
    the exact distance transform of both whole frames; where SimpleITK is installed, also its overlap and Hausdorff
    filters

Truths are phantoms' lesions, predictions the same with a wavering outline and a shift of some pixels. Both sides must
answer the same. They take turns, pair by pair, and the processor's own time is counted, on one thread.
"""

import argparse
import os
from importlib.util import find_spec
from math import isclose
from time import process_time

import numpy as np
from _history import option, save
from scipy.ndimage import binary_erosion, distance_transform_edt, gaussian_filter

WAYS = {"miniseg": ("miniseg", None), "clean": ("clean", None), "clean in mm": ("clean", (0.7, 0.7))}
LIMITS = {"miniseg": 20, "clean": 45, "clean in mm": 45}
SUMMARIES = {
    "hausdorff": lambda there, back: max(there.max(), back.max()),
    "hd95": lambda there, back: max(np.percentile(there, 95), np.percentile(back, 95)),
    "asd": lambda there, back: np.concatenate([there, back]).mean(),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=100)
    option(parser)
    options = parser.parse_args()
    pairs = list(masks(options.pairs))
    for name, (protocol, spacing) in WAYS.items():
        for reference, of in REFERENCES.items():
            if of is by_itk and (protocol != "miniseg" or find_spec("SimpleITK") is None):
                continue
            ours, other = race(pairs, protocol, spacing, of)
            print(f"{name:12} {ours:5.1f} s for 1,000 pairs (aim: {LIMITS[name]}), ", end="")
            print(f"{other / ours:.1f} times as fast as {reference} ({other:.1f} s)", flush=True)
            seconds = {"seconds for 1,000 pairs": ours}, {"seconds for 1,000 pairs": LIMITS[name]}
            save(
                options,
                f"metrics {name}, over {reference}",
                other / ours,
                reference=reference,
                numbers=seconds[0],
                limits=seconds[1],
            )


def masks(count):
    """Pairs (prediction, truth), uint8 0/1 of 512 x 512, both with lesion."""
    from covidseg import load_dataset

    rng = np.random.default_rng(0)
    for case in load_dataset("phantom", "train", n=count, size=512):
        truth = case.infection.astype(np.float32)
        wave = gaussian_filter(rng.standard_normal(truth.shape), 4) * gaussian_filter(truth, 6) * 2
        pred = np.roll(gaussian_filter(truth, 2) + wave > 0.5, rng.integers(-3, 4, 2), (0, 1))
        if pred.any() and truth.any():
            yield pred.astype(np.uint8), truth.astype(np.uint8)


def race(pairs, protocol, spacing, reference):
    """Seconds for 1,000 pairs, ours and the reference's."""
    from covidseg.metrics import segmentation_scores

    ours, other = [], []
    for pred, target in [pairs[0], *pairs]:
        begin = process_time()
        found = segmentation_scores(pred, target, protocol, spacing).cases[0]
        ours.append(process_time() - begin)
        begin = process_time()
        expected = reference(pred, target, protocol, spacing)
        other.append(process_time() - begin)
        assert all(isclose(found[name], value, rel_tol=1e-6) for name, value in expected.items()), (found, expected)
    return tuple(sum(seconds[1:]) / len(pairs) * 1000 for seconds in (ours, other))  # the first pays for imports


def by_whole_frames(pred, target, protocol, spacing):
    """The protocol's distances, each on its own as a user would ask for them; counts cost nothing beside them."""
    if protocol == "miniseg":
        return {"HD": SUMMARIES["hausdorff"](*directed(pred == 1, target == 1, spacing))}
    return {name: summary(*directed(edge(pred), edge(target), spacing)) for name, summary in SUMMARIES.items()}


def edge(mask):
    return (mask == 1) & ~binary_erosion(mask == 1)


def directed(pred, target, spacing):
    there, back = (distance_transform_edt(~mask, sampling=spacing) for mask in (target, pred))
    return there[pred], back[target]


def by_itk(pred, target, protocol, spacing):
    """Dice, sensitivity, specificity and Hausdorff by SimpleITK's two filters for this."""
    import SimpleITK as sitk

    overlap, distance = sitk.LabelOverlapMeasuresImageFilter(), sitk.HausdorffDistanceImageFilter()
    images = [sitk.GetImageFromArray(mask) for mask in (target, pred)]
    for measure in (overlap, distance):
        measure.SetNumberOfThreads(1)
        measure.Execute(*images)
    return {"DSC": overlap.GetDiceCoefficient(), "HD": distance.GetHausdorffDistance()}


REFERENCES = {"whole frames": by_whole_frames, "SimpleITK": by_itk}


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    main()
