"""The data alone: training slices a second as the kit prepares them, over one after another from their files.

    python benchmarks/data_speed.py [--side 512] [--save]

Both sides give the same augmented batches. plain : PNG files opened anew for every sample, three channels normalised,
resized and augmented; kit : slices decoded once, one channel. One thread; processor time; no network.
"""

import argparse
import os
import tempfile
from pathlib import Path
from time import process_time

os.environ["OMP_NUM_THREADS"] = "1"

from _history import option, save
from training_throughput import Kit, Plain, phantoms, recipe_of


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    option(parser)
    options = parser.parse_args()
    options.batch = 5
    with tempfile.TemporaryDirectory() as folder:
        cases = phantoms(15, 512, Path(folder))
        ways = [way(cases, Path(folder), recipe_of(options), "cpu") for way in (Plain, Kit)]
        plain, kit = (min(seconds(way) for _ in range(options.rounds)) for way in ways)
    print(f"{options.side} px: kit {15 / kit:.1f} slices/s, plain {15 / plain:.1f}: {plain / kit:.2f} times as fast")
    save(options, f"data, {options.side} px", plain / kit, reference="files read one by one")


def seconds(way):
    """Of one epoch's batches, three of five slices."""
    begin = process_time()
    for step in way.plan:
        if isinstance(way, Plain):
            for position in range(len(step.indices)):
                way.sample(step, position)
        else:
            way.run_state.batches.load(step, range(len(step.indices)))
    return process_time() - begin


if __name__ == "__main__":
    main()
