"""How much of `covidseg predict` is the network: whole run over pure network time, and the memory it takes.

    python benchmarks/predict_speed.py chest.nii.gz --weights P9-1 --threads 1
    python benchmarks/predict_speed.py --phantom 300          # a volume of 512 x 512 x 300, for the memory

Both times come from one run: a clock around the forward passes of the two networks (lungs and infection), and one
around everything from opening the scan to the last file. Interpreter and imports are left out of the ratio and printed
on their own. Ratios are of processor time, which neighbours on the machine change little; seconds on the wall are
printed too. The start is the processor time from the birth of the process to the first slice in a network, when the bar
appears.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter, process_time

from _history import option, save


def main():
    options = parse()
    scan = Path(options.scan) if options.scan else phantom_scan(options.phantom)
    started = perf_counter()
    if not options.inside:  # a process of its own, so that memory and imports are this run's alone
        command = [sys.executable, __file__, str(scan), "--inside", "--weights", options.weights]
        command += ["--threads", str(options.threads), "--repeat", str(options.repeat)]
        done = subprocess.run(command, env=surroundings(options.threads), check=True, stdout=subprocess.PIPE)
        runs = json.loads(done.stdout)
        return show(scan, runs, perf_counter() - started, options)
    print(json.dumps([one_run(scan, options.weights, options.threads) for _ in range(options.repeat)]))


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scan", nargs="?", help="any scan `covidseg predict` takes")
    parser.add_argument("--phantom", type=int, default=300, metavar="SLICES", help="without SCAN: slices of a phantom")
    parser.add_argument("--weights", default="phantom")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=3, help="runs; the first also pays for imports on first use")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    option(parser)
    return parser.parse_args()


def surroundings(threads):
    """Threads that wait and spin would take the core from those that work. Python may keep what it compiles, or every
    start compiles torch's own sources anew.
    """
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    compiled = str(Path(tempfile.gettempdir()) / "covidseg_compiled")
    return kept | {
        "PYTHONPYCACHEPREFIX": compiled,
        "OMP_NUM_THREADS": str(threads),
        "OMP_WAIT_POLICY": "PASSIVE",
        "COVIDSEG_QUIET": "1",
    }


def one_run(scan, weights, threads):
    import torch

    from covidseg.lungs.find import shipped
    from covidseg.papers.miniseg.weights import weights as load
    from covidseg.scans.segment import segment_scan

    torch.set_num_threads(threads)
    loaded, network, lungs = load(weights), Stopwatch(), Stopwatch()
    network.watch(loaded.model)
    lungs.watch(shipped().model)  # finds the lungs first
    with tempfile.TemporaryDirectory() as folder:
        wall, started = perf_counter(), process_time()
        report = segment_scan(scan, Path(folder) / "mask.nii.gz", weights=loaded)
        whole, wall = process_time() - started, perf_counter() - wall
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # KiB on Linux -> GiB
    clocks = {"whole": whole, "wall": wall, "network": network.seconds, "lungs": lungs.seconds, "first": lungs.first}
    return {**clocks, "peak_gib": peak, "shape": report.mask.shape, "laps": report.seconds}


class Stopwatch:
    """Processor seconds spent in a network's answers, and from the birth of the process to the first of them."""

    def __init__(self):
        self.seconds, self.first = 0.0, None

    def watch(self, module):
        """Time whatever asks the network, or its optimised copy: `predict` takes none where it sees hooks."""
        from covidseg import ensemble, inference

        networks = [module, *getattr(module, "members", ())]
        for room in (inference, ensemble):
            room.answer_of = self.around(room.answer_of, networks)

    def around(self, ask, networks):
        def timed(model, x):
            if not any(getattr(model, "plain", model) is network for network in networks):
                return ask(model, x)
            self.start()
            try:
                return ask(model, x)
            finally:
                self.stop()

        return timed

    def start(self):
        self.started = process_time()
        self.first = self.started if self.first is None else self.first

    def stop(self):
        self.seconds += process_time() - self.started


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


def show(scan, runs, process, options):
    rows, columns, slices = runs[0]["shape"]
    print(f"{scan.name}: {slices} slices of {rows} x {columns}")
    for run in runs:
        parts = ", ".join(f"{name} {seconds:.1f}" for name, seconds in run["laps"].items())
        own = run["network"] + run["lungs"]
        print(f"whole {run['whole']:.1f} s of processor, networks {own:.1f} s (lungs {run['lungs']:.1f}), ", end="")
        print(f"ratio {run['whole'] / own:.3f}; on the wall {run['wall']:.1f} s ({parts})")
    print(f"start to the first slice {runs[0]['first']:.1f} s of processor, weights loaded before the scan")
    print(f"peak memory {max(run['peak_gib'] for run in runs):.2f} GiB")
    print(f"process, {len(runs)} runs with interpreter and imports: {process:.1f} s")

    best = min(runs, key=lambda run: run["whole"] / (run["network"] + run["lungs"]))
    numbers = {"GiB": max(run["peak_gib"] for run in runs), "seconds from start to first slice": runs[0]["first"]}
    save(
        options,
        f"predict, {slices} slices of {rows} x {columns}",
        (best["network"] + best["lungs"]) / best["whole"],
        reference="its two networks alone",
        asked=0.9,
        numbers=numbers,
        limits=dict(zip(numbers, (2, 4), strict=True)),
    )


if __name__ == "__main__":
    main()
