"""How much of `covidseg predict` is the network: whole run over pure network time, and the memory it takes.

    python benchmarks/predict_speed.py chest.nii.gz --weights P9-1 --threads 1
    python benchmarks/predict_speed.py --phantom 300          # a volume of 512 x 512 x 300, for the memory

Both times come from one run: a clock around the network's forward passes, and one around everything from opening the
scan to the last file. Interpreter and imports are left out of the ratio and printed on their own.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter


def main():
    options = parse()
    scan = Path(options.scan) if options.scan else phantom_scan(options.phantom)
    started = perf_counter()
    if not options.inside:  # a process of its own, so that memory and imports are this run's alone
        command = [sys.executable, __file__, str(scan), "--inside", "--weights", options.weights]
        command += ["--threads", str(options.threads), "--repeat", str(options.repeat)]
        done = subprocess.run(command, env=os.environ | settings(options.threads), check=True, stdout=subprocess.PIPE)
        runs = json.loads(done.stdout)
        return show(scan, runs, perf_counter() - started)
    print(json.dumps([one_run(scan, options.weights, options.threads) for _ in range(options.repeat)]))


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scan", nargs="?", help="any scan `covidseg predict` takes")
    parser.add_argument("--phantom", type=int, default=300, metavar="SLICES", help="without SCAN: slices of a phantom")
    parser.add_argument("--weights", default="phantom")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=3, help="runs; the first also pays for imports on first use")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def settings(threads):
    # waiting threads that spin take the core from those that work
    return {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE", "COVIDSEG_QUIET": "1"}


def one_run(scan, weights, threads):
    import torch

    from covidseg.lungs.find import shipped
    from covidseg.papers.miniseg.weights import weights as load
    from covidseg.scans.segment import segment_scan

    torch.set_num_threads(threads)
    loaded, network = load(weights), Stopwatch()
    network.watch(loaded.model)
    network.watch(shipped().model)  # finds the lungs first
    with tempfile.TemporaryDirectory() as folder:
        started = perf_counter()
        report = segment_scan(scan, Path(folder) / "mask.nii.gz", weights=loaded)
        whole = perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # KiB on Linux -> GiB
    return {"whole": whole, "network": network.seconds, "peak_gib": peak, "shape": report.mask.shape, **report.seconds}


class Stopwatch:
    """Seconds spent inside a module's forward."""

    def __init__(self):
        self.seconds = 0.0

    def watch(self, module):
        module.register_forward_pre_hook(lambda *_: setattr(self, "started", perf_counter()))
        module.register_forward_hook(lambda *_: setattr(self, "seconds", self.seconds + perf_counter() - self.started))


def phantom_scan(slices):
    """A phantom volume as a NIfTI file in the temporary folder."""
    import nibabel
    import numpy as np

    from covidseg.phantom.chest import phantom_volume

    path = Path(tempfile.gettempdir()) / f"covidseg_phantom_{slices}.nii.gz"
    if not path.exists():
        few = phantom_volume(0, shape=(512, 512, 12)).hu.astype(np.int16)  # repeated: memory is asked for, not anatomy
        volume = np.tile(few, (1, 1, -(-slices // few.shape[2])))[:, :, :slices]
        affine = np.array([[0, -0.7, 0, 0], [-0.7, 0, 0, 0], [0, 0, 1.0, 0], [0, 0, 0, 1]])
        nibabel.save(nibabel.Nifti1Image(volume, affine), path)
    return path


def show(scan, runs, process):
    rows, columns, slices = runs[0]["shape"]
    print(f"{scan.name}: {slices} slices of {rows} x {columns}")
    for run in runs:
        parts = ", ".join(f"{name} {run[name]:.2f}" for name in ("read", "predict", "write"))
        ratio = run["whole"] / run["network"]
        print(f"whole {run['whole']:.2f} s ({parts}), network {run['network']:.2f} s, ratio {ratio:.3f}")
    print(f"peak memory {max(run['peak_gib'] for run in runs):.2f} GiB")
    print(f"process, {len(runs)} runs with interpreter and imports: {process:.1f} s")


if __name__ == "__main__":
    main()
