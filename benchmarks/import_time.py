"""How long the starts take that everybody waits for; the best of several fresh Pythons counts.

    python benchmarks/import_time.py [--tries 5] [--save]

Seconds on the clock, and of the processor, which neighbours on the machine change less. Aims: `covidseg --help` well
below a second, `covidseg predict` of one small slice under 3 s with everything it writes, covidseg.nn under 0.3 s
beyond torch. The reference is `import torch`, which nothing here can shorten. Compiled modules go to a folder of the
benchmark's own, so that the first try compiles and the best one does not, whatever the surroundings say.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from time import perf_counter

from _history import option, save

PREDICT = "covidseg predict, one slice"
HELP = "covidseg --help"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tries", type=int, default=4, help="after one that compiles")
    option(parser)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        best = {name: (9e9, 9e9) for name in cases(folder)}
        phantom_slice(folder)
        for _ in range(options.tries + 1):
            for name, code in cases(folder).items():
                best[name] = tuple(map(min, best[name], seconds(code, folder)))
    for name, (wall, processor) in best.items():
        print(f"{name:<30} {wall:6.2f} s on the clock, {processor:.2f} of the processor")
    torch = best["import torch"]
    for name, aim in ((PREDICT, 3), (HELP, 1)):
        wall, processor = best[name]
        numbers = {"seconds of the processor": processor, "seconds on the clock": wall}
        limits = {"seconds of the processor": aim}  # on an idle machine the clock's are as many
        save(options, f"start, {name}", torch[1] / processor, reference="import torch", numbers=numbers, limits=limits)


def cases(folder):
    line = ["predict", f"{folder}/slice.nii.gz", "-o", f"{folder}/mask.nii.gz", "--force"]
    return {
        "python alone": "pass",
        "import covidseg": "import covidseg",
        HELP: "import sys, covidseg.cli; sys.exit(covidseg.cli.main(['--help']))",
        "import torch": "import torch",
        "import torch, covidseg.nn": "import torch, covidseg.nn",
        PREDICT: f"import sys, covidseg.cli; sys.exit(covidseg.cli.main({line!r}))",
    }


def phantom_slice(folder):
    """A scan of one slice, 128 x 128."""
    import nibabel
    import numpy as np

    from covidseg.phantom.chest import phantom_volume

    middle = phantom_volume(0, shape=(128, 128, 12)).hu[:, :, 6:7].astype(np.int16)
    affine = np.diag([-2.8, -2.8, 1.0, 1.0])[[1, 0, 2, 3]]
    nibabel.save(nibabel.Nifti1Image(middle, affine), Path(folder) / "slice.nii.gz")


def seconds(code, folder):
    """Of one fresh Python: on the clock, and of the processor."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    kept |= {"PYTHONPYCACHEPREFIX": f"{folder}/compiled", "COVIDSEG_QUIET": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    begin, before = perf_counter(), getrusage(RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL, env=kept)
    after = getrusage(RUSAGE_CHILDREN)
    return perf_counter() - begin, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
