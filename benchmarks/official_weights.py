"""The authors' MiniSeg weights on the slices that are on this machine, each fold's weights on its own fold.

    python benchmarks/official_weights.py --dataset ct100             # at 512 px, as they were trained
    python benchmarks/official_weights.py --dataset ct100 --size 256
    python benchmarks/official_weights.py --dataset p9 --statistics fold   # each fold's own mean and std, not one pair

What a training of ours can be held against: same slices, same folds, same protocol, and nothing of ours but the
evaluation. Where these numbers differ from the paper's, the slices do: where CT100 is read from COVID-SemiSeg, it is 98
of the 100 slices, cropped to the lungs, in 8 bits.
"""

import argparse
from dataclasses import replace
from statistics import mean


def main():
    options = parse()
    from covidseg import load_official
    from covidseg.data import load_dataset
    from covidseg.data.transforms import fold_statistics
    from covidseg.errors import UserError
    from covidseg.training import evaluate

    rows = []
    for fold in range(1, 6):
        try:
            cases = load_dataset(options.dataset, "val", fold)
            network = load_official("miniseg", dataset=options.dataset.upper(), fold=fold)
        except UserError as missing:
            print(f"fold {fold}: {missing}")
            continue
        preprocessing = replace(network.preprocessing, size=options.size)
        if options.statistics == "fold":
            mean_grey, std_grey = fold_statistics(load_dataset(options.dataset, "train", fold), preprocessing.window)
            preprocessing = replace(preprocessing, mean=mean_grey, std=std_grey)
        scores = evaluate(network, cases, preprocessing, "miniseg", empty_truth="count", distances=False)
        rows.append((100 * scores["mIoU"], 100 * scores["DSC"]))
        print(f"fold {fold}, {len(cases)} cases: mIoU {rows[-1][0]:.2f}, DSC {rows[-1][1]:.2f}", flush=True)
    if rows:
        miou, dsc = map(mean, zip(*rows, strict=True))
        print(f"{options.dataset}, {options.size} px, mean of {len(rows)} folds: mIoU {miou:.2f}, DSC {dsc:.2f}")


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="ct100", choices=["ct100", "p9", "p20", "p1110"])
    parser.add_argument("--statistics", default="pair", choices=["pair", "fold"], help="mean and std of the input")
    parser.add_argument("--size", type=int, default=512)
    return parser.parse_args()


if __name__ == "__main__":
    main()
