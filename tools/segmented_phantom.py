"""Draw docs/segmented_phantom.png, the README's picture: `covidseg predict` with all defaults on a computed scan.

    python tools/segmented_phantom.py      (`make picture`)

The shipped weights are named, so that the picture is the same on a machine that has the authors'.
"""

import shutil
import sys
import tempfile
from pathlib import Path

import nibabel
import numpy as np

from covidseg.phantom import phantom_volume
from covidseg.scans.segment import segment_scan

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "segmented_phantom.png"
PATIENT = 255


def draw(picture: Path = PICTURE) -> list[str]:
    """Returns what predict says."""
    phantom = phantom_volume(PATIENT, (320, 320, 36), view="whole")
    rows, columns, gap = phantom.spacing
    affine = np.diag([-columns, -rows, gap, 1.0])  # column 0 the patient's right, row 0 the front
    with tempfile.TemporaryDirectory() as folder:
        scan = Path(folder) / f"phantom_{PATIENT}.nii.gz"
        nibabel.save(nibabel.Nifti1Image(phantom.hu.transpose(1, 0, 2), affine), scan)
        report = segment_scan(scan, Path(folder) / "mask.nii.gz", weights="phantom")
        shutil.copy(report.files.overlay, picture)
    return report.lines()


if __name__ == "__main__":
    print("\n".join(draw(Path(sys.argv[1]) if len(sys.argv) > 1 else PICTURE)))
