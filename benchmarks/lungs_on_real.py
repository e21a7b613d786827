"""The kit's lung network on real lung masks: Dice of every volume, and where its errors lie.

    COVIDSEG_MIRROR=/path/to/mirror python benchmarks/lungs_on_real.py
    COVIDSEG_MIRROR=... python benchmarks/lungs_on_real.py --every 8     # each eighth slice, in a minute

Volumes of P9 and of P20 as they lie: 8-bit pictures, P20's with their contrast equalised. No real case had a part in
the training. Columns: the network alone, on greys brought to the lung window (`covidseg.lungs.greys`), then with
islands, holes and dents mended as `covidseg predict` uses it; the mended Dice of the lowest and the highest fifth of
the slices that show lung; how much of the infection lies in the mended lungs, and how much of it would stay if a
network marked exactly that.
"""

import argparse
import os
from pathlib import Path
from statistics import mean

import numpy as np

SETS = {  # scans, lung masks, infection masks
    "P9": ("p9/rp_im", "p9/rp_lung_msk", "p9/rp_msk"),
    "P20": ("p20/COVID-19-CT-Seg_20cases", "p20/Lung_Mask", "p20/Infection_Mask"),
}


def main():
    options = parse()
    mirror = os.environ.get("COVIDSEG_MIRROR")
    if not mirror:
        raise SystemExit("skipped: COVIDSEG_MIRROR names no folder of real volumes with lung masks")
    every = []
    for name, folders in SETS.items():
        scans = sorted((Path(mirror) / folders[0]).glob("*.nii.gz"))
        if not scans:
            print(f"{name}: skipped, {Path(mirror) / folders[0]} holds no volumes")
            continue
        rows = [measure(scan, Path(mirror), folders, options) for scan in scans]
        tell(name, rows)
        every += rows
    if every:
        tell("both", every)


def tell(name, rows):
    alone, mended = map(mean, zip(*rows, strict=True))
    print(f"{name}: mean of {len(rows)}: alone {alone:.3f}, mended {mended:.3f}", flush=True)


def measure(path, mirror, folders, options):
    from covidseg.inference import predict
    from covidseg.lungs.find import find_lungs
    from covidseg.lungs.greys import as_in_the_lung_window
    from covidseg.nn.weights import load_weights
    from covidseg.scans.read import read_mask, read_scan

    scan = read_scan(path)
    truth, sick = (read_mask(mirror / folder / path.name, scan) > 0 for folder in folders[1:])
    some = slice(options.every // 2, None, options.every)
    volume, truth, sick = scan.voxels[:, :, some], truth[:, :, some], sick[:, :, some]
    weights = load_weights(options.weights)
    seen = as_in_the_lung_window(volume, scan.intensity)
    alone = predict(weights.model, seen, weights.preprocessing, scan.intensity) > 0
    found = find_lungs(volume, scan.intensity, scan.spacing)
    mended = alone if found.mask is None else found.mask > 0
    shown = np.flatnonzero(truth.any((0, 1)))
    fifth = max(1, len(shown) // 5)
    ends = [dice(mended[:, :, part], truth[:, :, part]) for part in (shown[:fifth], shown[-fifth:])]
    stray = mended[:, :, ~truth.any((0, 1))].sum() / truth.sum()
    kept = sick.astype(np.uint8)
    found.settle(kept)
    kept = kept if found.room is None else kept * (found.room > 0)
    inside = [(sick & lungs).sum() / max(sick.sum(), 1) for lungs in (mended, kept > 0)]
    scores = dice(alone, truth), dice(mended, truth)
    told = found.problem or ("two lungs" + ", touching" * found.touching if found.told_apart else "not told apart")
    print(
        f"  {path.name[:-7]:23} alone {scores[0]:.3f}  mended {scores[1]:.3f}",
        f"lowest {ends[0]:.3f}  highest {ends[1]:.3f}",
        f"in slices without lung {stray:.2%}  infection {inside[0]:.1%}, stays {inside[1]:.1%}  {told}",
        sep="  ",
        flush=True,
    )
    return scores


def dice(a, b):
    return 2 * float((a & b).sum()) / max(float(a.sum() + b.sum()), 1.0)


def parse():
    from covidseg.lungs.find import BUNDLED

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=1, help="only each n-th slice")
    parser.add_argument("--weights", default=BUNDLED)
    return parser.parse_args()


if __name__ == "__main__":
    main()
