"""What does COVID-SegNet at width 8 need for a scan of 256 x 256 x 64, on a machine without a GPU?

    python benchmarks/volume_speed.py [--threads 2] [--side 128]

A phantom is segmented by the sliding window (half-overlapping patches, Gaussian blending) with weights of chance: time
and memory do not depend on what was learned. Printed are CPU time, wall time (with the load of the machine, without
which it means little), and the largest memory beyond what the imports and the phantom itself took.
Aims, with two threads: under 60 s and under 2 GB.
"""

import argparse
import os
import resource
import time

SHAPE = (256, 256, 64)
AIM_SECONDS, AIM_GB = 60, 2


def peak_gb() -> float:
    """Largest resident memory of this process so far; Linux counts kilobytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def main(threads: int, side: int) -> bool:
    """Whether both aims are met."""
    import torch

    from covidseg import create_model, load_dataset, predict
    from covidseg.data.transforms import Preprocessing
    from covidseg.papers.covidsegnet.predictor import patch_of

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    case = load_dataset("phantom3d", n=1, size=SHAPE)[0]
    network = create_model("covid_segnet", num_classes=2, in_channels=1, width=8)
    greys = Preprocessing(side, (0.0,) * 3, (1.0,) * 3)
    before = peak_gb()
    wall, cpu = time.perf_counter(), time.process_time()
    mask = predict(network, case.image, greys, case.intensity)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    memory = peak_gb() - before
    patch = " x ".join(map(str, patch_of(side, SHAPE)))
    load = os.getloadavg()[0]
    print(f"scan {' x '.join(map(str, mask.shape))}, patches {patch}, {threads} threads, load {load:.1f}")
    print(f"CPU time {cpu:.1f} s; on {threads} idle cores at least {cpu / threads:.1f} s (aim: under {AIM_SECONDS} s)")
    print(f"wall time {wall:.1f} s")
    print(f"memory {memory:.2f} GB beyond imports and phantom (aim: under {AIM_GB} GB)")
    return cpu / threads < AIM_SECONDS and memory < AIM_GB


if __name__ == "__main__":
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("--threads", type=int, default=2)
    asked.add_argument("--side", type=int, default=128, help="of a patch; half of it are its slices")
    given = asked.parse_args()
    raise SystemExit(0 if main(given.threads, given.side) else 1)
